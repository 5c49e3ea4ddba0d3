"""The two tasks of a supervised model, and the largest number of classes in a target of whole numbers."""

CLASSIFICATION, REGRESSION = "classification", "regression"
TASKS: tuple[str, ...] = (CLASSIFICATION, REGRESSION)
# A target with more than `MOST_CLASSES` different whole numbers probably contains counts or measurements, not classes.
MOST_CLASSES = 20
