"""The hash of a search's data, estimator, scorers and splits (the digest of the search).

Equal searches have equal digests in all processes. The digest of a function or class depends on the code of the
function or class. Therefore a search with changed code is a new search.
"""

import copyreg
import hashlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from ledger.errors import UsageError
from ledger.objectives.fingerprint.syntax import codes
from ledger.objectives.fingerprint.values import cell_contents, joined
from ledger.text import one_line

_BY_REPR = (type(None), bool, int, float, complex, str, bytes, range, slice, type(Ellipsis), type(NotImplemented))
# Class attributes without effect on the results of the class's methods.
_IGNORED = frozenset(
    {"__annotate__", "__annotations__", "__dict__", "__doc__", "__firstlineno__", "__module__", "__weakref__"}
    | {"__static_attributes__", "__abstractmethods__", "_abc_impl"}
)


def digest(value: object) -> str:
    """Return the SHA-256 of a value, in hexadecimal.

    The value may contain values of Python and numpy, sparse matrices, functions, classes, and all objects that can be
    pickled. For example, estimators, scorers and data frames can be pickled. For a function or class of a module, the
    hash depends on the module's file, but not on the files of imported modules. For a function or class of a script or
    notebook, the hash depends on the code and on the values to which the code refers.

    Raises
    ------
    UsageError
        The value contains an object that cannot be pickled. The message is one line.

    Examples
    --------
    >>> digest({"C": 1.0, "kernel": {"rbf", "linear"}}) == digest({"C": 1.0, "kernel": {"linear", "rbf"}})
    True
    >>> digest([1, True]) == digest([1, 1])
    False
    """
    return _Hasher().hash(value).hex()


