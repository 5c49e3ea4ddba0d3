"""Syntax trees of Python code, and hashes of syntax trees.

The hash of a syntax tree does not depend on comments, blank lines, line numbers or the version of Python.
"""

import ast
import hashlib
import importlib.util
import json
import linecache
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from importlib.machinery import ModuleSpec, PathFinder
from types import CodeType
from typing import Any

# Names of the syntax-tree fields that have no effect on the result of the code.
_IGNORED = frozenset({"ctx", "kind", "type_comment", "type_ignores"})
FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


def digest(nodes: Iterable[ast.AST]) -> str:
    """Return the SHA-256 of syntax trees, in hexadecimal.

    Examples
    --------
    >>> one, other = (ast.parse(text) for text in ("x = 1  # one", "x  =  1"))
    >>> digest([one]) == digest([other])
    True
    """
    return hashlib.sha256(json.dumps([_plain(node) for node in nodes]).encode()).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, ast.Constant):
        return ["Constant", type(value.value).__name__, _constant(value.value)]
    if isinstance(value, ast.AST):
        # A newer version of Python may add fields to the nodes of a syntax tree. If the code does not use new syntax,
        # the new fields are empty.
        fields = {
            name: _plain(field)
            for name, field in ast.iter_fields(value)
            if name not in _IGNORED and field is not None and field != []
        }
        return [type(value).__name__, fields]
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _constant(value: object) -> str:
    if isinstance(value, str):
        return value
    # `str` and `repr` refuse integers with thousands of digits, but `hex` accepts every integer.
    return hex(value) if type(value) is int else repr(value)


class ModuleSyntax:
    """The source text and the syntax tree of a Python file.

    Parameters
    ----------
    text : str
        The source text.
    tree : ast.Module
        The syntax tree of the text.
    """

    def __init__(self, text: str, tree: ast.Module) -> None:
        self.text, self.tree = text, tree

    def effects(self, is_omitted: Callable[[ast.expr], bool]) -> str:
        """Return the hash of the module. The hash omits the code that runs only if the module is the main program.

        Parameters
        ----------
        is_omitted : callable
            Function that receives a decorator of a function in the module, and returns whether the hash omits the
            decorator.
        """
        return digest(
            without_decorators(statement, is_omitted) for statement in self.tree.body if not _is_main(statement)
        )

    def statements(self, name: str) -> list[ast.stmt]:
        """Return the statements that contain `name`, except imports, function definitions and class definitions."""
        return [
            statement
            for statement in self.tree.body
            if not isinstance(
                statement,
                ast.Import | ast.ImportFrom | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef,
            )
            and not _is_main(statement)
            and name in _names(statement)
        ]

    def imported(self, name: str) -> tuple[str, int, str] | None:
        """Find the import statement with ``from`` that defines the variable `name`.

        Return the module, the level and the imported name of the statement. The level is the number of leading dots.
        """
        for statement in self.tree.body:
            if isinstance(statement, ast.ImportFrom):
                for alias in statement.names:
                    if (alias.asname or alias.name) == name:
                        return statement.module or "", statement.level, alias.name
        return None

    def imports(self) -> Iterator[tuple[str, int, tuple[str, ...]]]:
        """Yield the module, the level and the imported names of each import, including the imports inside functions."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((alias.name, 0, ()) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield node.module or "", node.level, tuple(alias.name for alias in node.names)

    def class_node(self, qualified: str) -> ast.ClassDef | None:
        """Return the definition of a top-level class, or of a class inside another class."""
        body: list[ast.stmt] = self.tree.body
        found = None
        for name in qualified.split("."):
            found = next((node for node in body if isinstance(node, ast.ClassDef) and node.name == name), None)
            if found is None:
                return None
            body = found.body
        return found


def names(nodes: Iterable[ast.AST]) -> list[str]:
    """Return the sorted names of the variables that the statements read or assign."""
    return sorted({name for node in nodes for name in _names(node)})


def of_module(name: str) -> ModuleSyntax | None:
    """Return the `ModuleSyntax` of an importable module. Return None if the module has no source, or is not valid
    Python.

    The function does not import the module.
    """
    try:
        module = sys.modules.get(name)
        spec = getattr(module, "__spec__", None) or _found(name)
        loader: Any = getattr(spec, "loader", None)
        text = loader.get_source(name) if hasattr(loader, "get_source") else None
    except Exception:  # A loader of the user may raise any exception.
        return None
    return None if text is None else _parsed(text, name)


def of_code(code: CodeType, variables: dict[str, Any]) -> tuple[ModuleSyntax, FunctionNode] | None:
    """Return the `ModuleSyntax` of a function's file, and the node of the function in the syntax tree.

    Parameters
    ----------
    code : code
        The code object of the function.
    variables : dict
        The global variables of the function.

    Returns
    -------
    tuple or None
        The result is None if the source is not available, or if the source has changed since Python compiled the
        function.
    """
    linecache.checkcache(code.co_filename)
    text = "".join(linecache.getlines(code.co_filename, variables))
    syntax = _parsed(text, code.co_filename) if text else None
    if syntax is None or code not in _compiled(text, code.co_filename):
        return None
    for node in ast.walk(syntax.tree):
        if isinstance(node, FunctionNode) and _is_of(node, code):
            return syntax, node
    return None


def without_decorators(node: ast.AST, is_omitted: Callable[[ast.expr], bool]) -> ast.AST:
    """Return the definition of a function, and omit each decorator for which `is_omitted` returns True.

    If `node` is not the definition of a function, the result is `node` itself.
    """
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return node
    kept = [decorator for decorator in node.decorator_list if not is_omitted(decorator)]
    return type(node)(**{**dict(ast.iter_fields(node)), "decorator_list": kept})


def segment(syntax: ModuleSyntax, node: FunctionNode) -> str:
    """Return the source lines of a function, including the function's decorators."""
    lines = syntax.text.splitlines(keepends=True)
    return "".join(lines[_first_line(node) - 1 : node.end_lineno])


