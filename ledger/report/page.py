"""Renders a report as one HTML page that needs no other file."""

import json
import pprint
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import plotly
from plotly.offline import get_plotlyjs_version

from ledger import __version__
from ledger.database.overview import StudyOverview
from ledger.database.rows import AnnotationRow, TrialRow
from ledger.database.savings import SavedSteps
from ledger.objectives.fingerprint import commit_text, not_watched, parts_from_json, watched
from ledger.report.content import ReportContent
from ledger.report.html import moment, page_of
from ledger.report.plots import PLOTS
from ledger.study.objective import FileDataset
from ledger.study.python_values import ordered_params
from ledger.text import last_line, one_line

# `METRICS` is the maximum number of metrics that have a column in the table of trials. The page shows at most
# `ENVIRONMENTS` changes of the package versions.
METRICS, ENVIRONMENTS = 8, 100


def render(ledger: StudyOverview) -> str:
    """Return a study's report as HTML.

    The page contains Plotly's JavaScript and loads nothing from the network. The page's content security policy forbids
    all network connections. The function escapes HTML characters in all texts of the study.

    Raises
    ------
    LedgerError
        This version of the ledger cannot read the study's spec.
    """
    content = ReportContent(ledger)
    metrics = _metrics(content)
    rows = [_row(content.study.space.names, metrics, trial) for trial in _by_loss(content.shown)]
    # If the objective has reported no values, the page omits the section of the learning curves.
    sections = [plot(content) for name, plot in PLOTS.items() if name != "curves" or ledger.curves]
    return page_of(
        "page.html",
        sections,
        title=f"{ledger.study.name}: report",
        study=ledger.study,
        at=moment(ledger.at),
        tiles=_tiles(content),
        best=content.best,
        value_name=content.value_name,
        is_maximised=content.is_maximised,
        best_params=None if content.best is None else _python_dict(content, content.best),
        columns=[
            (name, any(row[index][1] is not None for row in rows)) for index, name in enumerate(_columns(content))
        ],
        rows=rows,
        rungs=_rungs(ledger),
        hidden=ledger.trials - len(content.shown),
        trials=ledger.trials,
        space=[(dimension.name, str(dimension)) for dimension in content.study.space.dimensions],
        facts=_facts(content),
        spec=json.dumps(ledger.study.spec, indent=2, ensure_ascii=False),
        versions=_versions(content),
        code=_code(content),
    )


def _tiles(content: ReportContent) -> list[tuple[str, str, str]]:
    """Return the tiles that are at the top of the page. Each tile has a name, a value, and a text below the value."""
    ledger, study = content.ledger, content.study
    counts = {state: getattr(ledger.progress, state) for state in ("pruned", "running", "paused", "pending", "failed")}
    under_way = ", ".join(f"{count:,} {state}" for state, count in counts.items() if count)
    end = ledger.study.finished_at or ledger.at
    best = content.best
    told = ledger.progress.iterations_told
    return [
        ("State", ledger.study.state, one_line(ledger.study.reason or "", 120)),
        (f"Best {content.value_name}", "-" if best is None else f"{best.value:.6g}", _best(content)),
        ("Trials", f"{ledger.progress.complete:,} complete", under_way or f"of {ledger.trials:,}"),
        (
            "Budget",
            f"{study.budget:,} trials",
            f"{ledger.study.batch_size:,} kept in flight"
            if content.is_steady
            else f"{told:,} finished iterations, {_batch_size(ledger)}",
        ),
        ("Elapsed", _duration(end - ledger.study.created_at), f"since {moment(ledger.study.created_at)}"),
    ]


def _saved(saved: SavedSteps | None) -> list[tuple[str, str]]:
    if saved is None or not saved.steps:
        return []
    steps = f"{saved.steps:,} step{'s' if saved.steps != 1 else ''}"
    if saved.seconds is None:
        return [("Avoided by early stopping", steps)]
    return [("Avoided by early stopping", f"{steps}, about {_duration(timedelta(seconds=saved.seconds))} of training")]


