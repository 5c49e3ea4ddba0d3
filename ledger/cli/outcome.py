"""What a study has found, for people."""

import json

import click

from ledger.database.store import Store, StudyRow
from ledger.lines import one_line


def show(store: Store, row: StudyRow) -> None:
    """Print how the study stands and its best trial."""
    progress = store.progress(row.name)[0]
    counts = ", ".join(
        f"{getattr(progress, state)} {state}"
        for state in ("complete", "running", "pending", "failed", "cancelled")
        if getattr(progress, state)
    )
    lines = {
        "study": row.name,
        "state": row.state + (f": {one_line(row.reason, 1_000)}" if row.reason else ""),
        "iterations": f"{progress.iterations_told} of {row.iterations}",
        "trials": counts or "none yet",
    }
    best = store.best(row.id)
    if best is not None:
        lines["best"] = f"trial {best.number} of iteration {best.iteration}" + (
            f", {best.source}" if best.source != "proposed" else ""
        )
        lines["parameters"] = json.dumps(best.params)
        lines["loss"] = repr(best.loss)
        metric = row.spec["objective"].get("metric", "accuracy")
        if metric in best.metrics:
            lines[metric] = repr(best.metrics[metric])
    for name, value in lines.items():
        click.echo(f"{name:<11} {value}")
