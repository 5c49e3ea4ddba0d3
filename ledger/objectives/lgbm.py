"""LightGBM's classifier and regressor, with settings that make the training deterministic."""

from collections.abc import Callable, Mapping
from typing import Any

from lightgbm import Booster, LGBMClassifier, LGBMRegressor
from lightgbm.callback import CallbackEnv

from ledger.objectives.splits import Rows
from ledger.objectives.tasks import CLASSIFICATION, REGRESSION

# Without `force_row_wise`, LightGBM measures the speed of two histogram layouts and selects the faster layout.
# Therefore two runs without `force_row_wise` may use different layouts.
REPRODUCIBLE = {"verbosity": -1, "deterministic": True, "force_row_wise": True}


def estimator(params: Mapping[str, Any], seed: int, threads: int, task: str = CLASSIFICATION) -> Any:
    """Return an unfitted LGBMClassifier or LGBMRegressor that trains with `threads` threads."""
    settings = dict(params)
    goss = "goss" in (settings.get("data_sample_strategy"), settings.get("boosting_type"))
    if "subsample" in settings and not goss:
        # LightGBM ignores the hyper-parameter `subsample` if `subsample_freq` has its default value 0. If
        # `subsample_freq` is 0, the losses do not depend on `subsample`. GOSS has its own sampling method, and LightGBM
        # refuses to combine GOSS with `subsample`.
        settings.setdefault("subsample_freq", 1)
    kind = LGBMRegressor if task == REGRESSION else LGBMClassifier
    return kind(**settings, random_state=seed, n_jobs=threads, **REPRODUCIBLE)


def follow(estimator: Any, rows: Rows, after_round: Callable[[int], object]) -> dict[str, Any]:
    """After each boosting round of the training, call a function with the number of completed rounds.

    `ledger.objectives.xgb.follow` describes the details. With the boosting type "dart", the last digit of a prediction
    during the call may be inexact.
    """
    # By default, LightGBM would also compute its own metric on `rows`. For some targets, the computation of LightGBM's
    # metric would raise an error.
    estimator.set_params(metric="None")

    booster = _BoosterInTraining(adds_trees=estimator.boosting_type not in ("dart", "rf", "random_forest"))

    def after_iteration(env: CallbackEnv) -> None:
        rounds = env.iteration - env.begin_iteration + 1
        if rounds == 1:
            # LightGBM stores its predictions for a validation set. After each round, LightGBM computes only the
            # predictions of the new trees, and adds them to the stored predictions.
            train = env.model.train_set
            test = train.create_valid(rows.features, label=rows.targets, params=train.get_params())
            env.model.add_valid(test, "test")
            # The methods of the estimator convert the predictions of the booster, for example to classes.
            estimator._Booster, estimator.fitted_ = booster, True

        def evaluate(predictions: Any, _rows: object) -> tuple[str, float, bool]:
            booster.update(env.model, rounds, predictions)
            after_round(rounds)
            return "", 0.0, True

        env.model.eval_valid(evaluate)

    return {"callbacks": [after_iteration]}


class _BoosterInTraining:
    """A booster that predicts a fixed set of rows after each boosting round.

    Parameters
    ----------
    adds_trees : bool
        True if no round changes earlier trees, so that a row's raw score is the sum of the outputs of all trees.
    """

    def __init__(self, *, adds_trees: bool) -> None:
        self._adds_trees = adds_trees
        self._raw: Any = 0.0
        self._raw_rounds = 0

    def update(self, booster: Booster, rounds: int, values: Any) -> None:
        """Set the booster, the number of completed rounds, and the booster's predictions for the rows."""
        self._booster, self._rounds, self._values = booster, rounds, values

    def predict(self, features: Any, *, raw_score: bool = False, **options: Any) -> Any:
        # A scorer such as "roc_auc" needs raw scores, but LightGBM's predictions for a validation set are not raw
        # scores.
        if not raw_score:
            return self._values
        if not self._adds_trees:
            return self._booster.predict(features, **options, raw_score=True)
        if self._raw_rounds < self._rounds:
            options |= {"start_iteration": self._raw_rounds, "num_iteration": self._rounds - self._raw_rounds}
            self._raw = self._raw + self._booster.predict(features, **options, raw_score=True)
            self._raw_rounds = self._rounds
        return self._raw
