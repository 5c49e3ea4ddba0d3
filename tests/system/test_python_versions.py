"""The code of an objective in another version of Python, in a container."""

import subprocess
import sys

import pytest

from tests.unit.test_fingerprint import CLASSES, FILES

# The package ledger.objectives imports NumPy, which the image of Python does not have.
PROGRAM = """
import sys, types
package = types.ModuleType("ledger.objectives")
package.__path__ = [f"{ROOT}/ledger/objectives"]
sys.path[:0] = [ROOT, FOLDER]
sys.modules["ledger.objectives"] = package
from ledger.objectives.fingerprint import code_of
import classes, objective
for module, name in ((objective, "loss"), (objective, "odd"), (classes, "loss"), (classes, "other")):
    code = code_of(getattr(module, name), name, module.__name__, is_importable=True)
    print(module.__name__, name, code.sha256)
    for part in code.parts:
        print(part.kind, part.name, part.code, part.value, part.unwatched)
"""
ODD = """
import dataclasses, enum, re

class Kind(enum.Enum):
    ONE = 1

@dataclasses.dataclass(frozen=True)
class Point:
    x: float = 0.0
    tags: tuple[str, ...] = ("a", "b")

TAGS = {"x", "y", "z"}
PATTERN = re.compile("a+")
POINT = Point(1.5)

def odd(params, *, weight: float = 1.0, **others):
    async def inner():
        async with params as one:
            yield one
    first, *rest = [f"{value!r:>{weight}} {'x'}" for value in TAGS if (found := value)]
    try:
        match params:
            case {"x": [1, *_], **more} if more:
                return Kind.ONE, POINT, first, rest
            case Point(x=0.0) | None:
                return (lambda a, /, b=2: a @ b)(1)
    except (ValueError, TypeError) as error:
        raise RuntimeError(-1j) from error
    return PATTERN, others, inner, found
"""


@pytest.mark.container
def test_the_code_is_the_same_in_another_version_of_python(tmp_path, root):
    for name, text in (FILES | {"classes": CLASSES, "objective": FILES["objective"] + ODD}).items():
        (tmp_path / f"{name}.py").write_text(text)
    here = run([sys.executable], str(root), str(tmp_path))
    volumes = ["-v", f"{root}:/root/clone:ro", "-v", f"{tmp_path}:/root/mine:ro"]
    image = ["docker", "run", "--rm", "-i", *volumes, "python:3.13-slim", "python"]
    assert run(image, "/root/clone", "/root/mine") == here
    assert len(here.splitlines()) > 15


def run(python, root, folder):
    program = f"ROOT, FOLDER = {root!r}, {folder!r}\n{PROGRAM}"
    ended = subprocess.run([*python, "-B", "-"], input=program, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout
