"""A callback that reports a metric of an XGBoost training to the ledger after each boosting round."""

from typing import Any

from xgboost.callback import TrainingCallback

from ledger.errors import TrialPruned
from ledger.integrations.metric import value_of
from ledger.objectives import Context


class ReportCallback(TrainingCallback):  # type: ignore[misc]
    """An XGBoost callback that reports a metric of an evaluation set to the ledger after each boosting round.

    If `context.should_prune` returns True, the callback raises `ledger.TrialPruned`.

    Parameters
    ----------
    context : Context
        The context of the trial.
    metric : str
        The name of the evaluation set, a hyphen, and the name of the metric, such as ``"validation_0-logloss"``. The
        ledger records the value of the metric unchanged. If a low value of the metric is better, the study must
        minimise the metric. If a high value of the metric is better, the study must maximise the metric.

    Examples
    --------
    >>> import ledger
    >>> from ledger.integrations.xgboost import ReportCallback
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import train_test_split
    >>> from xgboost import XGBClassifier
    >>> def loss(params, context):
    ...     split = train_test_split(*load_iris(return_X_y=True), random_state=context.study_seed)
    ...     X_train, X_test, y_train, y_test = split
    ...     report = ReportCallback(context, "validation_0-mlogloss")
    ...     model = XGBClassifier(n_estimators=5, n_jobs=1, callbacks=[report], **params)
    ...     model.fit(X_train, y_train, eval_set=[(X_test, y_test)], verbose=False)
    ...     return model.evals_result()["validation_0"]["mlogloss"][-1]
    >>> loss({"max_depth": 2}, ledger.Context("s", 0, 1, 7, 42)) < 1
    True
    """

    def __init__(self, context: Context, metric: str) -> None:
        super().__init__()
        self._context, self._metric = context, metric

    def after_iteration(self, model: Any, epoch: int, evals_log: dict[str, dict[str, Any]]) -> bool:  # noqa: ARG002
        """Report the value of the metric after a boosting round. XGBoost calls this method.

        Raises
        ------
        ValueError
            The training has no metric with the given name.
        TrialPruned
            The rule of early stopping has stopped the trial.
        """
        found = {f"{of}-{name}": values for of, metrics in evals_log.items() for name, values in metrics.items()}
        value = value_of(self._metric, found, "evaluation set")[-1]
        # In a cross-validation, the value of a metric is a tuple of the mean and the standard deviation.
        self._context.report(value[0] if isinstance(value, tuple) else value, epoch)
        if self._context.should_prune():
            raise TrialPruned
        return False
