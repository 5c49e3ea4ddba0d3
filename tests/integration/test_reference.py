"""docs/reference/ agrees with click and with the schema."""

import runpy


def test_the_reference_is_what_make_docs_writes(url, root):
    pages = runpy.run_path(str(root / "docs" / "reference.py"))["pages"]
    for page, text in pages(url).items():
        assert page.read_text() == text, f"{page.name} is out of date: run `make docs`"
