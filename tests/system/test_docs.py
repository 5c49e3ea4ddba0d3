"""The commands of each page run in order, and print the output that the page shows."""

import re
from pathlib import Path

import click
import pytest

from ledger.cli import program
from tests.pages import PAGES, READ, ROOT, RUN, blocks, matches, reader


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def run_pages():
    return [page for page in PAGES if any(block.is_run for block in blocks(page.read_text()))]


@pytest.mark.slow
@pytest.mark.parametrize("page", run_pages(), ids=name)
def test_the_commands_of_a_page_do_what_it_shows(page, tmp_path):
    text = page.read_text()

    def shows(block, real):
        assert matches(block.text, real), f"{name(page)}:{block.line} shows another output than\n{real}"

    with reader(text, tmp_path, is_new=page == PAGES[0]) as it:
        it.read(text, shows)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_each_block_has_a_known_language_and_names_an_existing_test(page):
    for block in blocks(page.read_text()):
        where = f"{name(page)}:{block.line}"
        assert block.language in (*RUN, *READ), f"{where}: the language is none of {', '.join((*RUN, *READ))}"
        assert block.language in RUN or not block.text.startswith("$ "), f"{where}: a command in a {block.language}"
        for place in block.said.get("run by", "").split():
            file, _, test = place.partition("::")
            assert (ROOT / file).exists(), where
            assert not test or f"def {test}(" in (ROOT / file).read_text(), where


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_the_links_of_a_page_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?:", target):
            continue
        file, _, heading = target.partition("#")
        there = (page.parent / file) if file else page
        assert there.exists(), target
        if heading:
            assert heading in anchors(there.read_text()), target


def anchors(text: str) -> set[str]:
    """Return the names that forges give to headings."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_table_of_variables_is_whole():
    shown = set(re.findall(r"^\| `([A-Z_]+)` \|", (ROOT / "docs" / "settings.md").read_text(), re.MULTILINE))
    context = click.Context(program)
    read = {"LEDGER_HOME"}
    for name in program.list_commands(context):
        command = program.get_command(context, name)
        assert command is not None
        read |= {str(option.envvar) for option in command.params if option.envvar}
    assert shown == read


def test_each_promise_is_linked_to_its_test():
    page = ROOT / "docs" / "promises.md"
    text = page.read_text()
    table = text[text.index("| promise | test |") :].split("\n\n")[0].splitlines()[2:]
    assert len(table) >= 20
    for row in table:
        tests = re.findall(r"\[(test_\w+)\]\(([\w./]+\.py)\)", row)
        assert tests, row
        for name, file in tests:
            assert f"def {name}(" in (page.parent / file).read_text(), name


def test_every_page_is_in_the_index():
    index = (ROOT / "docs" / "README.md").read_text()
    for page in PAGES[1:]:
        file = page.relative_to(ROOT / "docs")
        assert f"]({file})" in index or str(file) == "README.md", file
