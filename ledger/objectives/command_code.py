"""The arguments and the files that make up the code of a command."""

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

# The ledger does not watch a file of more than `_LARGEST_FILE` bytes, because each worker would have to read the file.
_LARGEST_FILE = 100_000_000


def code_of_command(arguments: Sequence[str], patterns: Sequence[str], *, recordable: bool = False) -> ObjectiveCode:
    """Return the arguments and the files that make up the code of a command.

    The first file in the arguments is the program itself, or the script that the program runs. The script of each
    worker must have the same content as the script in the study's record. The arguments may also name further files.
    The ledger treats a further file as a value, not as code, because the program may write to the file.

    Parameters
    ----------
    arguments : sequence of str
        The program and its arguments, in the format that `CommandTemplate` accepts.
    patterns : sequence of str
        The patterns of the allowed commands. If the name of a file matches only the word ``{...}`` of a pattern, the
        returned code omits the file's text. If the returned code contained the text of each file, the creator of a
        study could read any text file in the worker's folder.
    recordable : bool
        Whether the returned code also contains the git commit and the text of the script.

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
    """Yield the index of each argument that names a file in the current folder, and the name of the file."""
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
    """Return the content of a file as bytes.

    If the ledger cannot watch the file for changes, return the reason as a text.
    """
    try:
        with Path(name).open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
    except OSError:
        return "not readable"
    return content if len(content) <= _LARGEST_FILE else f"more than {_LARGEST_FILE:,} bytes"


def _text(content: bytes) -> str | None:
    """Return the content of a file as a text, or None if the file is binary or the text exceeds `LARGEST_TEXTS`."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return None
    return text if "\0" not in text and len(json.dumps(text, ensure_ascii=False).encode()) <= LARGEST_TEXTS else None


def _hashed(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
