"""Check of the project's words and names: `python -m tests.style [FILE ...]`.

CONTRIBUTING.md has the style. Each hit is printed with its place and the way out. Without a file, every text file that
git tracks, or would add, is checked.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[1]

SUFFIXES = (
    *(".css", ".env", ".html", ".ini", ".ipynb", ".js", ".mako", ".md", ".py", ".sh", ".sql", ".toml", ".yaml", ".yml"),
)
NAMES = (".ci/run", "Dockerfile", "Makefile")
# Generated from sources that are checked, or recorded from older versions.
GENERATED = ("benchmarks/RESULTS.md", "benchmarks/results/*", "docs/reference/*", "tests/integration/revisions/*")
# They contain the words that they forbid.
EXEMPT = ("tests/style.py", "tests/unit/test_style.py")

# A phrase, and what to write instead. A phrase also matches in names, as in `test_nobody_waits`, and across the lines
# of a comment. The letters in brackets are optional endings.
WORDS = {
    "anew": "write again",
    "are told of": "write receive, or see",
    "for good": "write permanently",
    "in vain": "say what does not happen",
    "is there": "write exists, or is present",
    "is told of": "write receives, or sees",
    "lest": "write so that … not",
    "mend(s|ed|ing)": "write fix, repair or correct",
    "nobody": "name the actor: no worker, no role, no session",
    "of no account": "write is ignored, or has no effect",
    "shall": "write must, or the present tense",
    "take(s|n) the place of": "write replace",
    "took the place of": "write replaced",
    "whatever": "write any, or each … that",
    "whereof": "write of which",
    "whichever": "write any … that",
    "whoever": "name the role, or write a user who",
    "whom": "name the role in a sentence of its own",
}

# A module's docstring is a noun phrase or a sentence; it does not begin as a question.
QUESTIONS = ("How", "What", "When", "Where", "Whether", "Which", "Who", "Whose", "Why")
LONGEST_TEST_NAME = 70
LONGEST_MODULE = 600

# Between two words of a phrase: spaces, an underscore in a name, or the end of a line, a comment's mark or quotes.
_GAP = r"(?:_|(?:[\s\"'#*>-]|(?<=\s)f(?=[\"']))+)"
_INLINE_CODE = re.compile(r"(?<!`)`(?!`)(?:[^`\n]|\n(?!\n))+`(?!`)")
_TEST = re.compile(r"^ *(?:async )?def (test_\w+)", re.MULTILINE)


def _pattern(phrase: str) -> re.Pattern[str]:
    words = [re.sub(r"\((.*)\)", r"(?:\1)?", word) for word in phrase.split()]
    return re.compile(rf"(?<![^\W_]){_GAP.join(words)}(?![^\W_])", re.IGNORECASE)


_PATTERNS = [(_pattern(phrase), advice) for phrase, advice in WORDS.items()]


@dataclass(frozen=True, order=True)
class Hit:
    """One place that breaks the style.

    Attributes
    ----------
    path : str
        Relative to the project's folder.
    line : int
        From 1.
    text : str
        The words found.
    advice : str
        The way out.
    """

    path: str
    line: int
    text: str
    advice: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text!r}: {self.advice}"


def is_checked(path: str) -> bool:
    """Whether a file, by its path in the project, is text that people write."""
    posix = PurePosixPath(path)
    if path in EXEMPT or any(posix.match(pattern) for pattern in GENERATED):
        return False
    return posix.suffix in SUFFIXES or posix.name in NAMES or path in NAMES


def hits(path: str, text: str) -> list[Hit]:
    """Return the places of one file that break the style, in order.

    Parameters
    ----------
    path : str
        Its suffix decides what is checked besides the words.
    text : str
        The file's content.

    Examples
    --------
    >>> for hit in hits("docs/page.md", "Nobody writes `nobody`."):
    ...     print(hit)
    docs/page.md:1: 'Nobody': name the actor: no worker, no role, no session
    """
    found = list(_words(path, text))
    if path.endswith(".py"):
        found += _module_docstring(path, text)
    if PurePosixPath(path).is_relative_to("ledger") and (lines := len(text.splitlines())) > LONGEST_MODULE:
        found.append(Hit(path, lines, f"{lines} lines", f"divide the module: it may have {LONGEST_MODULE} lines"))
    if PurePosixPath(path).name.startswith("test_"):
        found += _test_names(path, text)
    return sorted(found)


def _words(path: str, text: str) -> Iterator[Hit]:
    if path.endswith(".md"):
        # inline code quotes a word, as the style page does
        text = _INLINE_CODE.sub(lambda code: re.sub(r"[^\n]", " ", code[0]), text)
    for pattern, advice in _PATTERNS:
        for match in pattern.finditer(text):
            yield Hit(path, _line(text, match.start()), re.sub(_GAP, " ", match[0]), advice)


def _module_docstring(path: str, text: str) -> Iterator[Hit]:
    docstring = ast.get_docstring(ast.parse(text, path))
    first = docstring.split(maxsplit=1)[0] if docstring else ""
    if first in QUESTIONS:
        yield Hit(path, 1, first, "begin a module's docstring with a noun, or with a sentence that says its purpose")


def _test_names(path: str, text: str) -> Iterator[Hit]:
    for match in _TEST.finditer(text):
        if len(match[1]) > LONGEST_TEST_NAME:
            advice = f"{len(match[1])} characters: name the behaviour in at most {LONGEST_TEST_NAME}"
            yield Hit(path, _line(text, match.start(1)), match[1], advice)


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def files() -> list[str]:
    """Return the paths of the files that git tracks, or would add, in the project's folder."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return sorted(path for path in listed.split("\0") if path and (ROOT / path).is_file())


def main(paths: Iterable[str]) -> int:
    """Print the hits of the files, or of all files where none is named. Returns the exit code."""
    chosen = [str(Path(path).resolve().relative_to(ROOT)) for path in paths] or files()
    found = [hit for path in chosen if is_checked(path) for hit in hits(path, (ROOT / path).read_text())]
    sys.stdout.writelines(f"{hit}\n" for hit in found)
    if found:
        sys.stderr.write(f"places that break the style of CONTRIBUTING.md: {len(found)}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
