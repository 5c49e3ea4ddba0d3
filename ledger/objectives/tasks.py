"""The two tasks of a supervised model, and the limit that decides which task fits a target of whole numbers."""

CLASSIFICATION, REGRESSION = "classification", "regression"
TASKS: tuple[str, ...] = (CLASSIFICATION, REGRESSION)
# A target with more than `MOST_CLASSES` different whole numbers probably contains counts or measurements, not classes.
MOST_CLASSES = 20
