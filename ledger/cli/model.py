"""The command `ledger model`, which shows the kept model of a study, or writes the model to a file."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ledger.access import connected
from ledger.cli import document
from ledger.cli.names import STUDY
from ledger.cli.options import LARGEST_INTEGER, examples, settings_options, store_option
from ledger.cli.sections import SectionedCommand
from ledger.errors import LedgerError, UsageError
from ledger.settings import Settings
from ledger.text import one_line, show

if TYPE_CHECKING:
    from ledger.kept_model import FoundModel

# Largest number of names in a line, and largest number of characters in a line.
_MOST_NAMES, _LONGEST = 8, 1_000


@click.command(
    cls=SectionedCommand,
    epilog=examples(
        "ledger model svm-42-341b3e",
        "ledger model svm-42-341b3e --output model.skops",
        "ledger model svm-42-341b3e --json | jq '.columns[].name'",
    ),
)
@click.argument("name", type=STUDY)
@click.option(
    "--trial",
    type=click.IntRange(0, LARGEST_INTEGER),
    metavar="NUMBER",
    help="Number of the trial. Default: the best trial.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="Write the model to this file, and write its description to a .json file in the same folder. If the path is a"
    " folder, the files are model.skops and model.json.",
)
@click.option("--force", is_flag=True, help="Replace existing files.")
@document.json_option
@settings_options
@store_option
def model(name: str, trial: int | None, output: Path | None, force: bool, as_json: bool, settings: Settings) -> None:
    """Show the kept model of a study, or write the model to a file. With --keep-models best, a study keeps its best
    model.

    `ledger.load_model` reads the model in Python, and predicts from a data frame.
    """
    from ledger import artifacts
    from ledger.kept_model import find
    from ledger.objectives.model_document import MODEL

    if output is not None and as_json:
        raise UsageError("--json prints the description of the model: leave --output out")
    with connected(settings) as connection:
        found = find(connection, settings, name, trial)
        if output is not None:
            # `Path.is_dir` would raise an OSError if the path is too long or cannot be examined.
            target = output / MODEL if os.path.isdir(output) else output  # noqa: PTH112
            beside = target.with_suffix(".json")
            _check_paths(target, beside, force=force)
            for row, path in ((found.model, target), (found.description, beside)):
                artifacts.download(connection, settings, found.study.id, row, path, overwrite=force)
            click.echo(f"model of study {name}, trial {found.trial.number}: {found.model.size} bytes in {target}")
            return
    if as_json:
        document.write(_described(found))
        return
    _show(found)


def _check_paths(target: Path, beside: Path, *, force: bool) -> None:
    if beside == target:
        raise UsageError(f"--output {one_line(str(target))}: choose another ending, such as .skops, for the model")
    for path in (target, beside):
        if os.path.lexists(path) and not force:
            raise LedgerError(f"{one_line(str(path))} exists: choose another path, or overwrite the file with --force")


def _described(found: "FoundModel") -> dict[str, object]:
    described = found.document.model_dump(exclude={"format"})
    return {
        **described,
        "study": found.study.name,
        "params": found.params,
        "size": found.model.size,
        "saved_at": found.model.saved_at,
    }


def _show(found: "FoundModel") -> None:
    described, trial = found.document, found.trial
    objective = found.study.spec["objective"]
    steps = objective.get("steps") or [["", objective.get("model") or objective.get("estimator")]]
    of_text = sum(column.texts is not None for column in described.columns)
    names = [column.name for column in described.columns]
    facts = {
        "study": found.study.name,
        "trial": f"{trial.number}, attempt {found.model.attempt}",
        "estimator": ", ".join(f"{name} {reference}".strip() for name, reference in steps),
        described.metric: repr(trial.value),
        "parameters": ", ".join(f"{name}={show(value)}" for name, value in found.params.items()),
        "trained on": f"{described.dataset}, {described.rows} rows",
        "SHA-256": described.dataset_sha256,
        "target": described.target,
        "classes": None if described.classes is None else _listed([str(label) for label in described.classes]),
        "columns": f"{len(names)}, {of_text} of text: {_listed(names)}",
        "missing numbers": described.missing_numbers,
        "versions": ", ".join(f"{package} {version}" for package, version in described.versions.items()),
        "file": f"{found.model.name}, {found.model.size} bytes, SHA-256 {found.model.sha256[:12]}",
        "saved": f"{found.model.saved_at:%Y-%m-%d %H:%M:%S}",
    }
    width = max(len(label) for label, value in facts.items() if value is not None)
    for label, value in facts.items():
        if value is not None:
            click.echo(f"{one_line(label):<{width}}  {one_line(str(value), _LONGEST)}")


def _listed(names: list[str]) -> str:
    more = "" if len(names) <= _MOST_NAMES else f" and {len(names) - _MOST_NAMES} more"
    return ", ".join(names[:_MOST_NAMES]) + more
