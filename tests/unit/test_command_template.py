"""The command of a study: its placeholders, what is refused, and the patterns that allow it."""

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import LedgerError, UsageError
from ledger.objectives.command_template import (
    FACTS,
    LONGEST_COMMAND,
    MOST_ARGUMENTS,
    CommandTemplate,
    fixed_arguments,
    pattern_of,
    pattern_words,
    text_of,
)

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
plain = texts.map(lambda text: text.replace("{", "{{").replace("}", "}}"))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((0.1, "0.1"), (1e-5, "1e-05"), (1e300, "1e+300"), (-3, "-3"), (2**62, str(2**62)), (True, "true")),
        *(("two words", "two words"), ("$(rm -rf /) `x` 'y' \"z\"", "$(rm -rf /) `x` 'y' \"z\""), ("", "")),
        *((None, "null"), ([1, "é"], '[1, "é"]'), ({"a": False}, '{"a": false}')),
    ],
)
def test_a_placeholder_becomes_the_text_of_its_parameter(value, text):
    assert text_of(value) == text
    assert CommandTemplate(["p", "--x={x}", "a{x}b{x}"]).render({"x": value}, {}) == [
        "p",
        f"--x={text}",
        f"a{text}b{text}",
    ]


def test_two_braces_stand_for_one():
    template = CommandTemplate(["awk", "{{print $1}}", "{{{x}}}", "}}{{", "{{x}}"])
    assert template.render({"x": 5}, {}) == ["awk", "{print $1}", "{5}", "}{", "{x}"]


def test_the_facts_of_a_trial_are_placeholders():
    words = [f"{{trial.{fact}}}" for fact in FACTS]
    assert CommandTemplate(["p", *words]).render({}, {fact: f"<{fact}>" for fact in FACTS})[1:] == [
        f"<{fact}>" for fact in FACTS
    ]


def test_a_value_never_names_another_placeholder():
    assert CommandTemplate(["p", "{x}{y}"]).render({"x": "{y}", "y": "{trial.seed}"}, {"seed": "1"}) == [
        "p",
        "{y}{trial.seed}",
    ]


