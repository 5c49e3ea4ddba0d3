"""The function `ledger.command`, which makes an objective from a program and its arguments."""

from collections.abc import Sequence
from dataclasses import dataclass
from os import fspath
from pathlib import PurePath
from typing import Any

from ledger.errors import UsageError
from ledger.keywords import known_keywords
from ledger.objectives.command_template import PARAMS_AS, CommandTemplate, ParamsAs
from ledger.study.arguments import AnySpace
from ledger.study.conversion import from_any
from ledger.study.space import Space
from ledger.text import nearest, show


@dataclass(frozen=True)
class CommandObjective:
    """An objective that the function `ledger.command` returns. The objective consists of a search space and of the
    settings of a command.

    Attributes
    ----------
    ledger_space : Space
        The search space.
    table : dict
        The settings of the command, with the keys of the table [objective] in a study file.
    """

    ledger_space: Space
    table: dict[str, Any]


@known_keywords
def command(
    arguments: Sequence[str | PurePath], space: AnySpace, params_as: ParamsAs = "arguments"
) -> CommandObjective:
    """Make an objective from a program and its arguments, for use in a `ledger.Study`.

    The program runs once for each trial. The ledger starts the program without a shell.

    Parameters
    ----------
    arguments : sequence of str or path
        The program and its arguments. In an argument, a placeholder such as ``{lr}`` stands for the value of a
        parameter. The placeholder ``{trial.seed}`` stands for the seed of the trial. ``{{`` and ``}}`` stand for the
        characters ``{`` and ``}``. The name of the program must not contain a placeholder. A command has at most 1,000
        arguments, and at most 100,000 characters.
    space : mapping, sequence or Space
        The search space, in a form that `ledger.space.from_any` accepts.
    params_as : {"arguments", "variable", "file"}, optional
        The way in which the program receives the parameters. With "arguments", each parameter must have a placeholder.
        With "variable", the environment variable LEDGER_TRIAL_PARAMS contains the parameters as a JSON object. With
        "file", the environment variable LEDGER_TRIAL_PARAMS_FILE contains the path of a file, which contains the
        parameters as a JSON object.

    Returns
    -------
    CommandObjective
        The value for the argument `objective` of `ledger.Study`. The program must write the value of a trial to a line
        of standard output. The line contains either the value as a number, or a JSON object with the value under the
        key "value". If the program writes several lines with a value, the ledger uses the last line with a value. Apart
        from "value", each key of the JSON object is the name of a metric.

    Raises
    ------
    UsageError
        The command or the space is not valid, a placeholder names no parameter, or a parameter has no placeholder. The
        error message names the fault.

    See Also
    --------
    ledger.objective : The decorator that makes an objective from a Python function.

    Examples
    --------
    >>> import ledger
    >>> train = ledger.command(["./train.sh", "--lr={lr}"], space={"lr": (1e-4, 1.0, "log-uniform")})
    >>> ledger.Study(train, name="shell", trials=20).name
    'shell'
    >>> ledger.command(["./train.sh"], space={"lr": (1e-4, 1.0, "log-uniform")})
    Traceback (most recent call last):
    ledger.errors.UsageError: ledger.command: no argument of the command contains parameter 'lr': write {lr} into an ...
    """
    if isinstance(arguments, str | bytes):
        raise UsageError(
            f'ledger.command: the arguments {show(arguments)} are a text, not a list: write ["./train.sh", "{{lr}}"]'
        )
    if params_as not in PARAMS_AS:
        raise UsageError(f"ledger.command: unknown params_as {show(params_as)}{nearest(params_as, PARAMS_AS)}")
    texts = [fspath(argument) if isinstance(argument, PurePath) else argument for argument in arguments]
    of = from_any(space, "ledger.command space:")
    try:
        CommandTemplate(texts).check(of.texts(), params_as)
    except UsageError as error:
        raise UsageError(f"ledger.command: {error}") from None
    return CommandObjective(of, {"command": texts, "params_as": params_as})
