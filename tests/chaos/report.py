"""The result of a soak test as a table, with the counts that must be 0."""

from collections import Counter

from tests.chaos.faults import KINDS
from tests.chaos.soak import Soaked
from tests.chaos.studies import Plan

OUTCOMES = ("complete", "lost", "released", "failed", "timeout", "stale", "open")


def broken(plan: Plan, soaked: Soaked) -> dict[str, int]:
    """Return the counts that must be 0, by name."""
    counts = soaked.counts
    expected = soaked.iterations * plan.batch_size
    differing = sum(
        result != undisturbed for result, undisturbed in zip(soaked.results, soaked.undisturbed, strict=False)
    )
    return {
        "trials lost": expected - counts["complete"],
        "results doubled": counts["doubled"],
        "trials without the complete attempt that they are from": counts["without_attempt"],
        "trials that differ from the undisturbed study": differing + abs(len(soaked.undisturbed) - len(soaked.results)),
        "iterations not told": counts["untold"],
        "trials charged with a failure that was the machines'": counts["failures"],
        "attempts left open": soaked.attempts["open"],
        "trainers that outlived their worker": soaked.outlived,
        "workers that did not leave as asked at the end": len(soaked.stayed),
        "programs that ended in a traceback": len(soaked.tracebacks),
        "differences found by `ledger verify`": int(bool(soaked.verify)),
    }


def table(plan: Plan, soaked: Soaked, *, workers: int, command: str) -> str:
    """Return the report as Markdown."""
    injected = Counter(fault.kind for fault in soaked.faults)
    hit = Counter(fault.kind for fault in soaked.faults if fault.hit)
    study = "its own objective" if plan.model == "rugged" else plan.model
    lines = [
        f"A study of {soaked.counts['trials']} trials ({study}, proposed by {plan.base_estimator})"
        f" on {workers} workers, under faults for {soaked.seconds:.0f} s:",
        "",
        f"    {command}",
        "",
        "| fault | injected | hit |",
        "|---|---:|---:|",
        *(f"| {kind} | {injected[kind]} | {hit[kind]} |" for kind in KINDS if injected[kind]),
        f"| all | {injected.total()} | {hit.total()} |",
        "",
        "| attempts | |",
        "|---|---:|",
        *(f"| {outcome} | {soaked.attempts[outcome]} |" for outcome in OUTCOMES),
        "",
        "| must be 0 | |",
        "|---|---:|",
        *(f"| {what} | {count} |" for what, count in broken(plan, soaked).items()),
        "",
        f"Processes that left unasked, and were replaced: {len(soaked.left)}.",
    ]
    return "\n".join(lines) + "\n"