@given(words=st.lists(plain, min_size=1).filter(lambda words: words[0] != ""))
def test_a_command_without_placeholders_is_what_it_says(words):
    try:
        template = CommandTemplate(words)
    except UsageError:
        assert sum(map(len, words)) > LONGEST_COMMAND
        return
    assert template.render({}, {}) == [word.replace("{{", "{").replace("}}", "}") for word in words]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "is not a list of texts"),
        ("train.sh {x}", "is not a list of texts"),
        ({"a": 1}, "is not a list of texts"),
        (["p", 5], "argument 5 of the command: it is not a text"),
        (["p", None], "argument null of the command: it is not a text"),
        (["p", "a\0b"], "a NUL character is not allowed"),
        (["p", "\ud800"], "an unpaired UTF-16 surrogate is not allowed"),
        (["p", "x" * (LONGEST_COMMAND + 1)], "is too long"),
        (["p", *["x" * (LONGEST_COMMAND // 2)] * 3], "at most 100,000 characters"),
        (["p"] * (MOST_ARGUMENTS + 1), "at most 1,000 arguments"),
        (["", "{x}"], 'the program "" must be a fixed text'),
        (["{x}"], 'the program "{x}" must be a fixed text without a placeholder'),
        (["./{x}", "a"], "must be a fixed text without a placeholder"),
        (["p", "{x"], "has a brace outside a placeholder: write {{ or }} for a brace"),
        (["p", "x}"], "has a brace outside a placeholder"),
        (["p", "{}"], "has a brace outside a placeholder"),
        (["p", "{{x}"], "has a brace outside a placeholder"),
        (["p", "{{{x}}"], "has a brace outside a placeholder"),
        (["sh", "-c", "train --lr {lr}"], "placeholder {lr} is in a shell script"),
        (["/bin/bash", "-euo", "pipefail", "-c", "train {lr}"], "is in a shell script"),
        (["zsh", "-o", "errexit", "-ec", "train {lr}", "zsh"], "is in a shell script"),
        (["timeout", "10", "bash", "-c", "train {lr}"], "is in a shell script"),
    ],
)
def test_a_malformed_command_is_refused_in_one_line(arguments, said):
    with pytest.raises(UsageError) as refused:
        CommandTemplate(arguments)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 500


def test_a_script_of_a_shell_takes_values_as_its_arguments():
    template = CommandTemplate(["bash", "-c", 'train --lr "$1"', "bash", "{lr}"])
    assert template.render({"lr": "$(reboot)"}, {})[-1] == "$(reboot)"
    CommandTemplate(["bash", "train.sh", "-c", "{lr}"])


@pytest.mark.parametrize(
    ("arguments", "space", "params_as", "said"),
    [
        (
            ["p", "{lr}"],
            ["rate"],
            "arguments",
            "placeholder {lr} names no parameter of the space; there are rate, trial",
        ),
        (["p", "{raet}"], ["rate"], "arguments", "; did you mean 'rate'?; write {{ and }} for literal braces"),
        (["p", "{trial.sed}"], ["x"], "variable", "; did you mean 'trial.seed'?"),
        (
            ["p"],
            ["rate"],
            "arguments",
            "no argument of the command contains parameter 'rate': write {rate} into an argument",
        ),
        (["p", "{a}"], ["a", "b"], "arguments", "no argument of the command contains parameter 'b'"),
        (["p", "{trial.params_file}"], ["a"], "variable", 'needs params_as = "file"'),
        (["p", "{trial.params}"], ["a"], "file", "use {trial.params_file}"),
        (["p", "{...}"], ["a"], "variable", "placeholder {...} names no parameter"),
        (["p", "{trial.seed}"], ["trial.seed"], "arguments", "must not have the name 'trial.seed'"),
        (["p", "{...}"], ["..."], "arguments", "must not have the name '...'"),
    ],
)
def test_an_unknown_or_unused_placeholder_is_refused_with_the_way_out(arguments, space, params_as, said):
    with pytest.raises(UsageError) as refused:
        CommandTemplate(arguments).check(dict.fromkeys(space, ()), params_as)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("arguments", "params_as"),
    [
        (["p", "{a}", "{b}"], "arguments"),
        (["p", "{a}{b}{a}"], "arguments"),
        (["p", "{trial.params}"], "arguments"),
        (["p"], "variable"),
        (["p", "{a}"], "variable"),
        (["p"], "file"),
        (["p", "{b}", "{trial.params_file}"], "file"),
    ],
)
def test_a_command_that_gets_each_parameter_is_accepted(arguments, params_as):
    CommandTemplate(arguments).check({"a": [], "b": []}, params_as)


def test_no_value_makes_an_option_of_an_argument():
    template = CommandTemplate(["gcc", "{opt}", "-O{level}"])
    with pytest.raises(UsageError, match=r'"-O2" of parameter \'opt\' would turn the argument "{opt}" into an option'):
        template.check({"opt": ["O1", "-O2"], "level": ["-2"]}, "arguments")
    template.check({"opt": ["-2", "-.5", "-1.", "-1e-05", "-2.5E+3", "a-b", ""], "level": ["-x"]}, "arguments")
    assert template.render({"opt": -3, "level": "-x"}, {}) == ["gcc", "-3", "-O-x"]
    # a trial that another program has enqueued
    for value in ("--plugin=evil.so", "-", "-x", "-4oProxyCommand=id", "-0e system(q(id))", "-1e", "-1.5.2", "-1\n"):
        with pytest.raises(LedgerError, match=r"turns the argument .* into the option"):
            template.render({"opt": value, "level": "2"}, {})
        with pytest.raises(LedgerError, match=r"turns the argument .* into the option"):
            CommandTemplate(["gcc", "{a}{b}"]).render({"a": "", "b": value}, {})


def test_a_trial_without_a_value_is_refused():
    with pytest.raises(LedgerError, match=r"^the trial has no value for the placeholder {x} of the command: .*space$"):
        CommandTemplate(["p", "{x}"]).render({"y": 1}, {})


@pytest.mark.parametrize(
    ("arguments", "label"),
    [
        (["./train", "--lr", "{lr}"], "train"),
        (["python", "code/train.py", "{lr}"], "train"),
        (["Rscript", "model.R"], "model"),
        (["python", "-m", "package.train"], "python"),
        (["node", "--max-old-space-size=500", "model.js"], "node"),
        (["git", "bisect", "run", "{x}"], "run"),
    ],
)
def test_the_label_is_the_last_file_before_the_options(arguments, label):
    assert CommandTemplate(arguments).label == label


# Patterns of allowed commands

COMMAND = ["python", "train.py", "--lr", "{lr}"]


@pytest.mark.parametrize(
    "pattern",
    [
        "python train.py --lr {lr}",
        "  python   'train.py' --l\"r\" {lr}\n",
        "python train.py --lr {lr} {...}",
        "python train.py {...}",
        "python {...}",
    ],
)
def test_a_pattern_allows_a_command_word_by_word(pattern):
    fixed_arguments(COMMAND, ["./other", pattern])


@pytest.mark.parametrize(
    "patterns",
    [
        [],
        ["python"],
        ["python train.py"],
        ["python train.py --lr"],
        ["python train.py --lr {depth}"],
        ["python train.py --lr *"],
        ["python train.py --lr ?lr?"],
        ["python *"],
        ["pyth* {...}"],
        ["python train.p? --lr {lr}"],
        ["python train.py --lr {lr} --more"],
        ["/usr/bin/python train.py --lr {lr}"],
        ["PYTHON train.py --lr {lr}"],
        ["python 'train.py --lr {lr}'"],
        ["python $HOME/train.py {...}"],
    ],
)
def test_any_other_command_is_refused_with_the_pattern_that_allows_it(patterns):
    with pytest.raises(LedgerError) as refused:
        fixed_arguments(COMMAND, patterns)
    message = str(refused.value)
    assert message.startswith("this worker has no permission to run the command python train.py --lr {lr}; permit")
    (pattern,) = shlex.split(message.partition("--allow-command ")[2])
    fixed_arguments(COMMAND, [pattern])


@given(words=st.lists(texts, min_size=1).filter(lambda words: "{...}" not in words), more=st.lists(texts, min_size=1))
def test_the_pattern_of_a_command_allows_exactly_this_command(words, more):
    pattern = pattern_of(words)
    assert pattern_words(pattern) == words
    fixed_arguments(words, [pattern])
    for other in ([*words, *more], words[:-1], [*words[:-1], words[-1] + "x"]):
        with pytest.raises(LedgerError, match="no permission"):
            fixed_arguments(other, [pattern])


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("", "names no program"),
        (" ", "names no program"),
        ("{...}", "names no program"),
        ("python 'train.py", "close each quote"),
        ("python {...} --lr", "must be the last word"),
        ("python {...} {...}", "must be the last word"),
    ],
)
def test_a_malformed_pattern_is_refused(pattern, said):
    with pytest.raises(UsageError, match=said):
        pattern_words(pattern)
