"""The code of a command: its arguments, and the files of the current folder that the arguments name."""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ledger.database.bounds import text_fault
from ledger.objectives.command_template import CommandTemplate, fixed_arguments
from ledger.objectives.fingerprint import LARGEST_TEXTS, CodePart, ObjectiveCode, bounded
from ledger.objectives.fingerprint.provenance import git_state

# The ledger does not watch a larger file, because each worker would have to read the file.
_LARGEST_FILE = 100_000_000


def code_of_command(arguments: Sequence[str], patterns: Sequence[str], *, recordable: bool = False) -> ObjectiveCode:
    """Return the code of a command.

    The first file is the program, or the script that the program runs. A worker must have the recorded script. Each
    other file that an argument names counts as a value and not as code, because the program may write to this file.

    Parameters
    ----------
    arguments : sequence of str
        The program and its arguments, in the form of `CommandTemplate`.
    patterns : sequence of str
        The patterns of the allowed commands. If only the word ``{...}`` of a pattern allows a file, the code does not
        contain the text of the file. Otherwise the creator of a study could read any text in the folder of the worker.
    recordable : bool
        Whether the code contains the git commit and the text of the script.

    Raises
    ------
    LedgerError
        No pattern allows the command.

    Examples
    --------
    >>> [str(part) for part in code_of_command(["true", "{x}"], ["true {x}"]).parts]
    ['command `true`']
    """
    template = CommandTemplate(arguments)
    parts = [CodePart("command", template.label, code=_hashed(json.dumps(list(arguments)).encode()))]
    code = ObjectiveCode(())
    fixed = fixed_arguments(template.arguments, patterns)
    for index, name in _named_files(template):
        is_script = len(parts) == 1
        content = _content(name)
        if isinstance(content, str):
            parts.append(CodePart("command file", name, unwatched=content))
            continue
        hashed = _hashed(content)
        parts.append(CodePart("command file", name, **{"code" if is_script else "value": hashed}))
        text = _text(content) if is_script and recordable and index < fixed else None
        if text is not None:
            code = replace(code, sources={name: hashed}, texts={name: text})
    if recordable and len(parts) > 1:
        commit, clean = git_state(os.curdir, [part.name for part in parts if part.kind == "command file"])
        code = replace(code, git_commit=commit, git_clean=clean)
    return replace(code, parts=bounded(parts))


def _named_files(template: CommandTemplate) -> Iterator[tuple[int, str]]:
    """Yield the index and the text of each argument that names a file in the current folder."""
    current = os.path.realpath(os.curdir)
    found: set[str] = set()
    for index, text in enumerate(template.texts):
        name = text or ""
        if name.startswith("-"):
            name = name.partition("=")[2]
        # If the name of a program contains no folder, the system searches for the program in PATH.
        if name in found or (index == 0 and "/" not in name) or text_fault(name) is not None:
            continue
        path = os.path.realpath(name)
        if os.path.isfile(path) and os.path.commonpath((current, path)) == current:  # noqa: PTH113 (a text)
            found.add(name)
            yield index, name


def _content(name: str) -> bytes | str:
    """Return the content of a file as bytes. If the file cannot be watched, return the reason as a text."""
    try:
        with Path(name).open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
    except OSError:
        return "not readable"
    return content if len(content) <= _LARGEST_FILE else f"more than {_LARGEST_FILE:,} bytes"


def _text(content: bytes) -> str | None:
    """Return the content of a file as a text, or None if the file is binary or the text is too long for an answer."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return None
    return text if "\0" not in text and len(json.dumps(text, ensure_ascii=False).encode()) <= LARGEST_TEXTS else None


def _hashed(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
