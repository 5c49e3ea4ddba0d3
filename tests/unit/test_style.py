"""The check of words and names finds each place, and leaves the rest alone."""

import doctest
import re

import pytest

from tests import style


@pytest.mark.parametrize(
    ("path", "text", "found"),
    [
        ("page.md", "It asks whoever\nholds it.", [(1, "whoever")]),
        ("page.md", "Nobody waits.\n\nIt shall end.", [(1, "Nobody"), (3, "shall")]),
        ("code.py", "# it is of no\n# account here", [(1, "of no account")]),
        ("code.py", 'say(\n    "wait in"\n    " vain"\n)', [(2, "in vain")]),
        ("code.py", 'say(\n    "wait in "\n    f"vain {name}"\n)', [(2, "in vain")]),
        ("code.py", "def mended():\n    pass", [(1, "mended")]),
        ("code.py", "def it_is_there():\n    pass", [(1, "is there")]),
        ("code.sql", "-- told\n-- to whom", [(2, "whom")]),
        ("code.sql", "-- is told\n-- of it", [(1, "is told of")]),
    ],
)
def test_a_forbidden_word_is_found_at_its_line(path, text, found):
    assert [(hit.line, hit.text) for hit in style.hits(path, text)] == found


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("page.md", "Do not write `whoever`, or `of no\naccount`."),
        ("page.md", "A shallow tree, a recommended amendment, a lesson, a thought in vainglory."),
        ("code.py", '"""Trials of a study."""\n\nHow = 1'),
        ("code.py", "def shallow():\n    return commended"),
        ("code.py", "is_their = 1"),
    ],
)
def test_a_quoted_word_and_a_part_of_another_word_are_left_alone(path, text):
    assert style.hits(path, text) == []


def test_a_fenced_block_is_checked_as_text_is():
    assert [hit.line for hit in style.hits("page.md", "Run `it`:\n```console\n$ ledger run\nnobody works\n```\n")] == [
        4
    ]


@pytest.mark.parametrize("first", ["What", "Whether", "How", "Which", "When"])
def test_a_module_docstring_that_begins_as_a_question_is_found(first):
    (hit,) = style.hits("code.py", f'"""{first} a study is."""')
    assert (hit.line, hit.text) == (1, first)
    assert style.hits("code.py", f'"""Studies."""\n\n\ndef f():\n    """{first} a study is."""') == []


def test_a_test_name_of_more_than_70_characters_is_found():
    longest = "test_" + "a" * 65
    assert style.hits("test_it.py", f"def {longest}():\n    pass") == []
    (hit,) = style.hits("test_it.py", f"\n\ndef {longest}a():\n    pass")
    assert (hit.line, hit.text) == (3, f"{longest}a")
    assert style.hits("code.py", f"def {longest}a():\n    pass") == []


def test_a_module_of_more_than_600_lines_is_found():
    assert style.hits("ledger/long.py", "x = 1\n" * 600) == []
    assert style.hits("tests/long.py", "x = 1\n" * 601) == []
    assert [hit.text for hit in style.hits("ledger/long.py", "x = 1\n" * 601)] == ["601 lines"]


def test_each_word_has_a_way_out_that_is_none_of_the_words():
    for phrase, advice in style.WORDS.items():
        assert style.hits("page.md", re.sub(r"\((\w+)[^)]*\)", r"\1", phrase)), phrase
        assert style.hits("page.md", advice) == []


@pytest.mark.parametrize(
    ("path", "is_checked"),
    [
        ("README.md", True),
        ("Makefile", True),
        ("compose/Dockerfile", True),
        (".ci/run", True),
        (".github/workflows/ci.yml", True),
        ("sql/functions/claim.sql", True),
        ("docs/reference/commands.md", False),
        ("tests/integration/revisions/0001.sql", False),
        ("tests/style.py", False),
        ("docs/images/report.png", False),
        ("benchmarks/quality.jsonl", False),
    ],
)
def test_text_that_people_write_is_checked(path, is_checked):
    assert style.is_checked(path) == is_checked


def test_every_hit_is_printed_with_its_place_and_way_out(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(style, "ROOT", tmp_path.resolve())
    file = tmp_path / "page.md"
    file.write_text("All is well.\n")
    assert style.main([str(file)]) == 0
    assert capsys.readouterr().out == ""
    file.write_text("All is well.\nIt begins anew.\n")
    assert style.main([str(file)]) == 1
    assert capsys.readouterr().out == "page.md:2: 'anew': write again\n"


def test_the_files_are_those_of_the_clone():
    files = style.files()
    assert {"README.md", "CONTRIBUTING.md", "ledger/__init__.py", "tests/unit/test_style.py"} <= set(files)
    assert not any(file.startswith((".venv/", "dist/")) for file in files)


def test_the_examples_of_the_check_are_true():
    assert doctest.testmod(style).attempted > 0
    assert doctest.testmod(style).failed == 0
