"""XGBoost's classifier and regressor, with settings that make the training deterministic."""

from collections.abc import Callable, Mapping
from typing import Any

from xgboost import Booster, DMatrix, XGBClassifier, XGBRegressor
from xgboost.callback import TrainingCallback

from ledger.objectives.splits import Rows
from ledger.objectives.tasks import CLASSIFICATION, REGRESSION


def estimator(params: Mapping[str, Any], seed: int, threads: int, task: str = CLASSIFICATION) -> Any:
    """Return an unfitted XGBClassifier or XGBRegressor that trains with `threads` threads."""
    settings: dict[str, Any] = {"tree_method": "hist", **params}
    kind = XGBRegressor if task == REGRESSION else XGBClassifier
    return kind(**settings, random_state=seed, n_jobs=threads, device="cpu", **reproducible(settings))


def reproducible(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings for a deterministic training with the parameters `params`."""
    if params.get("booster") != "gblinear":
        return {"verbosity": 0}
    # The result of the booster `gblinear` with its default updater depends on the order in which threads run. The
    # default updater of `gblinear` also refuses three values of `feature_selector`: "random", "greedy" and "thrifty".
    return {"verbosity": 0, "updater": "coord_descent"}


def follow(estimator: Any, rows: Rows, after_round: Callable[[int], object]) -> dict[str, Any]:
    """After each boosting round of the training, call a function with the number of completed rounds.

    During the call, the estimator can make predictions only for `rows`. After n rounds, the estimator predicts the same
    values as an estimator that was trained with only n rounds. The function `follow` does not change the model that the
    method `fit` trains.

    Parameters
    ----------
    estimator : XGBClassifier or XGBRegressor
        The unfitted estimator.
    rows : Rows
        The rows for which the estimator makes predictions during the calls.
    after_round : callable
        The function to call. If the function raises an exception, the training ends.

    Returns
    -------
    dict
        Additional arguments for the estimator's method `fit`.
    """
    estimator.set_params(callbacks=[_AfterRound(estimator, rows.features, after_round)])
    return {}


class _AfterRound(TrainingCallback):  # type: ignore[misc]
    """A callback that lets the estimator make predictions during its training. After each round, the callback calls a
    function.
    """

    def __init__(self, estimator: Any, features: Any, after_round: Callable[[int], object]) -> None:
        super().__init__()
        self._estimator, self._features, self._after_round = estimator, features, after_round

    def before_training(self, model: Booster) -> Booster:
        estimator = self._estimator
        rows = DMatrix(
            self._features,
            missing=estimator.missing,
            nthread=estimator.n_jobs,
            feature_types=estimator.feature_types,
            enable_categorical=estimator.enable_categorical,
        )
        estimator._Booster = _BoosterInTraining(model, rows)
        return model

    def after_iteration(self, model: Booster, epoch: int, evals_log: object) -> bool:  # noqa: ARG002
        self._after_round(epoch + 1)
        return False


class _BoosterInTraining:
    """A booster that predicts a fixed set of rows after each boosting round.

    XGBoost stores its predictions for a `DMatrix` while the `DMatrix` exists. After each round, XGBoost computes only
    the predictions of the new trees, and adds them to the stored predictions. Therefore all predictions together take
    about as long as a single prediction with all trees. The booster `dart` is an exception: `dart` uses all trees for
    each prediction.
    """

    def __init__(self, booster: Booster, rows: DMatrix) -> None:
        self._booster, self._rows = booster, rows

    def inplace_predict(self, *, predict_type: str, **_: Any) -> Any:
        return self._booster.predict(self._rows, output_margin=predict_type == "margin")

    def predict(self, *, output_margin: bool, **_: Any) -> Any:
        return self._booster.predict(self._rows, output_margin=output_margin)