def _duration(time: timedelta) -> str:
    """Return a duration as text, in the largest suitable unit."""
    seconds = max(time.total_seconds(), 0.0)
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def _batch_size(ledger: StudyOverview) -> str:
    """Return the study's batch size as text. The text also lists the earlier batch sizes of the study."""
    now = ledger.study.batch_size
    others = [size for size in ledger.batch_sizes if size != now]
    before = f" (before: {', '.join(f'{size:,}' for size in others)})" if others else ""
    return f"batch size {now:,}{before}"


def _facts(content: ReportContent) -> list[tuple[str, str]]:
    study = content.study
    objective = study.objective
    data = objective.data
    return [
        ("Objective", objective.title),
        *([("Fixed parameters", _named(objective.params))] if objective.params else []),
        *([("Metric", _metric(content))] if objective.trains else []),
        *(
            []
            if data is None
            else [("Dataset", f"{data.name}: {data.rows:,} rows, {_roles(data)}"), ("SHA-256", data.sha256)]
        ),
        ("Direction", study.objective.scale.direction),
        *([("Class weights", json.dumps(objective.class_weights))] if objective.class_weights else []),
        ("Mode", study.mode),
        ("Seed", str(study.seed)),
        *_criteria(content),
        *_saved(content.ledger.saved),
        ("Surrogate", study.optimizer.base_estimator),
        ("Acquisition function", study.optimizer.acq_func),
        ("Random points first", f"{'at least ' if study.mode == 'steady' else ''}{study.resolved.initial_points}"),
        ("Begun", moment(content.ledger.study.created_at)),
        ("Ended", moment(content.ledger.study.finished_at) if content.ledger.study.finished_at else "not yet"),
        *_annotation(content.ledger.annotation),
    ]


def _annotation(annotation: AnnotationRow | None) -> list[tuple[str, str]]:
    if annotation is None:
        return []
    facts = [
        ("Tags", ", ".join(annotation.tags)),
        ("Note", annotation.note or ""),
        *((f"Attribute {name}", json.dumps(value)) for name, value in annotation.attributes.items()),
    ]
    return [(one_line(name, 100), one_line(text, 1_000)) for name, text in facts if text]


def _criteria(content: ReportContent) -> list[tuple[str, str]]:
    row = content.ledger.study
    criteria = {
        "Target": row.target,
        "Patience": None if row.patience is None else f"{row.patience:,} trials",
        "Timeout": None if row.timeout_seconds is None else f"{row.timeout_seconds:,g} s",
    }
    return [(name, str(value)) for name, value in criteria.items() if value is not None]


def _metric(content: ReportContent) -> str:
    objective = content.study.objective
    data = objective.data
    scored = "a fifth of the rows"
    if data is not None and data.holdout is not None:
        scored = f"{data.holdout.rows:,} rows of {data.holdout.name}"
    elif objective.cv:
        scored = f"mean of {objective.cv} folds" + (f", {objective.repeats} times" if objective.repeats else "")
    elif data is not None and data.time_column is not None:
        scored = "the latest fifth of the rows"
    of_zero = "1 " if objective.scale.loss_of_zero else ""
    return f"{content.metric}, {scored}; loss {of_zero}- {content.metric}"


def _roles(data: FileDataset) -> str:
    return ", ".join(f"{role} {column}" for column, role in data.roles.named())


def _best(content: ReportContent) -> str:
    if content.best is None:
        return ""
    score = (content.best.metrics or {}).get(content.metric)
    scored = f"; {content.metric} {score:.6g}" if isinstance(score, float) and score != content.best.value else ""
    return f"trial {content.best.number}{scored}"


