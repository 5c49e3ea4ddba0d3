"""The examples in docstrings that need no database."""

import doctest

import pytest

from tests import examples


@pytest.mark.parametrize("test", examples.collect(uses_ledger=False), ids=lambda test: test.name)
def test_example_in_docstring(test: doctest.DocTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "host=none.invalid")
    examples.run(test)
