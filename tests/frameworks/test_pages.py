"""The commands of the page about Keras and Lightning, which `make test` leaves out."""

import re
from pathlib import Path

import pytest

from tests.pages import matches, reader

pytestmark = pytest.mark.frameworks


def test_the_commands_of_the_page_do_what_it_shows(root: Path, tmp_path: Path) -> None:
    page = (root / "docs" / "keras-and-lightning.md").read_text()
    text = re.sub(r"^<!-- run by: tests/frameworks/.* -->\n", "", page, flags=re.MULTILINE)
    assert text != page

    def shows(block, real):
        assert matches(block.text, real), f"line {block.line} shows another output than\n{real}"

    with reader(text, tmp_path, is_new=False) as it:
        it.read(text, shows)
