"""The recorded code of an objective, and the differences between the recorded code and the present code."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeGuard

from ledger.text import one_line

# Kinds of parts, in the order in which a message lists the changed parts.
KINDS = (
    *("function", "class", "closure value", "default value", "argument", "attributes", "module value", "file"),
    *("command", "command file", "search"),
)
# Largest number of parts in the code of an objective. If the code has more than `MOST_PARTS` parts, the last part
# represents all further parts.
MOST_PARTS = 500
# Largest total size of the source texts in the code of an objective. The size is the number of bytes of the texts as
# JSON.
LARGEST_TEXTS = 400_000
_LONGEST_NAME = 200
# Largest number of changed parts in a message.
_MOST_NAMED = 5
# Largest number of parts in a list of watched parts.
_MOST_LISTED = 40


@dataclass(frozen=True)
class CodePart:
    """A part of an objective's code, such as a function or the value of a variable.

    Attributes
    ----------
    kind : str
        One of `KINDS`.
    name : str
        The name of the function, the variable or the file. In the code of an objective, each pair of a kind and a name
        is unique.
    code : str or None
        The SHA-256 of the source, in hexadecimal. `code` is None for a value that no statement of the user's modules
        defines.
    value : str or None
        The SHA-256 of the value, in hexadecimal. `value` is None if the part has no value, or if the value cannot be
        hashed.
    shown : str or None
        The value as a short text, if the value is a number, a boolean or None.
    unwatched : str or None
        The name of the value's type, if the value cannot be hashed.
    """

    kind: str
    name: str
    code: str | None = None
    value: str | None = None
    shown: str | None = None
    unwatched: str | None = None

    def __str__(self) -> str:
        return f"{self.kind} `{one_line(self.name, 80)}`"

    def to_json(self) -> dict[str, str]:
        """Return the part as a JSON object that contains only texts. The object omits each attribute that is None."""
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True)
class ObjectiveCode:
    """The recorded code of an objective, as hashes, source texts and versions. The ledger compares the hashes to find
    changes of the code.

    Attributes
    ----------
    parts : tuple of CodePart
        The parts of the code.
    sources : mapping of str to str
        A mapping from the name of each file to the SHA-256 of the file's source text, in hexadecimal.
    texts : mapping of str to str
        A mapping from the name of each file to the file's source text. A text can be missing.
    git_commit : str or None
        The commit of the git repository that contains the code. `git_commit` is None if no repository contains the
        code.
    git_clean : bool or None
        Whether the code's files are equal to the files in the commit. `git_clean` is None if no repository contains the
        code, or if the code has no files.
    versions : mapping of str to str
        The versions of Python and of the packages that the code imports.
    """

    parts: tuple[CodePart, ...]
    sources: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    git_commit: str | None = None
    git_clean: bool | None = None
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def sha256(self) -> str:
        """The SHA-256 of all parts, in hexadecimal."""
        return digest_parts(part.to_json() for part in self.parts)

    def without_source(self) -> "ObjectiveCode":
        """Return a copy of the code without source texts. In the copy, the attribute `shown` of each part is None."""
        return replace(self, texts={}, parts=tuple(replace(part, shown=None) for part in self.parts))

    def to_json(self) -> dict[str, Any]:
        """Return the code as a JSON object that `from_json` can read."""
        return {
            "sha256": self.sha256,
            "parts": [part.to_json() for part in self.parts],
            "sources": dict(self.sources),
            "texts": dict(self.texts),
            "git_commit": self.git_commit,
            "git_clean": self.git_clean,
            "versions": dict(self.versions),
        }

    @classmethod
    def from_json(cls, value: object) -> "ObjectiveCode":
        """Create an `ObjectiveCode` from a JSON object that `to_json` has written.

        Raises
        ------
        ValueError
            `value` is not a JSON object that `to_json` has written. The value may be invalid, because an objective can
            write any data to the pipe of its trainer.
        """
        if not isinstance(value, Mapping) or not isinstance(value.get("parts"), list):
            raise ValueError("the code is not an object with a list of parts")
        sources, texts, versions = (value.get(key) for key in ("sources", "texts", "versions"))
        commit, clean = value.get("git_commit"), value.get("git_clean")
        if not (_is_texts(sources) and _is_texts(texts) and _is_texts(versions) and isinstance(commit, str | None)):
            raise ValueError("the sources, texts, versions or commit of the code have a wrong type")
        if not isinstance(clean, bool | None):
            raise ValueError('the value of "git_clean" is neither a boolean nor null')
        code = cls(parts_from_json(value["parts"]), sources, texts, commit, clean, versions)
        if code.sha256 != value.get("sha256"):
            raise ValueError("the SHA-256 of the code is not the SHA-256 of the parts")
        return code


def digest_parts(parts: Iterable[Mapping[str, str]]) -> str:
    """Return the SHA-256 hash of the parts of an objective's code in hexadecimal form.

    The hash does not depend on the order of the parts, or on the attribute `shown` of a part. For equal parts, the SQL
    function `ledger.code_digest` computes the same hash as `digest_parts`.
    """
    keys = ("kind", "name", "code", "value", "unwatched")
    digests = sorted(_digest("".join(_digest(part[key]) if key in part else "-" for key in keys)) for part in parts)
    return _digest("".join(digests))


def parts_from_json(value: object) -> tuple[CodePart, ...]:
    """Convert a list of JSON objects to the parts of a code. `CodePart.to_json` has written the JSON objects.

    Raises
    ------
    ValueError
        The value is not a list of parts.
    """
    if not isinstance(value, list):
        raise ValueError("the parts of the code are not a list")
    parts = []
    for part in value:
        if not _is_texts(part):
            raise ValueError("a part of the code is not an object, or contains a value that is not a text")
        try:
            parts.append(CodePart(**part))
        except TypeError:
            raise ValueError("a part of the code has an unknown or a missing key") from None
    return tuple(parts)


def bounded(parts: Sequence[CodePart]) -> tuple[CodePart, ...]:
    """Change the names of the parts so that PostgreSQL can store the names.

    If `parts` has more than `MOST_PARTS` elements, replace the elements at the end of `parts` by one part.
    """
    named = [
        replace(part, name=_storable(part.name), unwatched=part.unwatched and _storable(part.unwatched))
        for part in parts
    ]
    if len(named) <= MOST_PARTS:
        return tuple(named)
    rest = named[MOST_PARTS - 1 :]
    hashed = digest_parts(part.to_json() for part in rest)
    return (*named[: MOST_PARTS - 1], CodePart("function", f"{len(rest)} more", code=hashed))


def limited(texts: Mapping[str, str]) -> dict[str, str]:
    """Return the first elements of `texts`, up to a total size of `LARGEST_TEXTS` bytes."""
    chosen, size = {}, 0
    for file, text in texts.items():
        size += len(json.dumps(text, ensure_ascii=False).encode())
        if size <= LARGEST_TEXTS:
            chosen[file] = text
    return chosen


def joined(codes: Iterable[ObjectiveCode]) -> ObjectiveCode:
    """Return the joint code of several objects that belong to one objective, such as the steps of a pipeline.

    The git commit is the commit of the first object.

    Examples
    --------
    >>> scale, model = (ObjectiveCode((CodePart("class", name, "a"),)) for name in ("Scale", "Model"))
    >>> [str(part) for part in joined([scale, model]).parts]
    ['class `Scale`', 'class `Model`']
    """
    first, *others = codes
    if not others:
        return first
    parts: dict[tuple[str, str], CodePart] = {}
    for part in (part for code in (first, *others) for part in code.parts):
        label, number = part.name, 1
        while parts.get((part.kind, label), replace(part, name=label)) != replace(part, name=label):
            number += 1
            label = f"{part.name} {number}"
        parts[part.kind, label] = replace(part, name=label)
    sources, texts, versions = dict(first.sources), dict(first.texts), dict(first.versions)
    clean = first.git_clean
    for code in others:
        sources.update(code.sources)
        texts.update(code.texts)
        versions.update(code.versions)
        clean = clean and code.git_clean
    return ObjectiveCode(
        bounded(list(parts.values())), sources, limited(texts), first.git_commit, clean, dict(sorted(versions.items()))
    )


def watched(parts: Sequence[CodePart]) -> str:
    """Return one line with the parts that the ledger watches for changes.

    Examples
    --------
    >>> watched([CodePart("function", "loss", "a"), CodePart("module value", "N", value="b", shown="7")])
    'function `loss`, module value `N` (7)'
    """
    return _listed(
        f"{part}" + ("" if part.shown is None else f" ({one_line(part.shown, 40)})")
        for part in parts
        if part.unwatched is None
    )


def not_watched(parts: Sequence[CodePart]) -> str:
    """Return one line of text. The line lists each value that has no hash, and the type of the value.

    The text can be empty.

    Examples
    --------
    >>> not_watched([CodePart("module value", "LOCK", unwatched="lock")])
    'module value `LOCK` (lock)'
    """
    return _listed(f"{part} ({one_line(part.unwatched, 40)})" for part in parts if part.unwatched is not None)


def _listed(names: Iterable[str]) -> str:
    found = list(names)
    return ", ".join(
        found[:_MOST_LISTED] + ([f"{len(found) - _MOST_LISTED} more"] if len(found) > _MOST_LISTED else [])
    )


def changes(recorded: Sequence[CodePart], present: Sequence[CodePart], *, values: bool = True) -> list[str]:
    """Describe the differences between the recorded code and the present code.

    Parameters
    ----------
    recorded, present : sequence of CodePart
    values : bool
        Whether the function also compares the values in the code. If a module computes a value, the value may differ on
        another machine.

    Examples
    --------
    >>> before = [CodePart("function", "loss", "a"), CodePart("module value", "SCALE", "b", "c", "0")]
    >>> now = [CodePart("function", "loss", "a"), CodePart("module value", "SCALE", "d", "e", "100")]
    >>> changes(before, now)
    ['module value `SCALE` (0, now 100)']
    """
    before = {(part.kind, part.name): part for part in recorded}
    now = {(part.kind, part.name): part for part in present}
    changed = [
        (before[key], now[key])
        for key in before.keys() & now.keys()
        if _is_changed(before[key], now[key], values=values)
    ]
    changed.sort(key=lambda pair: (_place(pair[0]), pair[0].name))
    # If a part other than a file has changed, the message omits two kinds of changes: changed files, and parts that
    # exist only in the recorded code or only in the present code.
    inner = [pair for pair in changed if pair[1].kind != "file"]
    described = [_changed(*pair) for pair in inner]
    if not inner:
        gone, new = (
            [part for key, part in one.items() if key not in other and (values or part.code) and not _is_optional(part)]
            for one, other in ((before, now), (now, before))
        )
        described = [*(f"{part} is gone" for part in gone), *(f"{part} is new" for part in new)]
        described = described or [_changed(*pair) for pair in changed]
    if len(described) > _MOST_NAMED:
        described = [*described[:_MOST_NAMED], f"{len(described) - _MOST_NAMED} more"]
    return described


def _is_changed(before: CodePart, now: CodePart, *, values: bool) -> bool:
    if before.code != now.code:
        return True
    return values and (before.value, before.unwatched) != (now.value, now.unwatched)


def _changed(before: CodePart, now: CodePart) -> str:
    if before.shown is not None and now.shown is not None and before.shown != now.shown:
        return f"{now} ({one_line(before.shown, 40)}, now {one_line(now.shown, 40)})"
    return str(now)


def _is_optional(part: CodePart) -> bool:
    """Return whether the ledger accepts that the part is missing from the recorded code or from the present code.

    The code can lack a file of a command for two reasons: the program of the command creates the file later, or a
    worker's pattern of allowed commands omits the file.
    """
    return part.kind == "command file"


def _place(part: CodePart) -> int:
    return KINDS.index(part.kind) if part.kind in KINDS else len(KINDS)


def _storable(name: str) -> str:
    """Convert a name to a text that PostgreSQL can store. The text has at most `_LONGEST_NAME` characters."""
    text = name.encode(errors="backslashreplace").decode().replace("\0", "\\x00")
    return text if len(text) <= _LONGEST_NAME else f"{text[: _LONGEST_NAME - 20]}...{_digest(text)[:16]}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()


def _is_texts(value: object) -> TypeGuard[Mapping[str, str]]:
    return isinstance(value, Mapping) and all(isinstance(each, str) for pair in value.items() for each in pair)
