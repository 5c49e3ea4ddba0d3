"""The code of the objective in a study's spec."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ledger.objectives import fingerprint, pickled
from ledger.objectives.command_code import code_of_command
from ledger.objectives.command_template import pattern_of
from ledger.objectives.estimators import find_estimator, own_references
from ledger.objectives.fingerprint import CodePart, ObjectiveCode, changes
from ledger.objectives.form import read_form
from ledger.objectives.function import find_function
from ledger.objectives.loading import runs_users_code
from ledger.objectives.references import defining_module


def code_of(
    objective: Mapping[str, Any],
    allowed: Collection[str],
    folder: str | None = None,
    *,
    commands: Sequence[str] = (),
    recordable: bool = False,
) -> ObjectiveCode | None:
    """Return the code of an objective, or None if the objective does not run a user's code.

    Parameters
    ----------
    objective : mapping
        The objective, in the format of a study's spec.
    allowed : collection of str
        Packages whose functions and estimators this process may run.
    folder : str, optional
        Additional folder that contains the modules of allowed functions and estimators. Python searches this folder
        after all other folders.
    commands : sequence of str
        Patterns of the commands that this process may run.
    recordable : bool
        Whether the returned code contains the git commit, the versions of the packages and the source texts.

    Raises
    ------
    LedgerError
        The objective's function or estimator cannot be loaded, or no pattern allows the command. The message is one
        line.
    """
    if not runs_users_code(objective):
        return None
    compute = fingerprint.recordable_code_of if recordable else fingerprint.code_of
    function = str(objective.get("function"))
    module, _, name = function.partition(":")
    if "command" in objective:
        code = code_of_command(objective["command"], commands, recordable=recordable)
    elif "function" not in objective:
        code = fingerprint.joined(
            compute(find_estimator(each, allowed, folder), *reversed(each.split(":")), is_importable=True)
            for each in own_references(read_form(objective).steps)
        )
    elif module == pickled.MODULE:
        code = pickled.read(name).code
    else:
        code = compute(find_function(function, allowed, folder), name, module, is_importable=True)
    if not keeps_source(objective):
        return code.without_source()
    return code if recordable else replace(code, texts={})


def code_of_pickled(function: Callable[..., Any], name: str) -> ObjectiveCode:
    """Return the code of a function that this process pickles for the workers.

    The pickled function has the name `name`.

    If the ledger itself defines the function, the function has an attribute ``ledger_digest``. The attribute
    ``ledger_digest`` is the SHA-256 hash of all data that the user has passed to the function. The code of the ledger
    is not a part of the user's code.
    """
    digest = getattr(function, "ledger_digest", None)
    if isinstance(digest, str):
        return ObjectiveCode((CodePart("search", name, code=digest),))
    return fingerprint.recordable_code_of(function, name, defining_module(function), is_importable=False)


def title_of(objective: Mapping[str, Any]) -> str:
    """Return the name of the user's function, estimators or command, for use in a message."""
    if "command" in objective:
        return pattern_of(objective["command"])
    if "function" in objective:
        return str(objective["function"])
    return ", ".join(own_references(read_form(objective).steps))


def keeps_source(objective: Mapping[str, Any]) -> bool:
    """Return whether the ledger stores the source text of the objective in addition to the text's hash."""
    return bool(objective.get("record_source", True))


def worker_changes(
    objective: Mapping[str, Any], recorded: Mapping[str, Any], code: ObjectiveCode
) -> tuple[list[str], list[str]]:
    """Compare the recorded code with the code that a worker has loaded.

    Parameters
    ----------
    objective : mapping
        The objective, in the format of a study's spec.
    recorded : mapping
        A mapping that contains the recorded parts under the key "parts".
    code : ObjectiveCode
        The code that the worker has loaded.

    Returns
    -------
    refused, differing : list of str
        `refused` lists the code changes that forbid the training on this worker. `differing` lists the values that
        differ on this machine, but do not forbid the training. A module may compute a value that depends on the
        machine, such as the number of cores. In addition, an argument of a program may be the name of a file that the
        program changes.
    """
    parts = fingerprint.parts_from_json(recorded.get("parts"))
    if pickled.is_in_script(objective):
        return changes(parts, code.parts), []
    refused = changes(parts, code.parts, values=False)
    return refused, [] if refused else changes(parts, code.parts)
