"""The command of a study. The command's arguments contain placeholders for the parameters of a trial.

An argument is a text with placeholders such as ``{lr}``. A placeholder contains the name of a parameter of the space,
such as ``{lr}``, or the name of a property of the trial, such as ``{trial.seed}``. In an argument, ``{{`` means an
opening brace, and ``}}`` means a closing brace. The worker passes the arguments directly to the program, without a
shell.
"""

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any, Literal, TypeAlias, get_args

from ledger.database.bounds import text_fault
from ledger.errors import LedgerError, UsageError
from ledger.text import nearest, one_line, show

ParamsAs: TypeAlias = Literal["arguments", "variable", "file"]
PARAMS_AS: tuple[ParamsAs, ...] = get_args(ParamsAs)
# The operating system limits the total size of a process's arguments and environment to about 2 MB. The operating
# system limits the size of one argument to 131,071 bytes.
MOST_ARGUMENTS, LONGEST_COMMAND = 1_000, 100_000
# The names of the trial properties that a command can receive. For each name, the placeholder `{trial.NAME}` and the
# environment variable `LEDGER_TRIAL_NAME` have the same text.
FACTS = (
    *("study", "study_seed", "number", "attempt", "seed", "params", "params_file", "result_file", "folder"),
    *("checkpoint_folder", "restored_folder"),
)
_PREFIX = "trial."
_NAMES = tuple(f"{_PREFIX}{fact}" for fact in FACTS)
# If the last word of a pattern is `ANY_ARGUMENTS`, the pattern allows any further arguments. No valid argument of a
# command is equal to `ANY_ARGUMENTS`, because the ledger refuses a parameter with the name "...".
ANY_ARGUMENTS = "{...}"
_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]|[^{}]+")
_SHELLS = ("sh", "ash", "bash", "csh", "dash", "fish", "ksh", "mksh", "tcsh", "yash", "zsh")
_SHELL_OPTIONS_WITH_VALUE = ("--rcfile", "--init-file")
_PLAIN_WORD = re.compile(r"[\w@%+=:,./{}-]+", re.ASCII)
_NEGATIVE_NUMBER = re.compile(r"-([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


class CommandTemplate:
    """A template for a command: the arguments of the command, which can contain placeholders for values of the trial.

    Parameters
    ----------
    arguments : sequence of str
        The program, followed by the arguments of the program. The program must not contain a placeholder.

    Raises
    ------
    UsageError
        The arguments are not valid. The message is one line.

    Examples
    --------
    >>> template = CommandTemplate(["./train", "--rate={lr}", "--seed", "{trial.seed}", "{{}}"])
    >>> template.render({"lr": 0.1}, {"seed": "7"})
    ['./train', '--rate=0.1', '--seed', '7', '{}']
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        if not isinstance(arguments, list | tuple) or not arguments:
            raise UsageError(f'command {show(arguments)} is not a list of texts such as ["./train", "--lr", "{{lr}}"]')
        if len(arguments) > MOST_ARGUMENTS:
            raise UsageError(
                f"a command has at most {MOST_ARGUMENTS:,} arguments, but this command has {len(arguments):,}: move"
                " arguments into a script"
            )
        for argument in arguments:
            fault = text_fault(argument, LONGEST_COMMAND) if isinstance(argument, str) else "it is not a text"
            if fault is not None:
                raise UsageError(f"argument {show(argument)} of the command: {fault}")
        if sum(map(len, arguments)) > LONGEST_COMMAND:
            raise UsageError(
                f"a command has at most {LONGEST_COMMAND:,} characters: move arguments into a script or into a file"
            )
        self.arguments = tuple(arguments)
        self._parts = [list(_parts(argument)) for argument in arguments]
        program = arguments[0]
        if not program or any(name is not None for _, name in self._parts[0]):
            raise UsageError(
                f"the program {show(program)} must be a fixed text without a placeholder: write the name of the"
                " program, or of a script that selects the program"
            )
        self._check_shell()

    @property
    def program(self) -> str:
        """The program. The program is a path, or the name of a file in one of the folders in PATH."""
        return "".join(text for text, _ in self._parts[0])

    @property
    def texts(self) -> tuple[str | None, ...]:
        """A tuple with one element for each argument. The element is the text of the argument, or None if the argument
        contains a placeholder.

        Examples
        --------
        >>> CommandTemplate(["./train", "{lr}", "{{}}"]).texts
        ('./train', None, '{}')
        """
        return tuple(
            None if any(name is not None for _, name in parts) else "".join(text for text, _ in parts)
            for parts in self._parts
        )

    @property
    def placeholders(self) -> frozenset[str]:
        """The names of all placeholders."""
        return frozenset(name for parts in self._parts for _, name in parts if name is not None)

    @property
    def label(self) -> str:
        """A short name of the command. The ledger uses the label in the default name of a study.

        The label is the name of the last file before the first option or placeholder, without the file's extension.

        Examples
        --------
        >>> CommandTemplate(["python", "code/train.py", "--lr", "{lr}"]).label
        'train'
        """
        label = self.program
        for argument, parts in zip(self.arguments[1:], self._parts[1:], strict=True):
            if argument.startswith("-") or any(name is not None for _, name in parts):
                break
            label = "".join(text for text, _ in parts)
        return PurePath(label).stem

    def check(self, space: Mapping[str, Sequence[str]], params_as: ParamsAs) -> None:
        """Check that the command fits a search space.

        Parameters
        ----------
        space : mapping
            A mapping from the name of each parameter to the sequence of the parameter's possible values. If the
            parameter's values are not texts, the sequence of values is empty.
        params_as : {"arguments", "variable", "file"}
            How the command receives the parameters. With "arguments", each parameter must have a placeholder.

        Raises
        ------
        UsageError
            A placeholder does not contain a valid name, or a parameter has no placeholder. The method also raises
            UsageError if the program could interpret a parameter's value as an option. The message is one line.

        Examples
        --------
        >>> CommandTemplate(["./train", "{lr}"]).check({"rate": []}, "arguments")
        Traceback (most recent call last):
        ledger.errors.UsageError: placeholder {lr} names no parameter of the space; there are rate, trial.study, ...
        """
        for name in space:
            if name in (*_NAMES, ANY_ARGUMENTS[1:-1]):
                raise UsageError(
                    f"a parameter of a command must not have the name {name!r}, because the placeholder {{{name}}} has"
                    " another meaning: rename the parameter"
                )
        for parts in self._parts:
            for _, placeholder in parts:
                if placeholder is not None and placeholder not in space and placeholder not in _NAMES:
                    raise UsageError(
                        f"placeholder {{{one_line(placeholder, 80)}}} names no parameter of the"
                        f" space{nearest(placeholder, (*space, *_NAMES))}; write {{{{ and }}}} for literal braces"
                    )
        used = self.placeholders
        if "trial.params_file" in used and params_as != "file":
            raise UsageError('placeholder {trial.params_file} needs params_as = "file" (--params-as file)')
        if params_as == "file" and "trial.params" in used:
            raise UsageError('placeholder {trial.params} does not fit params_as = "file": use {trial.params_file}')
        unused = [name for name in space if name not in used]
        if unused and params_as == "arguments" and "trial.params" not in used:
            raise UsageError(
                f"no argument of the command contains parameter {unused[0]!r}: write {{{unused[0]}}} into an argument,"
                ' or set params_as (--params-as) to "variable" (the program reads LEDGER_TRIAL_PARAMS) or "file" (the'
                " program reads a file)"
            )
        for argument, parts in zip(self.arguments, self._parts, strict=True):
            first = (parts[0][1] if parts else None) or ""
            for text in space.get(first, ()):
                if _is_option(text):
                    raise UsageError(
                        f"the value {show(text)} of parameter {first!r} would turn the argument {show(argument)} into"
                        f' an option: put an option name before the value, such as "--option={argument}"'
                    )

    def render(self, params: Mapping[str, Any], facts: Mapping[str, str]) -> list[str]:
        """Replace each placeholder by the trial's value, and return the arguments.

        Parameters
        ----------
        params : mapping
            The parameters of the trial.
        facts : mapping
            A mapping from the name of each property of the trial to a text. `FACTS` contains the allowed names.

        Raises
        ------
        LedgerError
            The trial has no value for a placeholder, or a value would become an option of the program. The message is
            one line.
        """
        rendered = []
        for argument, parts in zip(self.arguments, self._parts, strict=True):
            texts = []
            for text, name in parts:
                if name is None:
                    texts.append(text)
                elif name.startswith(_PREFIX) and name.removeprefix(_PREFIX) in facts:
                    texts.append(facts[name.removeprefix(_PREFIX)])
                elif name in params:
                    texts.append(text_of(params[name]))
                else:
                    raise LedgerError(
                        f"the trial has no value for the placeholder {{{one_line(name, 80)}}} of the command: enqueue"
                        " only points of the study's space"
                    )
            whole = "".join(texts)
            # A database role with the permission to enqueue trials can choose any value. The code refuses a value that
            # would become an option of the program.
            if parts and parts[0][1] is not None and _is_option(whole):
                raise LedgerError(
                    f"the value of this trial turns the argument {show(argument)} of the command into the option"
                    f" {show(whole)}: enqueue only points of the study's space"
                )
            rendered.append(whole)
        return rendered

    def _check_shell(self) -> None:
        """Refuse a placeholder in a shell script, because the shell could run a part of the value as a command."""
        for index, argument in enumerate(self.arguments):
            if PurePath(argument).name not in _SHELLS:
                continue
            script = _script(self.arguments, index + 1)
            name = next((name for _, name in self._parts[script] if name is not None), None) if script else None
            if name is not None:
                shown = f"{{{one_line(name, 80)}}}"
                raise UsageError(
                    f"placeholder {shown} is in a shell script, and the shell could run the value as a command: write"
                    f' "$1" in the script, and add two arguments after the script: sh and {shown}'
                )


def text_of(value: Any) -> str:
    """Return the text that replaces a placeholder.

    If the value is a text, return the value. If the value is not a text, return the value as JSON.

    Examples
    --------
    >>> text_of("rbf"), text_of(1e-5), text_of(True), text_of(None)
    ('rbf', '1e-05', 'true', 'null')
    """
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def pattern_of(arguments: Sequence[str]) -> str:
    """Return the pattern that allows only the command with the given arguments.

    Examples
    --------
    >>> pattern_of(["./train", "--name", "two words", "{lr}"])
    "./train --name 'two words' {lr}"
    """
    # A pattern is not a shell command, so `pattern_of` does not quote braces.
    return " ".join(argument if _PLAIN_WORD.fullmatch(argument) else shlex.quote(argument) for argument in arguments)


def pattern_words(pattern: str) -> list[str]:
    """Return the words of the pattern of an allowed command.

    Like a shell, the function splits a pattern at each space that is not in quotes. The function does not expand
    variables or wildcards. Each word of the pattern must be equal to one argument of the study's command. If an
    argument contains a placeholder, the word of the pattern must contain the same placeholder. If the last word of the
    pattern is ``{...}``, the pattern also allows any further arguments.

    Raises
    ------
    UsageError
        The pattern is not valid. The message is one line.

    Examples
    --------
    >>> pattern_words("python 'my train.py' {...}")
    ['python', 'my train.py', '{...}']
    """
    try:
        words = shlex.split(pattern)
    except ValueError as error:
        raise UsageError(f"{show(pattern)} is not a valid pattern ({error}): close each quote") from None
    if not words or words[0] == ANY_ARGUMENTS:
        raise UsageError(
            f"{show(pattern)} names no program: write the program and its arguments, such as 'python train.py"
            f" {ANY_ARGUMENTS}'"
        )
    if ANY_ARGUMENTS in words[:-1]:
        raise UsageError(f"{show(pattern)} has a word after {ANY_ARGUMENTS}: {ANY_ARGUMENTS} must be the last word")
    return words


def fixed_arguments(arguments: Sequence[str], patterns: Sequence[str]) -> int:
    """Return the number of words, except ``{...}``, in the longest pattern that allows a command.

    Raises
    ------
    LedgerError
        No pattern allows the command. The message is one line.

    Examples
    --------
    >>> fixed_arguments(["./train", "{lr}"], ["./train {lr}"])
    2
    >>> fixed_arguments(["./train", "{lr}"], ["./train {...}"])
    1
    >>> fixed_arguments(["./train", "{lr}", "--more"], ["./train {lr}"])
    Traceback (most recent call last):
    ledger.errors.LedgerError: this worker has no permission to run the command ...
    """
    allowing = []
    for pattern in patterns:
        words = pattern_words(pattern)
        fixed = words[:-1] if words[-1] == ANY_ARGUMENTS else words
        if list(arguments[: len(fixed)]) == fixed and (len(fixed) < len(words) or len(arguments) == len(fixed)):
            allowing.append(len(fixed))
    if allowing:
        return max(allowing)
    shown = pattern_of(arguments)
    raise LedgerError(
        f"this worker has no permission to run the command {one_line(shown)}; permit the command with --allow-command"
        f" {one_line(shlex.quote(shown), 600)}"
    )


def _script(arguments: Sequence[str], index: int) -> int | None:
    """If a shell has the option `-c`, return the index of the argument that contains the script for this option.

    In `arguments`, `index` is the position of the shell's first option.
    """
    while index < len(arguments) - 1 and arguments[index].startswith(("-", "+")):
        option = arguments[index]
        is_long = option.startswith("--")
        if option.startswith("-") and "c" in option and not is_long:
            return index + 1
        has_value = option in _SHELL_OPTIONS_WITH_VALUE if is_long else option.endswith(("o", "O"))
        index += 2 if has_value else 1
    return None


def _is_option(text: str) -> bool:
    return text.startswith("-") and _NEGATIVE_NUMBER.fullmatch(text) is None


def _parts(argument: str) -> Iterator[tuple[str, str | None]]:
    """Yield the parts of an argument.

    A part is a pair of a text and the name of a placeholder. If the part is a fixed text, the name is None. If the part
    is a placeholder, the text is empty.
    """
    for token in _TOKEN.finditer(argument):
        text, name = token[0], token[1]
        if text in ("{", "}") or name == "":
            raise UsageError(
                f"argument {show(argument)} of the command has a brace outside a placeholder: write {{{{ or"
                " }} for a brace"
            )
        if name is not None:
            yield "", name
        else:
            yield {"{{": "{", "}}": "}"}.get(text, text), None
