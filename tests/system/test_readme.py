"""What README.md says is so."""

import re
import subprocess
import sys

import click

from ledger.cli import program
from ledger.study import assemble


def test_the_queries_of_the_readme_have_the_output_that_it_shows(root):
    process = subprocess.run(
        [sys.executable, "docs/readme_queries.py", "--check"], cwd=root, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr


def test_the_table_of_variables_is_whole(root):
    shown = set(re.findall(r"^\| `([A-Z_]+)` \|", (root / "README.md").read_text(), re.MULTILINE))
    context = click.Context(program)
    read = {"LEDGER_HOME"}
    for name in program.list_commands(context):
        command = program.get_command(context, name)
        assert command is not None
        read |= {str(option.envvar) for option in command.params if option.envvar}
    assert shown == read


def test_the_commands_of_the_readme_are_there(root):
    lines = re.findall(r"^\$ ledger (.*?)(?:\s+#.*)?$", (root / "README.md").read_text(), re.MULTILINE)
    assert len(lines) > 8
    for line in lines:
        words = line.split()
        command = program.get_command(click.Context(program), words[0])
        assert command is not None, line
        if isinstance(command, click.Group) and not words[1].startswith("--"):
            command = command.get_command(click.Context(command), words[1])
            assert command is not None, line
        known = {option for parameter in command.params for option in parameter.opts}
        used = {word for word in words if re.fullmatch(r"--[a-z-]+", word)}
        assert used <= known, line


def test_the_study_file_of_the_readme_is_accepted(root, tmp_path):
    (example,) = re.findall(r"```toml\n(.*?)```", (root / "README.md").read_text(), re.DOTALL)
    file = tmp_path / "study.toml"
    file.write_text(example)
    assert assemble({}, file).name == "wide-svm"


def test_the_links_of_the_readme_lead_somewhere(root):
    for target in re.findall(r"\]\(([^)#]+)\)", (root / "README.md").read_text()):
        assert (root / target).exists(), target


def test_each_promise_is_linked_to_its_test(root):
    text = (root / "README.md").read_text()
    table = text[text.index("| promise | test |") :].split("\n\n")[0].splitlines()[2:]
    assert len(table) >= 20
    for row in table:
        tests = re.findall(r"\[(test_\w+)\]\((tests/[\w/]+\.py)\)", row)
        assert tests, row
        for name, file in tests:
            assert f"def {name}(" in (root / file).read_text(), name
