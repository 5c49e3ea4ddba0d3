"""The choices of a categorical dimension. A choice is a JSON value or a Python tuple.

JSON has no tuples, so the ledger stores a tuple as a JSON list. The function `tuples_in` returns the path of each tuple
in a list of choices. The spec of a study records the paths of the tuples. When the ledger reads the spec, the function
`with_tuples` converts the recorded lists into tuples.
"""

import inspect
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from ledger.database.bounds import DEEPEST_JSON
from ledger.text import show

# The type `Tuples` describes which JSON lists represent Python tuples. If every list is a tuple, the value of type
# `Tuples` is True. If only some lists are tuples, the value of type `Tuples` contains the path of each list that is a
# tuple. Each element of a path is an index of a list or a key of an object.
Tuples: TypeAlias = bool | list[list[int | str]]

# In the JSON document of a study, each choice is inside four nested values: the spec, the space, the dimension and the
# choices.
DEEPEST_CHOICE = DEEPEST_JSON - 4


def checked_choice(value: Any) -> Any:
    """Check a choice, and return a copy of the choice that contains only plain Python objects.

    Parameters
    ----------
    value : JSON value or tuple
        The choice, which is None, a boolean, a number, a string, a list, a tuple or a dict. The function also checks
        each item of a list, a tuple or a dict. The function converts a scalar of numpy into a number or a string. The
        function converts an array of numpy into a list.

    Raises
    ------
    ValueError
        The value is not a JSON value, or the ledger cannot store the value. The message is one line that names a
        correction.

    Examples
    --------
    >>> checked_choice({"layers": (64, 64), "rate": -0.0})
    {'layers': (64, 64), 'rate': 0.0}
    >>> checked_choice(print)
    Traceback (most recent call last):
    ValueError: choice print is a function, which JSON cannot represent; use the choice "print", and get the function from a dict inside the objective, as in {"print": print}[params[...]]
    """  # noqa: E501
    return _checked(value, value, 0)


def _checked(value: Any, choice: Any, depth: int) -> Any:
    if depth > DEEPEST_CHOICE:
        raise ValueError(f"a choice has more than {DEEPEST_CHOICE} nested levels; use fewer levels")
    if not isinstance(value, str | int | float) and hasattr(value, "tolist") and not inspect.isclass(value):
        value = value.tolist()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        _check_storable(value)
        return str.__str__(value)
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise ValueError(
                f"choice {show(choice)} needs more than 64 bits; write a smaller integer, or make the dimension real"
            )
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f'choice {show(choice)} is not finite; use a finite number, or the text "inf" in quotes')
        if abs(value) >= 1e16:
            raise ValueError(
                f"choice {show(choice)} is a float that PostgreSQL returns as an integer; write an integer"
            )
        return float(value) + 0.0  # Adding 0.0 removes a negative zero, which jsonb does not have.
    if isinstance(value, list | tuple):
        inner = [_checked(item, choice, depth + 1) for item in value]
        return tuple(inner) if isinstance(value, tuple) else inner
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise ValueError(
                    f"choice {show(choice)} has the key {show(key)}, which is not a string; use a string as the key"
                )
            _check_storable(key)
        return {str.__str__(key): _checked(item, choice, depth + 1) for key, item in value.items()}
    raise ValueError(_not_json(value))


def _not_json(value: Any) -> str:
    name = getattr(value, "__name__", None)
    if isinstance(name, str) and name.isidentifier() and callable(value):
        what = "class" if inspect.isclass(value) else "function"
        return (
            f"choice {name} is a {what}, which JSON cannot represent; use the choice {json.dumps(name)}, and get the"
            f" {what} from a dict inside the objective, as in {{{json.dumps(name)}: {name}}}[params[...]]"
        )
    return (
        f"choice {show(value)} is of type {type(value).__name__}, which JSON cannot represent; use a name as the"
        " choice, and get the object from a dict inside the objective"
    )


def _check_storable(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"choice {text!a} is not valid Unicode; remove the unpaired surrogate code point") from None
    if "\0" in text:
        raise ValueError(
            f"choice {show(text)} contains a NUL character, which PostgreSQL cannot store; remove the character"
        )