def codes(code: CodeType) -> Iterator[CodeType]:
    """Yield a code object, and the code objects of all functions inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes(constant)


def _found(name: str) -> ModuleSpec | None:
    """Return the spec of a module that Python has not imported.

    The function does not call `importlib.util.find_spec`, because `find_spec` would import the module's parent
    packages.
    """
    package, *inner = name.split(".")
    spec = importlib.util.find_spec(package)
    for each in inner:
        if spec is None:
            return None
        spec = PathFinder.find_spec(f"{spec.name}.{each}", spec.submodule_search_locations)
    return spec


@lru_cache(maxsize=64)
def _parsed(text: str, name: str) -> ModuleSyntax | None:
    try:
        return ModuleSyntax(text, ast.parse(text, name))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


@lru_cache(maxsize=64)
def _compiled(text: str, name: str) -> frozenset[CodeType]:
    """Compile a source text, and return all code objects of the text.

    Two code objects are equal if their code and their source positions are equal.
    """
    try:
        return frozenset(codes(compile(text, name, "exec", dont_inherit=True)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset()


def _is_of(node: FunctionNode, code: CodeType) -> bool:
    if _first_line(node) != code.co_firstlineno:
        return False
    if not isinstance(node, ast.Lambda):
        return node.name == code.co_name
    # Several lambda expressions can begin on the same line. The code object of a lambda contains only positions inside
    # the lambda's body.
    body = node.body
    positions = [
        (line, column, end_line, end_column)
        for line, end_line, column, end_column in code.co_positions()
        if None not in (line, end_line, column, end_column) and end_column
    ]
    begin = min(((line or 0, column or 0) for line, column, _, _ in positions), default=(0, 0))
    end = max(((line or 0, column or 0) for _, _, line, column in positions), default=(0, 0))
    return code.co_name == "<lambda>" and (begin, end) == (
        (body.lineno, body.col_offset),
        (body.end_lineno, body.end_col_offset),
    )


def _first_line(node: FunctionNode) -> int:
    decorators = [] if isinstance(node, ast.Lambda) else node.decorator_list
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def _names(node: ast.AST) -> set[str]:
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}


def _is_main(statement: ast.stmt) -> bool:
    """Return whether a statement is ``if __name__ == "__main__":``."""
    return isinstance(statement, ast.If) and "__name__" in _names(statement.test)
