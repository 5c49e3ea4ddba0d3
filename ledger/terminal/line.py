"""A study's status as one line, for where no view can be drawn."""

from datetime import timedelta

from ledger.database.status import Status
from ledger.text import one_line


def line(status: Status) -> str:
    """Return how the study stands, without anything that changes while it does not."""
    parts = [
        f"{status.ended} of {status.budget} trials",
        f"{status.iterations_told} iterations told",
        counts(status),
    ]
    if status.best is not None:
        parts.append(f"best loss {status.best['loss']:.6g} (trial {status.best['trial']}{score(status)})")
    if found := attempts_gone_wrong(status):
        parts.append(found)
    state = status.state + (f" ({one_line(status.reason)})" if status.reason else "")
    return f"{status.name} {state}: {', '.join(part for part in parts if part)}"


def score(status: Status) -> str:
    """Return what the best trial scored, after a comma, or nothing where it has no such metric."""
    if status.best is None or status.best["score"] is None:
        return ""
    return f", {one_line(status.best['metric'], 60)} {status.best['score']:.6g}"


def counts(status: Status) -> str:
    """Return how many trials are in each state, of those that any is in."""
    states = ("complete", "running", "pending", "failed", "cancelled")
    return ", ".join(f"{getattr(status, state)} {state}" for state in states if getattr(status, state))


def attempts_gone_wrong(status: Status) -> str:
    """Return how many attempts failed or were lost, or nothing."""
    failed = f"{status.failures} failed attempt{'s' if status.failures != 1 else ''}" if status.failures else ""
    lost = f"{status.lost} lost" + ("" if failed else f" attempt{'s' if status.lost != 1 else ''}")
    return " and ".join(part for part in (failed, lost if status.lost else "") if part)


def duration(seconds: float) -> str:
    """Return a time as a person reads it, to the second, as in 0:00:07 or 3 days, 4:05:06; never below 0."""
    return str(timedelta(seconds=max(0, int(seconds))))
