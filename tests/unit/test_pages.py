"""Reading of a page of the documentation: its commands and their shown output."""

import pytest

from tests.pages import Block, Reader, blocks, matches

PAGE = """# A page

<!-- file: one.toml -->
```toml
[study]
```

- in a list

  <!-- fails -->
  <!-- typed: a b -->
  ```console
  $ no such \\
    command
  no
  ```
"""


def test_a_block_is_known_with_what_is_said_of_it():
    file, failing = blocks(PAGE)
    assert (file.language, file.said, file.is_run) == ("toml", {"file": "one.toml"}, False)
    assert (failing.language, failing.said, failing.is_run) == ("console", {"fails": "", "typed": "a b"}, True)
    assert failing.text == "$ no such \\\n  command\nno\n"


@pytest.mark.parametrize(
    "page",
    [
        "```console\n$ true\n",
        "<!-- fails -->\n\n```console\n$ false\n```\n",
        "<!-- fail -->\n```console\n$ false\n```\n",
    ],
)
def test_what_would_not_be_run_as_it_is_meant_is_refused(page):
    with pytest.raises(AssertionError):
        blocks(page)


def test_a_command_goes_on_after_a_backslash_in_quotes_and_in_a_document():
    text = "$ a \\\n  b\nshown\n$ echo 'c\nd'\n$ cat <<END\n$ e\nEND\n$ f <<< g\n"
    commands = Block(1, "console", text, {}).commands()
    assert [(each.text, each.shown) for each in commands] == [
        ("a \\\n  b", ["shown"]),
        ("echo 'c\nd'", []),
        ("cat <<END\n$ e\nEND", []),
        ("f <<< g", []),
    ]


@pytest.mark.parametrize(
    ("shown", "real", "is_shown"),
    [
        ("a\n", "a\n", True),
        ("a\n", "b\n", False),
        ("a\n", "a\nb\n", False),
        ("a … c\n", "a b c\n", True),
        ("a … c\n", "a b\n c\n", False),
        ("a\n…\nc\n", "a\nc\n", True),
        ("a\n…\nc\n", "a\nb\nb\nc\n", True),
        ("a\n…\n", "b\na\n", False),
        ("a.c\n", "abc\n", False),
    ],
)
def test_shown_is_what_is_the_same_but_for_what_is_left_out(shown, real, is_shown):
    assert matches(shown, real) == is_shown


def test_a_page_is_run_as_it_is_read(tmp_path):
    page = """<!-- file: said.txt -->
```text
hello
```
```console
$ export WHO=world
$ cat said.txt | tr a-z A-Z
HELLO
$ echo $WHO; ls README.md
WORLD
…
$ sleep 600 &
```
```bash
false || echo "$WHO"
```
<!-- output -->
```text
world
```
<!-- typed: secret -->
```console
$ read -r it; echo $it
secret
```
<!-- fails -->
```console
$ echo no >&2; exit_code() { return 3; }; exit_code
no
```
"""
    real = []
    with Reader(tmp_path) as it:
        it.read(page, lambda block, text: real.append((block.text, text)))
    (first, second, third, fourth) = real
    assert first[1] == first[0].replace("WORLD\n…\n", "world\nREADME.md\n")
    for block, text in (second, third, fourth):
        assert block == text


@pytest.mark.parametrize("block", ["console\n$ false", "console\n$ echo a\nb", "bash\nfalse\ntrue", "python\n1 / 0"])
def test_what_does_not_do_what_it_shows_is_told_with_its_line(tmp_path, block):
    page = f"\n```{block}\n```\n"

    def shows(block, real):
        assert matches(block.text, real), f"line {block.line}: {real}"

    with pytest.raises(AssertionError, match="line 2:"), Reader(tmp_path) as it:
        it.read(page, shows)
