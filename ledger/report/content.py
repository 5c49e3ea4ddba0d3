"""The content of a report, such as the trials and the surrogate. All plots of the report use the same content."""

from collections.abc import Sequence
from functools import cached_property

from ledger.database.overview import StudyOverview
from ledger.database.rows import TrialRow
from ledger.objectives import metrics
from ledger.proposals import proposal_input, whole_training
from ledger.proposals.surrogate import ParameterImportance, PartialDependence, Surrogate
from ledger.study.spec import StudySpec

# The report plots the surrogate only if the absolute value of every loss is at most `LARGEST`. The largest float is
# 1.8e308. The difference of two losses that are larger than `LARGEST` could exceed the largest float.
LARGEST = 1e300


class ReportContent:
    """The content of a report about one study. The report shows the state of the study at one moment.

    Parameters
    ----------
    ledger : StudyOverview

    Attributes
    ----------
    study : StudySpec
    best : row or None
        The complete trial with the best value, and therefore with the lowest loss. If several trials have the lowest
        loss, the trial with the smallest number is best.
    shown : list of rows
        The trials to show, in the order of their numbers. If a study has at most `SHOWN` trials, the report shows all
        trials. If a study has more than `SHOWN` trials, the report shows the trials with the best values and some other
        trials. At most half of the shown trials are the trials with the best values. The other shown trials are evenly
        spaced.

    Raises
    ------
    LedgerError
        This version of the ledger cannot read the study's spec.
    """

    def __init__(self, ledger: StudyOverview) -> None:
        self.ledger = ledger
        self.study = StudySpec.from_spec(ledger.study.name, ledger.study.budget, ledger.study.spec)
        self.best: TrialRow | None = ledger.best
        self.shown: Sequence[TrialRow] = ledger.shown

    @cached_property
    def surrogate(self) -> Surrogate | None:
        """The study's surrogate, which is fitted to the trials that have ended, or to a selection of these trials.

        The surrogate is None if the study has no recorded surrogate, if no trial is complete, or if the difference of
        two losses could exceed the largest float.
        """
        recorded = self.ledger.surrogate
        if recorded is None or self.best is None or self.is_extreme:
            return None
        following = self.ledger.next_iteration
        trials, rung_losses = self.ledger.observed, self.ledger.rung_losses
        whole = whole_training(self.study)
        given = proposal_input(trials, following, 0, recorded, rung_losses=rung_losses, whole=whole)
        return Surrogate(self.study, given, following)

    @cached_property
    def dependences(self) -> dict[str, PartialDependence]:
        """The partial dependence of the value on each parameter. If no surrogate exists, the mapping is empty."""
        return self.surrogate.dependences() if self.surrogate else {}

    @cached_property
    def importances(self) -> dict[str, ParameterImportance]:
        """The importance of each parameter. The mapping is empty if the report has no surrogate."""
        return self.surrogate.importances() if self.surrogate else {}

    @property
    def is_extreme(self) -> bool:
        """Whether the difference of two losses could exceed the largest float."""
        assert self.best is not None
        assert self.best.loss is not None
        assert self.ledger.highest_loss is not None
        at_rungs = (loss for losses in self.ledger.rung_losses.values() for loss in losses.values())
        return max(map(abs, (self.best.loss, self.ledger.highest_loss, *at_rungs))) > LARGEST

    @property
    def values(self) -> tuple[float, float]:
        """The lowest and the highest value of all complete trials. At least one trial must be complete."""
        assert self.best is not None
        assert self.ledger.worst_value is not None
        worst, best = self.ledger.worst_value, self.best.result
        return (worst, best) if self.is_maximised else (best, worst)

    @property
    def metric(self) -> str:
        """The name of the metric from which the ledger computes the loss of a model or an estimator.

        If the objective is a user's own function, the property is the default name `metrics.DEFAULT`. The report looks
        for a metric with the default name among the metrics that the user's function returned.
        """
        return self.study.objective.metric or metrics.DEFAULT

    @property
    def value_name(self) -> str:
        """The name of a trial's value in the texts of the report.

        For a model or an estimator, the value of a trial has the name of the metric.
        """
        return self.metric if self.study.objective.trains else "value"

    @property
    def is_maximised(self) -> bool:
        """Whether the highest value is the best value."""
        return self.study.objective.scale.is_maximised

    @property
    def is_steady(self) -> bool:
        return self.study.mode == "steady"
