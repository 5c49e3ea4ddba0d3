"""Hashes of the values to which an objective refers, such as numbers, texts, containers and arrays.

Equal values have equal hashes in every process and on every machine. A hash does not depend on memory addresses, or on
the order of a set or of a dict.
"""

import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import hashlib
import json
import logging
import re
import sys
import types
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePath
from typing import Any

# Largest nesting depth of a value. A value that contains itself exceeds `_DEEPEST`.
_DEEPEST = 50
_SCALARS = (type(None), bool, int, float, str)
_BY_REPR: tuple[type, ...] = (
    *(complex, range, slice, type(Ellipsis), decimal.Decimal, fractions.Fraction, uuid.UUID),
    *(datetime.date, datetime.time, datetime.datetime, datetime.timedelta, datetime.timezone),
)
_CODE = (types.FunctionType, types.BuiltinFunctionType, types.MethodType, types.ModuleType, type)


class UnwatchedValueError(Exception):
    """An exception that reports that a value cannot be hashed. The message contains only the type of the value."""


class ValueHasher:
    """An object that computes the hashes of the Python values that an objective uses.

    Parameters
    ----------
    refer : callable
        Function that converts a function, a class or a module to a text. The hasher computes the hash of the function,
        class or module from this text.
    is_own : callable
        Function that receives the class of an object, and returns whether the class belongs to the user's code. If the
        class belongs to the user's code, the hash of the object is computed from the object's attributes.
    folder : str or None
        The folder of the user's code. If a path is in `folder`, the hash of the path does not depend on the location of
        `folder`.
    """

    def __init__(self, refer: Callable[[Any], str], is_own: Callable[[type], bool], folder: str | None) -> None:
        self._refer, self._is_own, self._folder = refer, is_own, folder
        # The hashed Python values. Each key is the id of a Python value, and each entry is a pair of this Python value
        # and its hash. The mapping keeps a reference to each Python value, so that Python does not reuse the id.
        self._known: dict[int, tuple[object, bytes]] = {}

    def digest(self, value: object) -> str:
        """Return the SHA-256 of a value, in hexadecimal.

        Raises
        ------
        UnwatchedValueError
            The class cannot compute a hash of the value, or of an object that the value contains.
        """
        try:
            return self._hash(value, 0).hex()
        except UnwatchedValueError:
            raise
        except Exception:  # The methods of a user's class may raise any exception.
            raise UnwatchedValueError(_named(type(value))) from None

    def _hash(self, value: Any, depth: int) -> bytes:
        if depth > _DEEPEST:
            raise UnwatchedValueError(_named(type(value)))
        known = self._known.get(id(value))
        if known is not None:
            return known[1]
        content = self._content(value, depth + 1)
        hashed = joined(*content)
        if not isinstance(value, _SCALARS):
            self._known[id(value)] = value, hashed
        return hashed

    def _content(self, value: Any, depth: int) -> Iterable[str | bytes | memoryview]:
        """Return the parts from which the hash of a value is computed.

        The first returned part is the kind of the value.
        """
        kind = type(value)
        if kind in _SCALARS:
            return kind.__name__, self._scalar(value)
        if kind in _BY_REPR:
            return kind.__name__, repr(value)
        if kind in (bytes, bytearray):
            return "bytes", bytes(value)
        if isinstance(value, enum.Enum):
            return "enum", self._refer(kind), value.name, self._hash(value.value, depth)
        if isinstance(value, PurePath):
            return "path", self._scalar(value.as_posix())
        if isinstance(value, re.Pattern):
            return "pattern", str(value.flags), self._hash(value.pattern, depth)
        if isinstance(value, functools.partial):
            parts = (value.func, value.args, value.keywords)
            return "partial", *(self._hash(part, depth) for part in parts)
        if isinstance(value, types.MethodType):
            return "method", self._refer(value.__func__), self._hash(value.__self__, depth)
        if isinstance(value, _CODE) or callable(getattr(value, "__wrapped__", None)):
            return "code", self._refer(value)
        if isinstance(value, logging.Logger):
            return "logger", value.name
        if isinstance(value, list | tuple):
            return self._sequence(value, depth)
        if isinstance(value, set | frozenset):
            return "set", *sorted(self._hash(item, depth) for item in value)
        if isinstance(value, dict | types.MappingProxyType):
            # A defaultdict also has a factory, which creates the missing values.
            factory = self._hash(getattr(value, "default_factory", None), depth)
            return "dict", factory, *self._mapping(value, depth)
        if kind.__module__.partition(".")[0] in ("numpy", "pandas"):
            return self._array(value, depth)
        return self._object(value, depth)

    def _scalar(self, value: Any) -> str:
        if isinstance(value, int) and not isinstance(value, bool):
            return hex(value)
        if isinstance(value, str) and self._folder is not None and len(self._folder) > 1:
            value = value.replace(self._folder, "<folder>")
        return json.dumps(value)

    def _sequence(self, value: Any, depth: int) -> Iterable[str | bytes]:
        kind = "list" if isinstance(value, list) else "tuple"
        name = kind if type(value) in (list, tuple) else self._refer(type(value))
        # The code converts all items of a sequence to one text, because a separate hash for each item would be slow for
        # a long list.
        if all(type(item) in _SCALARS for item in value):
            return name, json.dumps([self._scalar(item) for item in value])
        return name, "of", *(self._hash(item, depth) for item in value)

    def _mapping(self, value: Mapping[Any, Any], depth: int) -> Iterable[bytes]:
        return sorted(self._hash(key, depth) + self._hash(item, depth) for key, item in value.items())

    def _array(self, value: Any, depth: int) -> Iterable[str | bytes | memoryview]:
        numpy = sys.modules["numpy"]
        if type(value) is numpy.ndarray:
            if value.dtype.hasobject:
                return "array", str(value.shape), self._hash(value.tolist(), depth)
            return "array", value.dtype.str, str(value.dtype.names), str(value.shape), value.tobytes()
        if isinstance(value, numpy.generic):
            return "array", value.dtype.str, value.tobytes()
        if isinstance(value, numpy.dtype):
            return "dtype", str(value.descr)
        if type(value).__name__ in ("DataFrame", "Series", "Index", "RangeIndex"):
            rows = sys.modules["pandas"].util.hash_pandas_object(value).to_numpy()
            columns = [str(column) for column in getattr(value, "columns", [getattr(value, "name", None)])]
            types_of = [str(one) for one in value.dtypes] if hasattr(value, "columns") else [str(value.dtype)]
            return "frame", json.dumps([columns, types_of]), rows.tobytes()
        if isinstance(value, numpy.ufunc):
            return "code", value.__name__
        raise UnwatchedValueError(_named(type(value)))

    def _object(self, value: Any, depth: int) -> Iterable[str | bytes]:
        kind = type(value)
        if dataclasses.is_dataclass(value):
            state = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        elif callable(getattr(kind, "get_params", None)) and callable(getattr(kind, "fit", None)):
            # The value is an estimator. The hash of an estimator ignores the attributes that `fit` adds.
            state = value.get_params(deep=False)
        elif isinstance(value, types.SimpleNamespace) or (self._is_own(kind) and hasattr(value, "__dict__")):
            state = vars(value)
        else:
            raise UnwatchedValueError(_named(kind))
        return "object", self._refer(kind), *self._mapping(state, depth)


def joined(*parts: str | bytes | memoryview) -> bytes:
    """Return the SHA-256 of several texts or bytes. The hash of ("ab", "c") differs from the hash of ("a", "bc").

    Examples
    --------
    >>> joined("ab", "c") == joined("a", "bc")
    False
    """
    hashed = hashlib.sha256()
    for part in parts:
        content = part.encode(errors="surrogatepass") if isinstance(part, str) else part
        hashed.update(b"%d:" % len(content))
        hashed.update(content)
    return hashed.digest()


def cell_contents(cell: types.CellType) -> tuple[Any, ...]:
    """Return a tuple with the content of a closure's cell. If the cell has no content yet, the tuple is empty."""
    try:
        return (cell.cell_contents,)
    except ValueError:
        return ()


def _named(kind: type) -> str:
    return kind.__qualname__
