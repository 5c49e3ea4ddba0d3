"""The functions, classes, values and files that make up the code of an objective.

The ledger computes a hash of each function, class, value and file. The ledger compares the hashes to find changes of
the code.
"""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ledger.objectives.fingerprint import provenance
from ledger.objectives.fingerprint.provenance import commit_text
from ledger.objectives.fingerprint.record import (
    LARGEST_TEXTS,
    CodePart,
    ObjectiveCode,
    bounded,
    changes,
    digest_parts,
    joined,
    limited,
    not_watched,
    parts_from_json,
    watched,
)

if TYPE_CHECKING:
    from ledger.objectives.fingerprint.tracer import CodeTracer

__all__ = [
    "LARGEST_TEXTS",
    "CodePart",
    "ObjectiveCode",
    "bounded",
    "changes",
    "code_of",
    "commit_text",
    "digest_parts",
    "joined",
    "not_watched",
    "parts_from_json",
    "recordable_code_of",
    "watched",
]


def code_of(objective: Callable[..., Any], name: str, module: str, *, is_importable: bool) -> ObjectiveCode:
    """Return the code of an objective, without the git commit and the package versions.

    Parameters
    ----------
    objective : callable
        The user's function, or another callable object.
    name : str
        The name of the objective.
    module : str
        The module that contains the objective.
    is_importable : bool
        Whether workers import the objective from the module. If workers import the objective, the code contains the
        whole file of the module. For an objective in a script or a notebook, the code contains only the objects to
        which the objective refers.

    Examples
    --------
    >>> import json
    >>> code_of(json.dumps, "dumps", "json", is_importable=True).parts[0]
    CodePart(kind='function', name='dumps', ...)
    """
    return _traced(objective, name, module, is_importable=is_importable)[0]


def recordable_code_of(objective: Callable[..., Any], name: str, module: str, *, is_importable: bool) -> ObjectiveCode:
    """Return the code of an objective, with the git commit and the versions of the packages.

    The parameters are the same as the parameters of `code_of`.
    """
    code, tracer = _traced(objective, name, module, is_importable=is_importable)
    commit, clean = provenance.git_state(tracer.folder, code.sources if is_importable else ())
    return replace(code, git_commit=commit, git_clean=clean, versions=provenance.package_versions(tracer.packages))


def _traced(
    objective: Callable[..., Any], name: str, module: str, *, is_importable: bool
) -> tuple[ObjectiveCode, "CodeTracer"]:
    # Most processes of the ledger do not compute the code of an objective. A process that does not import the tracer
    # needs 1 MB less memory.
    from ledger.objectives.fingerprint.tracer import CodeTracer

    tracer = CodeTracer(module, is_importable=is_importable)
    try:
        tracer.trace(objective, name)
    except Exception as error:  # An object of the user can raise any exception when its attributes are read.
        tracer.parts["function", name] = CodePart("function", name, unwatched=type(error).__name__)
    sources = {file: hashlib.sha256(text.encode()).hexdigest() for file, text in tracer.texts.items()}
    return ObjectiveCode(bounded(list(tracer.parts.values())), sources, limited(tracer.texts)), tracer
