"""The content of a report, such as the trials and the surrogate that all plots of the report use."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from ledger.database.rows import OPEN_STATES, TrialRow
from ledger.database.transfer import StudySnapshot
from ledger.objectives import metrics
from ledger.proposals import proposal_input
from ledger.proposals.surrogate import ParameterImportance, PartialDependence, Surrogate
from ledger.study.spec import StudySpec

# Largest number of trials that the plots and the table of a report show. A browser on a phone is fast enough to draw a
# plot of `SHOWN` trials. If a study has more than `SHOWN` trials, the report selects `SHOWN` trials. Up to half of the
# selected trials are the trials with the best values.
SHOWN = 2_000
# The report plots the surrogate only if the absolute value of every loss is at most `LARGEST`. If the absolute value of
# a loss were larger than `LARGEST`, the difference of two losses could exceed the largest float, which is 1.8e308.
LARGEST = 1e300


class ReportContent:
    """The content of a report on the state of a study at one moment.

    Parameters
    ----------
    ledger : StudySnapshot

    Attributes
    ----------
    study : StudySpec
    complete : list of rows
        The complete trials, in the order of their numbers.
    best : row or None
        The complete trial with the best value, which has the lowest loss. If several trials have the lowest loss, the
        trial with the smallest number is best.
    shown : list of rows
        The trials to show, in the order of their numbers. If a study has at most `SHOWN` trials, the report shows all
        trials. If a study has more than `SHOWN` trials, up to half of the shown trials are the trials with the best
        values. The rest of the shown trials are an evenly spaced selection of the study's other trials.

    Raises
    ------
    LedgerError
        This version of the ledger cannot read the study's spec.
    """

    def __init__(self, ledger: StudySnapshot) -> None:
        self.ledger = ledger
        self.study = StudySpec.from_spec(ledger.study.name, ledger.study.budget, ledger.study.spec)
        self.complete: list[TrialRow] = [trial for trial in ledger.trials if trial.state == "complete"]
        self.best: TrialRow | None = min(self.complete, key=_loss, default=None)
        self.shown = self._shown()

    @cached_property
    def surrogate(self) -> Surrogate | None:
        """The study's surrogate, which is fitted to all trials that have ended.

        The surrogate is None if the study has no recorded surrogate, if no trial is complete, or if the difference of
        two losses could exceed the largest float.
        """
        recorded = [
            iteration.surrogate for iteration in self.ledger.iterations if isinstance(iteration.surrogate, Mapping)
        ]
        if not recorded or self.best is None or self.is_extreme:
            return None
        ended = [trial for trial in self.ledger.trials if trial.state not in OPEN_STATES]
        following = self.ledger.iterations[-1].number + 1
        return Surrogate(self.study, proposal_input(ended, following, 0, recorded[-1]), following)

    @cached_property
    def dependences(self) -> dict[str, PartialDependence]:
        """The partial dependence of the value on each parameter. The mapping is empty without a surrogate."""
        return self.surrogate.dependences() if self.surrogate else {}

    @cached_property
    def importances(self) -> dict[str, ParameterImportance]:
        """The importance of each parameter. The mapping is empty if the report has no surrogate."""
        return self.surrogate.importances() if self.surrogate else {}

    @property
    def is_extreme(self) -> bool:
        """Whether some losses are so large that the difference of two losses could exceed the largest float."""
        return any(abs(_loss(trial)) > LARGEST for trial in self.complete)

    @property
    def metric(self) -> str:
        """The name of the metric from which the ledger computes the loss of a model or an estimator.

        If the objective is a user's own function, the report looks for a metric with the name `metric` among the
        metrics that the function returned.
        """
        return self.study.objective.metric or metrics.DEFAULT

    @property
    def value_name(self) -> str:
        """The name of the trials' values, which is the metric's name for a model or an estimator."""
        return self.metric if self.study.objective.trains else "value"

    @property
    def is_maximised(self) -> bool:
        """Whether the highest value is the best value."""
        return self.study.objective.scale.is_maximised

    @property
    def is_steady(self) -> bool:
        return self.study.mode == "steady"

    def _shown(self) -> list[TrialRow]:
        trials = list(self.ledger.trials)
        if len(trials) <= SHOWN:
            return trials
        best = {trial.number for trial in sorted(self.complete, key=_loss)[: SHOWN // 2]}
        others: list[Any] = [trial for trial in trials if trial.number not in best]
        wanted = SHOWN - len(best)
        kept = {others[index * len(others) // wanted].number for index in range(wanted)}
        return [trial for trial in trials if trial.number in best or trial.number in kept]


def _loss(trial: TrialRow) -> float:
    assert trial.loss is not None
    return trial.loss