def _versions(content: ReportContent) -> list[tuple[str, str]]:
    """Return pairs. Each pair contains a title and the package versions to show under this title. An example of a title
    is "iterations 0 to 2".
    """
    own = {"trial-ledger": __version__, "plotly": plotly.__version__, "plotly.js": get_plotlyjs_version()}
    sources = [("this report", _named(own)), ("the study's first manager", _named(content.ledger.study.versions))]
    environments = content.ledger.environments
    omitted = len(environments) - ENVIRONMENTS
    for used in environments[:ENVIRONMENTS]:
        title = f"iteration {used.first}" if used.first == used.last else f"iterations {used.first} to {used.last}"
        sources.append((title, _named(used.environment)))
    if omitted > 0:
        sources.append(("later iterations", f"{omitted:,} more changes of the software versions"))
    return [(place, versions) for place, versions in sources if versions]


def _code(content: ReportContent) -> list[tuple[str, str]]:
    """Return a title and a description for each version of the objective's code."""
    described = []
    for version in content.ledger.code_versions:
        parts = parts_from_json(version.parts)
        facts = [f"SHA-256 {version.sha256}"]
        if version.git_commit is not None:
            facts.append(commit_text(version.git_commit, version.git_clean))
        facts += [_named(version.versions), f"watched: {watched(parts)}"]
        if unwatched := not_watched(parts):
            facts.append(f"not watched: {unwatched}")
        described.append((f"from trial {version.first_trial}", "; ".join(fact for fact in facts if fact)))
    return described


def _named(versions: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} {one_line(value if isinstance(value, str) else json.dumps(value), 120)}"
        for name, value in versions.items()
    )


def _columns(content: ReportContent) -> list[str]:
    of_metrics = (name if name not in content.study.space.names else f"metrics {name}" for name in _metrics(content))
    return [
        *("trial", "iteration", "state", "value"),
        *content.study.space.names,
        *of_metrics,
        *("seconds", "attempts", "worker", "error"),
    ]


def _metrics(content: ReportContent) -> list[str]:
    """Return the names of the metrics that get a column in the table of trials.

    The metrics are in the order in which they first occur in the shown trials.
    """
    names = dict.fromkeys(name for trial in content.shown for name in trial.metrics or {})
    return list(names)[:METRICS]


def _row(names: Sequence[str], metrics: Sequence[str], trial: TrialRow) -> list[tuple[str, float | None]]:
    """Return the cells of a trial's row in the table. Each cell is a pair (text, number).

    The number is None if the value of the cell is not a number.
    """
    cells: list[Any] = [trial.number, trial.iteration, trial.state, trial.value]
    cells += ["null" if trial.params.get(name, "") is None else trial.params.get(name) for name in names]
    cells += [(trial.metrics or {}).get(name) for name in metrics]
    cells += [trial.seconds, trial.attempts, trial.worker, None if trial.error is None else last_line(trial.error)]
    return [_cell(cell) for cell in cells]


def _rungs(ledger: StudyOverview) -> list[tuple[str, ...]]:
    """Return the rows of the table of the rungs. The table is empty if the study has no rule of early stopping."""
    return [
        (
            *(f"{count:,}" for count in (rung.rung, rung.trials, rung.stopped - rung.continued)),
            *(f"{rung.stopped / rung.trials:.0%}", f"{rung.audited:,}", f"{rung.continued:,}"),
        )
        for rung in ledger.rungs
    ]


def _python_dict(content: ReportContent, trial: TrialRow) -> str:
    params = ordered_params(trial.params, content.study.space.to_json())
    return pprint.pformat(params, sort_dicts=False, width=60)


def _cell(value: Any) -> tuple[str, float | None]:
    if value is None:
        return "", None
    if isinstance(value, bool | dict | list):
        return one_line(json.dumps(value), 120), None
    if not isinstance(value, int | float):
        return one_line(str(value), 120), None
    return (f"{value:.6g}" if isinstance(value, float) else str(value)), value


def _by_loss(trials: Sequence[TrialRow]) -> list[TrialRow]:
    return sorted(trials, key=lambda trial: (trial.loss is None, trial.loss or 0.0, trial.number))
