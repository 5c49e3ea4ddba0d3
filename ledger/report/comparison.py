"""Groups of studies with the same objective. A comparison shows the studies of a group together."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ledger.database.study_curves import StudyCurve
from ledger.errors import UsageError
from ledger.objectives import Direction, metrics
from ledger.study.objective import Objective
from ledger.study.python_values import ordered_params
from ledger.study.spec import StudySpec, flat_settings
from ledger.text import one_line

# If the text of an objective or a dataset has more than `_LONGEST` characters, a message shows only a part of the text.
_LONGEST = 200


@dataclass(frozen=True)
class ComparedStudy:
    """One study of a comparison, with the best trial and each improvement of the best value.

    Attributes
    ----------
    name : str
        The study's name.
    state : {"running", "paused", "complete", "failed", "cancelled"}
        The study's state.
    complete : int
        The number of complete trials.
    best_trial : int or None
        The number of the trial with the best value. The value is None if no trial is complete.
    best_value : float or None
        The best value. The value is None if no trial is complete.
    best_params : dict
        The parameters of the best trial, in the order of the search space. The dictionary is empty if no trial is
        complete.
    best_seconds : float or None
        The time in seconds from the creation of the study to the end of the best trial. If several trials have the best
        value, the trial that ended first determines the time. The value is None if no trial is complete.
    elapsed_seconds : float
        The time in seconds from the creation of the study to the end of the study. For a study that has not ended, the
        time ends at the time of the comparison.
    last_trial : int
        The highest trial number among the complete trials, or 0 if no trial is complete.
    by_trial : tuple of (int, float)
        A pair for each complete trial that improves the best value, in the order of the trials' numbers. Each pair
        contains the number and the value of the trial.
    by_time : tuple of (float, float)
        A pair for each improvement of the best value, in chronological order. Each pair contains the time of the
        improvement in seconds since the creation of the study, and the new best value.
    is_sampled : bool
        Whether `by_time` was computed from only a selection of the trials. The value is True if the study has more
        than 2,000 trials.

    Examples
    --------
    >>> import ledger
    >>> study = ledger.compare("parabola").studies[0]
    >>> study.by_trial[-1][1] == study.by_time[-1][1] == study.best_value
    True
    """

    name: str
    state: str
    complete: int
    best_trial: int | None
    best_value: float | None
    best_params: dict[str, Any]
    best_seconds: float | None
    elapsed_seconds: float
    last_trial: int
    by_trial: tuple[tuple[int, float], ...]
    by_time: tuple[tuple[float, float], ...]
    is_sampled: bool


@dataclass(frozen=True)
class StudyGroup:
    """A group of studies with the same objective, dataset, metric and direction.

    Attributes
    ----------
    objective : str
        The function, the command, the model or the estimators of the studies.
    dataset : str or None
        The dataset of the studies. The value is None for a function or a command.
    metric : str or None
        The metric of the studies. The value is None for a function or a command.
    direction : {"minimize", "maximize"}
        Whether the lowest or the highest value is best.
    studies : tuple of ComparedStudy
        The studies, in the requested order.
    differences : dict
        The settings that differ between the studies. Each key is the name of a setting. Each value is a tuple that
        contains the text of the setting in each study, in the order of the studies. If a study does not have a setting,
        the study's text for this setting is None.

    Examples
    --------
    >>> import ledger
    >>> group = ledger.compare("parabola").groups[0]
    >>> group.direction, group.differences
    ('minimize', {})
    """

    objective: str
    dataset: str | None
    metric: str | None
    direction: Direction
    studies: tuple[ComparedStudy, ...]
    differences: dict[str, tuple[str | None, ...]]

    @property
    def title(self) -> str:
        """The objective, the dataset, the metric and the direction as one text."""
        on = f" on {one_line(self.dataset, _LONGEST)}" if self.dataset is not None else ""
        metric = f", {self.metric}" if self.metric is not None else ""
        return f"{one_line(self.objective, _LONGEST)}{on}{metric}, {self.direction}"

    @property
    def value_name(self) -> str:
        """The name of the values. If the objective is a model or an estimator, the name of the metric is also the name
        of a trial's value.
        """
        return self.metric or "value"

    @property
    def best(self) -> ComparedStudy | None:
        """The study with the best value. The value is None if no trial is complete.

        If several studies have the same best value, the first of these studies is best.
        """
        valued = [study for study in self.studies if study.best_value is not None]
        sign = -1 if self.direction == "maximize" else 1
        return min(valued, key=lambda study: sign * (study.best_value or 0.0)) if valued else None


def group_studies(curves: Sequence[StudyCurve], *, set_apart: bool) -> tuple[StudyGroup, ...]:
    """Return the studies in groups with the same objective, dataset, metric and direction.

    Parameters
    ----------
    curves : sequence of StudyCurve
        The studies to compare. The sequence contains at least one study.
    set_apart : bool
        Whether the studies may form several groups.

    Raises
    ------
    UsageError
        A study does not fit into the group of the first study, and `set_apart` is false.
    LedgerError
        This version of the ledger cannot read the spec of a study.
    """
    specs = [StudySpec.from_spec(curve.study.name, curve.study.budget, curve.study.spec) for curve in curves]
    groups: dict[tuple[str | None, ...], list[int]] = {}
    first = _facts(specs[0].objective)
    for index, spec in enumerate(specs):
        facts = _facts(spec.objective)
        for what, expected in first.items():
            if facts[what].identity != expected.identity and not set_apart:
                raise UsageError(
                    f"study {spec.name} has another {what} ({one_line(str(facts[what].shown), _LONGEST)}) than study"
                    f" {specs[0].name} ({one_line(str(expected.shown), _LONGEST)}); leave study {spec.name} out, or"
                    f" show study {spec.name} in a group of its own with --set-apart (Python: set_apart=True)"
                )
        groups.setdefault(tuple(fact.identity for fact in facts.values()), []).append(index)
    return tuple(
        _group([curves[index] for index in each], [specs[index] for index in each]) for each in groups.values()
    )


class _SharedProperty(NamedTuple):
    """A property that all studies of a group share, such as the dataset.

    Two studies share a property if both studies have the same value of `identity`. The attribute `shown` is the text of
    the property in messages.
    """

    identity: str | None
    shown: str | None


def _facts(objective: Objective) -> dict[str, _SharedProperty]:
    if objective.command is not None:
        named = objective.title
    else:
        references = ", ".join(f"{name} {reference}".strip() for name, reference in objective.references)
        named = objective.function or objective.model or references
    metric = (objective.metric or metrics.DEFAULT) if objective.trains else None
    direction = objective.scale.direction
    return {
        "objective": _SharedProperty(named, named),
        "dataset": _dataset(objective) if objective.trains else _SharedProperty(None, None),
        "metric": _SharedProperty(metric, metric),
        "direction": _SharedProperty(direction, direction),
    }


def _dataset(objective: Objective) -> _SharedProperty:
    data = objective.data
    if data is None:
        return _SharedProperty(objective.dataset, objective.dataset)
    # Two files with the same content can have different names.
    identity = json.dumps([data.target_column, *(file.sha256 for file in data.files)])
    return _SharedProperty(identity, " and ".join(f"{file.name} (SHA-256 {file.sha256[:12]})" for file in data.files))


def _group(curves: Sequence[StudyCurve], specs: Sequence[StudySpec]) -> StudyGroup:
    facts = _facts(specs[0].objective)
    return StudyGroup(
        objective=str(facts["objective"].shown),
        dataset=facts["dataset"].shown,
        metric=facts["metric"].shown,
        direction=specs[0].objective.scale.direction,
        studies=tuple(map(_compared, curves)),
        differences=_differences(curves, specs),
    )


def _compared(curve: StudyCurve) -> ComparedStudy:
    best = curve.best
    return ComparedStudy(
        name=curve.study.name,
        state=curve.study.state,
        complete=curve.progress.complete,
        best_trial=None if best is None else best.number,
        best_value=None if best is None else best.value,
        best_params={} if best is None else ordered_params(best.params, curve.study.spec["space"]),
        best_seconds=curve.by_time[-1].seconds if curve.by_time else None,
        elapsed_seconds=curve.progress.elapsed.total_seconds(),
        last_trial=curve.last_trial,
        by_trial=tuple((each.trial, each.value) for each in curve.by_trial),
        by_time=tuple((each.seconds, each.value) for each in curve.by_time),
        is_sampled=curve.is_sampled,
    )


def _differences(curves: Sequence[StudyCurve], specs: Sequence[StudySpec]) -> dict[str, tuple[str | None, ...]]:
    every = [_settings(curve, spec) for curve, spec in zip(curves, specs, strict=True)]
    names = dict.fromkeys(name for settings in every for name in settings)
    values = {name: tuple(settings.get(name) for settings in every) for name in names}
    return {name: of_studies for name, of_studies in values.items() if len(set(of_studies)) > 1}


def _settings(curve: StudyCurve, spec: StudySpec) -> dict[str, str]:
    study = curve.study
    others = {
        "trials": study.budget,
        "target": study.target,
        "patience": study.patience,
        "timeout": study.timeout_seconds,
        "code": None if curve.code is None else f"SHA-256 {curve.code[:12]}",
    }
    flat = flat_settings(spec.model_copy(update={"batch_size": study.batch_size}))
    return flat | {name: str(value) for name, value in others.items() if value is not None}
