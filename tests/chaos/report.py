"""Report of a chaos test: tables of faults, attempts and broken guarantees."""

from collections import Counter

from tests.chaos.faults import KINDS
from tests.chaos.soak import Soaked
from tests.chaos.studies import Plan

OUTCOMES = ("complete", "pruned", "paused", "lost", "released", "failed", "crashed", "timeout", "stale", "open")


def broken(plan: Plan, soaked: Soaked) -> dict[str, int]:
    """Return the counts that must be 0, by their descriptions."""
    counts = soaked.counts
    expected = soaked.iterations * plan.batch_size if plan.patience is None else len(soaked.undisturbed)
    pairs = zip(soaked.results, soaked.undisturbed, strict=False)
    differing = sum(result != undisturbed for result, undisturbed in pairs)
    missing = abs(len(soaked.undisturbed) - len(soaked.results))
    return {
        "trials lost": expected - counts["ended"],
        "results recorded twice": counts["doubled"],
        "trials without an attempt of the same outcome": counts["without_attempt"],
        "trials or verdicts that differ from the undisturbed study": differing + missing if plan.mode == "batch" else 0,
        "complete trials without all reports": counts["without_reports"] if plan.model == "rugged" else 0,
        "iterations not told": counts["untold"],
        "failures of machines that were counted as failures of the objective": counts["failures"],
        "complete attempts without their artifact": counts["unsaved"],
        "half-written checkpoints from which a trial continued": counts["torn"],
        "damaged artifacts": counts["damaged"],
        "files in the store that belong to no artifact": counts["spare"],
        "attempts that never ended": soaked.attempts["open"],
        "trainers that outlived their worker": soaked.outlived,
        "workers that did not stop when asked at the end": len(soaked.stayed),
        "workers with a wrong exit code after SIGTERM in a trial": len(soaked.wrong_exits),
        "programs that ended with a traceback": len(soaked.tracebacks),
        "differences found by `ledger verify`": int(bool(soaked.verify)),
    }


def table(plan: Plan, soaked: Soaked, *, workers: int, command: str) -> str:
    """Return the report as Markdown."""
    injected = Counter(fault.kind for fault in soaked.faults)
    hit = Counter(fault.kind for fault in soaked.faults if fault.hit)
    lines = [
        f"The study had {soaked.counts['trials']} trials (objective `{plan.model}`, surrogate `{plan.base_estimator}`,"
        f" {plan.mode} mode"
        f"{f', rule `{plan.rule}`' if plan.model == 'rugged' else ''}). The study ran on {workers} workers.",
        f"The test injected faults for {soaked.seconds:.0f} s:",
        "",
        "```text",
        command,
        "```",
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
        f"{soaked.counts['continued']} attempts continued from a checkpoint, and the rule of early stopping ended"
        f" {soaked.counts['pruned']} trials.",
        "",
        f"{len(soaked.left)} processes exited for a reason other than an injected fault.",
    ]
    return "\n".join(lines) + "\n"
