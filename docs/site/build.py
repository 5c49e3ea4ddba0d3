"""Build the documentation site in build/site from the pages as a forge shows them; `make site` runs this.

A page keeps its place in the repository, and README.md is the first. Its copy in build/pages has three differences:
docstrings replace their marks, a link to a file of another kind leads to a page that shows the file, and a diagram has
the script that draws it. A notebook is a page with the texts and the code of its cells. The navigation is the list of
docs/README.md. A broken link ends the build.
"""

import json
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import tomli_w

ROOT = Path(__file__).parents[2]
HERE = ROOT / "docs" / "site"
BUILD = ROOT / "build"
PAGES, SITE, SCRIPTS = BUILD / "pages", BUILD / "site", BUILD / "scripts"
CONTENTS = ROOT / "docs" / "README.md"
# Scripts that a page would load from a network otherwise: the npm package of each, and the file in it.
PACKAGES = {
    "mermaid.min.js": ("mermaid@12.3.0", "package/dist/mermaid.min.js"),
    "iframe-worker.js": ("iframe-worker@1.0.4", "package/shim/index.js"),
}
IMAGES = (".png", ".svg")
NOTEBOOK = ".ipynb"

_FENCED = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[((?:[^][]|\[[^]]*\])*)\]\(([^)#\s]+)(#[^)]*)?\)")
_DIAGRAM = "```mermaid\n"
_API = re.compile(r"^<!-- api: (\S+) -->$", re.MULTILINE)


def main() -> None:
    for folder in (PAGES, SITE):
        shutil.rmtree(folder, ignore_errors=True)
    write_pages()
    config = tomllib.loads((HERE / "site.toml").read_text(encoding="utf-8"))
    config["project"] |= {"docs_dir": PAGES.name, "site_dir": SITE.name, "nav": navigation()}
    (BUILD / "site.toml").write_text(tomli_w.dumps(config), encoding="utf-8")
    zensical = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    if subprocess.run([*zensical, "--config-file", str(BUILD / "site.toml")], check=False).returncode:
        sys.exit(1)
    if faults := sorted(broken_links()):
        sys.exit("\n".join(faults))


def write_pages() -> None:
    """Write each page and each file that it leads to, and the files of the site itself."""
    waiting = {ROOT / "README.md", *(ROOT / "docs").rglob("*.md")}
    written: set[Path] = set()
    while waiting:
        source = waiting.pop()
        written.add(source)
        place = PAGES / source.relative_to(ROOT)
        place.parent.mkdir(parents=True, exist_ok=True)
        if source.suffix in (".md", NOTEBOOK):
            page = Page(source)
            page_of(place).write_text(page.text(), encoding="utf-8")
            waiting |= page.targets - written
        elif source.suffix in IMAGES:
            shutil.copy(source, place)
        else:
            page_of(place).write_text(listing(source), encoding="utf-8")
    assets = PAGES / "assets"
    assets.mkdir()
    shutil.copy(HERE / "site.css", assets)
    for name, (package, member) in PACKAGES.items():
        (assets / name).write_bytes(script(package, member))


def page_of(place: Path) -> Path:
    """Return the place of the page that shows a file."""
    return place if place.suffix == ".md" else place.with_name(f"{place.name}.md")


class Page:
    """A page or a notebook of the repository, and the files of the repository that it links to."""

    def __init__(self, source: Path) -> None:
        self._source = source
        self.targets: set[Path] = set()

    def text(self) -> str:
        """Return the page as it is on the site."""
        text = self._source.read_text(encoding="utf-8")
        text = cells(text) if self._source.suffix == NOTEBOOK else _API.sub(r"::: \1", text)
        # Every second part is code.
        parts = _FENCED.split(text)
        parts[::2] = [_LINK.sub(self._link, part) for part in parts[::2]]
        if any(part.startswith(_DIAGRAM) for part in parts):
            parts[1::2] = [_framed(part) if part.startswith(_DIAGRAM) else part for part in parts[1::2]]
            up = "../" * (len(self._source.relative_to(ROOT).parents) - 1)
            parts.append(f'\n<script src="{up}assets/mermaid.min.js"></script>\n')
        return "".join(parts)

    def _link(self, link: re.Match[str]) -> str:
        title, target, anchor = link[1], link[2], link[3] or ""
        # An image may be the title of a link.
        title = _LINK.sub(self._link, title)
        if ":" in target:
            return f"[{title}]({target}{anchor})"
        path = (self._source.parent / target).resolve()
        if path.is_dir() and path.is_relative_to(ROOT):
            return title
        if path.is_file() and path.is_relative_to(ROOT):
            self.targets.add(path)
            if path.suffix not in (".md", *IMAGES):
                return f"[{title}]({target}.md)"
        return f"[{title}]({target}{anchor})"


def _framed(diagram: str) -> str:
    """Put a frame around a diagram, in which it scrolls where the screen is narrow (site.css)."""
    return f'<div class="diagram" tabindex="0" markdown>\n\n{diagram}\n\n</div>'


def cells(notebook: str) -> str:
    """Return the cells of a notebook as Markdown."""
    parts = []
    for cell in json.loads(notebook)["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "code":
            is_shell = text.startswith(("!", "%%sh"))
            text = f"```{'console' if is_shell else 'python'}\n{text}\n```"
        parts.append(text)
    return "\n\n".join(parts) + "\n"


def listing(source: Path) -> str:
    """Return a page that shows a file, and that a search does not find."""
    text = source.read_text(encoding="utf-8")
    fence = "`" * max(3, 1 + max((len(ticks) for ticks in re.findall("`+", text)), default=0))
    place, kind = source.relative_to(ROOT), source.suffix.removeprefix(".")
    return f"---\nsearch:\n  exclude: true\n---\n\n# {place}\n\n{fence}{kind}\n{text}{fence}\n"


def script(package: str, member: str) -> bytes:
    """Return a file of an npm package, which npm fetches once."""
    archive = SCRIPTS / f"{package.replace('@', '-')}.tgz"
    if not archive.exists():
        npm = shutil.which("npm")
        if npm is None:
            sys.exit("npm is not installed, which fetches the scripts of diagrams and search: apt-get install npm")
        SCRIPTS.mkdir(parents=True, exist_ok=True)
        subprocess.run([npm, "pack", "--silent", package], cwd=SCRIPTS, stdout=subprocess.DEVNULL, check=True)
    with tarfile.open(archive) as content:
        file = content.extractfile(member)
        assert file is not None
        return file.read()


def navigation() -> list[dict[str, Any]]:
    """Return the groups of the page of contents, each a heading or a line in bold, with the pages of its list."""
    groups: list[tuple[str, list[dict[str, str]]]] = []
    listed = {ROOT / "README.md", CONTENTS}
    for line in CONTENTS.read_text(encoding="utf-8").splitlines():
        if heading := re.match(r"(?:## |\*\*)([^*]+)", line):
            groups.append((heading[1], []))
        for title, target, _ in _LINK.findall(line) if re.match(r"- |\d+\. ", line) else ():
            page = (CONTENTS.parent / target).resolve()
            listed.add(page)
            groups[-1][1].append({title[0].upper() + title[1:]: page_of(page).relative_to(ROOT).as_posix()})
    missing = [str(page.relative_to(ROOT)) for page in CONTENTS.parent.rglob("*.md") if page not in listed]
    if missing:
        sys.exit(f"{', '.join(sorted(missing))}: not in the list of {CONTENTS.relative_to(ROOT)}; add a line there")
    return [{"Trial ledger": "README.md"}, *({heading: pages} for heading, pages in groups if pages)]


class _Links(HTMLParser):
    """Collects what a page links to or loads."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        self.links |= {value for name, value in attrs if name in ("href", "src") and value}


def broken_links() -> Iterator[str]:
    """Yield a line for each link of the site to a file that it does not have; Zensical checks those between pages."""
    for page in SITE.rglob("*.html"):
        # Its links start from the address of the site, which is not known.
        if page.name == "404.html":
            continue
        for link in _Links(page).links:
            parts = urlsplit(link)
            if not parts.scheme and parts.path and not (page.parent / unquote(parts.path)).is_file():
                yield f"{page.relative_to(SITE)}: link to {link}, which is not on the site"


if __name__ == "__main__":
    main()