class _Hasher:
    """An object that computes the hashes of Python values. A value may contain itself. For example, a list can be an
    element of itself.
    """

    def __init__(self) -> None:
        # The objects whose hashes are not yet complete. Each key is the id of an object, and each value is the nesting
        # depth of the object.
        self._open: dict[int, int] = {}
        # A mapping from each module to the hash of the module's file. Each call of `digest` reads the files again,
        # because a user may change a file between two calls.
        self._files: dict[str, str] = {}

    def hash(self, value: object) -> bytes:
        kind = type(value)
        if kind in _BY_REPR:
            return joined(kind.__name__, repr(value))
        if id(value) in self._open:
            return joined("open", str(self._open[id(value)]))
        self._open[id(value)] = len(self._open)
        try:
            return joined(*self._parts(value))
        finally:
            del self._open[id(value)]

    def _all(self, values: Iterable[object]) -> Iterator[bytes]:
        return (self.hash(value) for value in values)

    def _parts(self, value: Any) -> Iterator[str | bytes | memoryview]:
        """Yield the kind and the content of a value."""
        kind = type(value)
        if kind in (list, tuple):
            yield kind.__name__
            yield from self._all(value)
        elif kind is dict:
            yield "dict"
            for key, item in value.items():
                yield from self._all((key, item))
        elif kind in (set, frozenset):
            yield "set"
            yield from sorted(self._all(value))
        elif kind is np.ndarray or kind is np.memmap:
            yield from self._array(value)
        elif isinstance(value, ModuleType):
            yield from ("module", value.__name__)
        elif isinstance(value, MethodType):
            yield "method"
            yield from self._all((value.__func__, value.__self__))
        elif isinstance(value, FunctionType | type | BuiltinFunctionType | np.ufunc):
            yield from self._code(value)
        elif isinstance(value, property | staticmethod | classmethod):
            yield kind.__name__
            yield from self._all(getattr(value, name, None) for name in ("fget", "fset", "fdel", "__func__"))
        elif _is_sparse(value):
            yield "sparse"
            # The hash of a sparse matrix uses only the matrix's class, shape, values and coordinates. All remaining
            # attributes of a sparse matrix are cached properties. For example, an attribute states whether the indices
            # of the matrix are sorted.
            triples = value.tocoo()
            yield from self._all((kind.__name__, value.shape, triples.data, *triples.coords))
        else:
            yield from self._object(value)

    def _array(self, array: Any) -> Iterator[str | bytes | memoryview]:
        yield from ("array", str(array.shape))
        if array.dtype.hasobject:
            yield self.hash(array.tolist())
            return
        yield self.hash(array.dtype.descr)
        content = np.ascontiguousarray(array)
        yield (
            content.data.cast("B")
            if content.size and content.ndim and content.dtype.kind in "biuf"
            else (content.tobytes())
        )

    def _code(self, value: Any) -> Iterator[str | bytes]:
        module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", value.__name__)
        if isinstance(value, BuiltinFunctionType) and not isinstance(value.__self__, ModuleType | type(None)):
            yield "bound"
            yield from self._all((value.__name__, value.__self__))
        elif not isinstance(value, FunctionType | type) or _is_importable(value, module, name):
            # The workers are new processes. Therefore the workers run the code that the files contain now.
            classes = value.__mro__ if isinstance(value, type) else ()
            modules = dict.fromkeys((str(module), *(str(each.__module__) for each in classes)))
            yield from ("name", str(module), name, *map(self._file_hash, modules))
        elif isinstance(value, FunctionType):
            yield from ("function", name)
            yield from self._all(
                (
                    list(_constants(value.__code__)),
                    value.__defaults__,
                    value.__kwdefaults__,
                    [cell_contents(cell) for cell in value.__closure__ or ()],
                    _used(value),
                )
            )
        else:
            yield from ("class", name)
            members = {key: member for key, member in sorted(vars(value).items()) if key not in _IGNORED}
            yield from self._all((value.__bases__, members))

    def _file_hash(self, module: str) -> str:
        """Return the SHA-256 of a module's file, or an empty text for a module without a file."""
        if module not in self._files:
            file = getattr(sys.modules.get(module), "__file__", None)
            try:
                self._files[module] = "" if file is None else hashlib.sha256(Path(file).read_bytes()).hexdigest()
            except OSError:
                self._files[module] = ""
        return self._files[module]

    def _object(self, value: Any) -> Iterator[str | bytes]:
        try:
            reduced = _reduced(value)
        except Exception as error:  # The method __reduce__ of a class may raise any exception.
            raise UsageError(
                f"an object of type {type(value).__name__} in the search cannot be pickled"
                f" ({type(error).__name__}: {one_line(str(error))}): replace the object"
            ) from None
        if isinstance(reduced, str):
            yield from ("name", str(getattr(value, "__module__", None)), reduced)
            return
        function, arguments, state, items, pairs, *_ = (*reduced, None, None, None, None)
        yield "object"
        yield from self._all((function, arguments, state, list(items or ()), list(pairs or ())))


def _reduced(value: Any) -> str | tuple[Any, ...]:
    reduce = copyreg.dispatch_table.get(type(value))
    reduced = value.__reduce_ex__(4) if reduce is None else reduce(value)
    return reduced if isinstance(reduced, str) else tuple(reduced)


def _is_sparse(value: object) -> bool:
    scipy = sys.modules.get("scipy.sparse")
    return scipy is not None and bool(scipy.issparse(value))


def _is_importable(value: object, module: object, name: str) -> bool:
    """Return whether other processes can import a function or a class by name."""
    if not isinstance(module, str) or module == "__main__":
        return False
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found is value


def _constants(code: CodeType) -> Iterator[object]:
    """Yield the attributes of a code object that determine the result of the code.

    The yielded attributes do not include the line numbers of the source text.
    """
    yield from (code.co_code, code.co_names, code.co_varnames, code.co_freevars, code.co_flags)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield list(_constants(constant))
        else:
            yield constant


def _used(function: FunctionType) -> Mapping[str, object]:
    """Return the global variables to which a function refers."""
    names = {name for code in codes(function.__code__) for name in code.co_names}
    return {name: function.__globals__[name] for name in sorted(names) if name in function.__globals__}