def choice_key(value: Any, *, like_python: bool = False) -> str:
    """Return a text that identifies a value.

    Two values have the same text if PostgreSQL's jsonb treats the values as equal. Two values have different texts if
    PostgreSQL's jsonb treats the values as different.

    Parameters
    ----------
    value : JSON value or tuple
        The value. The function treats a tuple like a list with the same items, and the number 1.0 like the number 1.
    like_python : bool
        If `like_python` is True, the boolean False is equal to 0, and the boolean True is equal to 1.

    Raises
    ------
    ValueError
        The value is not a JSON value.

    Examples
    --------
    >>> choice_key((1, {"b": 2.0, "a": None})) == choice_key([1.0, {"a": None, "b": 2}])
    True
    >>> choice_key(True) == choice_key(1), choice_key(True, like_python=True) == choice_key(1)
    (False, True)
    """
    try:
        return json.dumps(_comparable(value, like_python), sort_keys=True)
    except RecursionError:
        raise ValueError("the value is nested too deeply") from None


def _comparable(value: Any, like_python: bool) -> Any:
    if not isinstance(value, str | int | float) and hasattr(value, "tolist") and not inspect.isclass(value):
        value = value.tolist()
    if isinstance(value, bool):
        return int(value) if like_python else value
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, list | tuple):
        return [_comparable(item, like_python) for item in value]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: _comparable(item, like_python) for key, item in value.items()}
    raise ValueError(f"{show(value)} is not a JSON value")


def tuples_in(choices: Sequence[Any]) -> Tuples:
    """Return the path of each tuple in `choices`. If `choices` contains tuples but no lists, return True.

    Examples
    --------
    >>> tuples_in([(64,), (64, 64)]), tuples_in(["relu", None]), tuples_in([(1, 2), {"a": [3]}])
    (True, [], [[0]])
    """
    paths: list[list[int | str]] = []
    lists = 0

    def walk(value: Any, path: list[int | str]) -> None:
        nonlocal lists
        if isinstance(value, tuple):
            paths.append(path)
        lists += isinstance(value, list)
        if isinstance(value, list | tuple):
            for index, item in enumerate(value):
                walk(item, [*path, index])
        elif isinstance(value, Mapping):
            for key, item in value.items():
                walk(item, [*path, key])

    for index, choice in enumerate(choices):
        walk(choice, [index])
    # PostgreSQL's jsonb changes the order of the keys in an object. Therefore the order of the paths must not depend on
    # the order of the keys.
    return sorted(paths, key=json.dumps) if lists or not paths else True


def with_tuples(choices: Sequence[Any], tuples: Tuples) -> list[Any]:
    """Return a copy of `choices`. In the copy, a tuple replaces each list whose path is in `tuples`.

    If `tuples` is True, a tuple replaces every list. If the value at a path is not a list, the function ignores the
    path.

    Examples
    --------
    >>> with_tuples([[1, [2]], "a"], True), with_tuples([[1, [2]], "a"], [[0, 1]])
    ([(1, (2,)), 'a'], [[1, (2,)], 'a'])
    """
    every = tuples is True
    known = set() if isinstance(tuples, bool) else {tuple(path) for path in tuples}

    def walk(value: Any, path: tuple[int | str, ...]) -> Any:
        if isinstance(value, list | tuple):
            inner = [walk(item, (*path, index)) for index, item in enumerate(value)]
            return tuple(inner) if every or path in known or isinstance(value, tuple) else inner
        if isinstance(value, Mapping):
            return {key: walk(item, (*path, key)) for key, item in value.items()}
        return value

    return [walk(choice, (index,)) for index, choice in enumerate(choices)]


def as_json(value: Any) -> Any:
    """Copy a choice, replace each tuple in the copy by a list, and return the copy.

    Examples
    --------
    >>> as_json({"layers": (64, (32,))})
    {'layers': [64, [32]]}
    """
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    return {key: as_json(item) for key, item in value.items()} if isinstance(value, Mapping) else value


def choice_texts(choices: Sequence[Any]) -> list[str]:
    """Return a list that contains a different text for each choice. In CSV files and on command lines, the text
    represents the choice.

    If a choice is a string, the text is the string. If a choice is not a string, the text is the JSON text of the
    choice. If two choices would have the same text, the function returns the JSON text of every choice.

    Examples
    --------
    >>> choice_texts(["rbf", 1, None, (64, 64)])
    ['rbf', '1', 'null', '[64, 64]']
    >>> choice_texts(["1", 1, "a"])
    ['"1"', '1', '"a"']
    """
    in_json = [json.dumps(choice, ensure_ascii=False) for choice in choices]
    texts = [choice if isinstance(choice, str) else text for choice, text in zip(choices, in_json, strict=True)]
    return texts if len(set(texts)) == len(texts) else in_json
