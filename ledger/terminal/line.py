"""A study's status as one line of text, for a terminal or log that cannot show the live view."""

from datetime import timedelta

from ledger.database.rows import COUNTED_STATES
from ledger.database.status import StudyStatus
from ledger.text import one_line


def line(status: StudyStatus) -> str:
    """Return the study's progress in one line.

    The line contains no timestamps, and no durations that grow with time. Therefore the line changes only when the
    study changes.
    """
    parts = [
        f"{status.ended} of {status.budget} trials",
        f"{status.iterations_told} iterations told",
        counts(status),
    ]
    if status.best is not None:
        parts.append(
            f"best value {status.best['value']:.6g} ({direction(status)}, trial {status.best['trial']}{score(status)})"
        )
    if saved := saved_steps(status):
        parts.append(saved)
    if attempts := unsuccessful_attempts(status):
        parts.append(attempts)
    state = status.state + (f" ({one_line(status.reason)})" if status.reason else "")
    return f"{status.name} {state}: {', '.join(part for part in parts if part)}"


def direction(status: StudyStatus) -> str:
    """Return "minimize" or "maximize", which is the direction of the study. If the best value is a metric, the name of
    the metric precedes the direction.
    """
    best = status.best
    if best is None or best["score"] is None or best["score"] != best["value"]:
        return status.direction
    return f"{one_line(best['metric'], 60)}, {status.direction}"


def score(status: StudyStatus) -> str:
    """Return a comma, followed by the name and the value of the best trial's metric.

    Return an empty text if no trial is complete, if the best trial has no metric, or if the metric is equal to the
    trial's value.
    """
    best = status.best
    if best is None or best["score"] is None or best["score"] == best["value"]:
        return ""
    return f", {one_line(best['metric'], 60)} {best['score']:.6g}"


def counts(status: StudyStatus) -> str:
    """Return the number of trials in each state as text. The text omits a state without trials."""
    return ", ".join(f"{count} {state}" for state in COUNTED_STATES if (count := getattr(status, state)))


def saved_steps(status: StudyStatus) -> str:
    """Return a text with the number of steps that the pruned trials did not run, and with the estimated training time
    of these steps. The text is empty if the number is 0, and has no time below a second.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> saved_steps(SimpleNamespace(saved_steps=1234, saved_seconds=725.5))
    '1,234 steps avoided by early stopping (about 0:12:05 of training)'
    >>> saved_steps(SimpleNamespace(saved_steps=1, saved_seconds=None))
    '1 step avoided by early stopping'
    """
    if not status.saved_steps:
        return ""
    text = f"{status.saved_steps:,} step{'s' if status.saved_steps != 1 else ''} avoided by early stopping"
    seconds = status.saved_seconds or 0.0
    return f"{text} (about {duration(seconds)} of training)" if seconds >= 1.0 else text


def unsuccessful_attempts(status: StudyStatus) -> str:
    """Return the numbers of failed, crashed and lost attempts as text, or an empty text if all numbers are 0.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> unsuccessful_attempts(SimpleNamespace(failures=1, crashes=0, lost=2))
    '1 failed attempt and 2 lost'
    """
    counted = [(status.failures, "failed"), (status.crashes, "crashed"), (status.lost, "lost")]
    parts = [(number, f"{number} {what}") for number, what in counted if number]
    if not parts:
        return ""
    (first, text), *others = parts
    texts = [f"{text} attempt{'s' if first != 1 else ''}", *(text for _, text in others)]
    return " and ".join(filter(None, [", ".join(texts[:-1]), texts[-1]]))


def duration(seconds: float) -> str:
    """Return a duration as text, in whole seconds. The text of a negative duration is the same as the text of 0
    seconds.

    Examples
    --------
    >>> duration(7.9), duration(273906)
    ('0:00:07', '3 days, 4:05:06')
    """
    return str(timedelta(seconds=max(0, int(seconds))))
