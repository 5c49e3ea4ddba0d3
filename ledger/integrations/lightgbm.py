"""A callback that reports a metric of a LightGBM training to the ledger after each boosting round."""

from lightgbm.callback import CallbackEnv

from ledger.errors import TrialPruned
from ledger.integrations.metric import value_of
from ledger.objectives import Context


class ReportCallback:
    """A LightGBM callback that reports a metric of a validation set to the ledger after each boosting round.

    If `context.should_prune` returns True, the callback raises `ledger.TrialPruned`.

    Parameters
    ----------
    context : Context
        The context of the trial.
    metric : str
        The name of the validation set, a hyphen, and the name of the metric, such as ``"valid_0-binary_logloss"``. The
        ledger records the value of the metric unchanged. If a low value of the metric is better, the study must
        minimise the metric. If a high value of the metric is better, the study must maximise the metric.

    Examples
    --------
    >>> import ledger
    >>> import lightgbm
    >>> from ledger.integrations.lightgbm import ReportCallback
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.model_selection import train_test_split
    >>> def loss(params, context):
    ...     split = train_test_split(*load_breast_cancer(return_X_y=True), random_state=context.study_seed)
    ...     X_train, X_test, y_train, y_test = split
    ...     train = lightgbm.Dataset(X_train, y_train)
    ...     valid = lightgbm.Dataset(X_test, y_test, reference=train)
    ...     settings = {"objective": "binary", "num_threads": 1, "verbose": -1, **params}
    ...     report = ReportCallback(context, "valid_0-binary_logloss")
    ...     model = lightgbm.train(settings, train, 5, valid_sets=[valid], callbacks=[report])
    ...     return float(model.best_score["valid_0"]["binary_logloss"])
    >>> loss({"max_depth": 2}, ledger.Context("s", 0, 1, 7, 42)) < 1
    True
    """

    def __init__(self, context: Context, metric: str) -> None:
        self._context, self._metric = context, metric
        # LightGBM calls the callbacks in ascending order of the attribute `order`. `lightgbm.record_evaluation` has the
        # order 20, and `lightgbm.early_stopping` has the order 30.
        self.order = 25

    def __call__(self, env: CallbackEnv) -> None:
        """Report the value of the metric after a boosting round. LightGBM calls this method.

        Raises
        ------
        ValueError
            The training has no metric with the given name.
        TrialPruned
            The rule of early stopping has stopped the trial.
        """
        # In a cross-validation, each result also contains the standard deviation of the metric.
        results = env.evaluation_result_list or []
        found = {f"{result[0]}-{result[1]}": float(result[2]) for result in results}
        value = value_of(self._metric, found, "validation set")
        self._context.report(value, env.iteration - env.begin_iteration)
        if self._context.should_prune():
            raise TrialPruned
