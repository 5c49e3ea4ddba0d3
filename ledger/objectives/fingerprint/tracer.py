"""Finds and hashes the functions, classes and values to which an objective refers."""

import builtins
import dis
import functools
import hashlib
import os
import sys
import textwrap
from ast import Attribute, Call, Name, expr
from collections.abc import Callable, Iterator, Mapping
from itertools import takewhile
from types import CodeType, FunctionType, GetSetDescriptorType, MemberDescriptorType, MethodType, ModuleType
from typing import Any

from ledger.objectives.fingerprint import own_modules, syntax
from ledger.objectives.fingerprint.own_modules import MAIN, OwnModules, file_of
from ledger.objectives.fingerprint.record import CodePart
from ledger.objectives.fingerprint.syntax import ModuleSyntax
from ledger.objectives.fingerprint.values import UnwatchedValueError, ValueHasher, cell_contents

# The decorator `ledger.objective` defines only the search space of an objective. The space is a setting of the study,
# not a part of the objective's code.
_OWN_DECORATOR = ("ledger.study.decorator", "objective")
_ATTRIBUTE_OPCODES = ("LOAD_ATTR", "LOAD_METHOD")
_GLOBAL_OPCODES = ("LOAD_GLOBAL", "LOAD_NAME")
_DESCRIPTORS = (GetSetDescriptorType, MemberDescriptorType)
_SHOWN = (type(None), bool, int, float)
_LONGEST_SHOWN = 40
# The tracer examines at most `_DEEPEST` nested wrappers of an objective.
_DEEPEST = 100


class CodeTracer:
    """A tracer that finds the objects that an objective uses, directly or through the user's functions, classes and
    modules.

    The tracer reads source texts and values. The tracer does not call the user's functions.

    Parameters
    ----------
    module : str
        The name of the module that defines the objective.
    is_importable : bool
        Whether workers import the objective from the module. If `is_importable` is False, the module is a notebook or a
        script. For a notebook or a script, the tracer hashes the values of the module's variables, but not the
        statements that define the variables.

    Attributes
    ----------
    parts : dict
        A mapping from the kind and the name of each found part to the part.
    texts : dict of str to str
        A mapping from the name of each file to the file's source text.
    packages : set of str
        The names of the packages that the code uses, except packages that belong to the user's code.
    folder : str
        The folder of the user's code.
    """

    def __init__(self, module: str, *, is_importable: bool) -> None:
        self._module, self._is_importable = module, is_importable
        self._own = OwnModules(module)
        self.folder = self._own.folder or os.path.realpath(os.curdir)
        self._hasher = ValueHasher(self._refer, lambda kind: _module_of(kind) in self._own, self._own.folder)
        # The functions and classes that the tracer has found. Each key is the id of an object, and each value is a pair
        # of the object and its name. The mapping keeps a reference to each object, so that Python does not reuse the id
        # of the object.
        self._found: dict[int, tuple[object, str]] = {}
        self._names: set[tuple[int, str]] = set()
        self._modules: set[str] = set()
        # The code objects that the tracer has not yet examined. Each element of the list is a pair of a code object and
        # its global variables.
        self._untraced: list[tuple[CodeType, dict[str, Any]]] = []
        self._text_name = ""
        self.parts: dict[tuple[str, str], CodePart] = {}
        self.texts: dict[str, str] = {}
        self.packages: set[str] = set()

    def trace(self, objective: Callable[..., Any], name: str) -> None:
        """Add all parts of an objective that has the name `name`."""
        self._text_name = name
        self._objective(objective, name, 0)
        while self._untraced:
            self._uses(*self._untraced.pop(0))
        if self._is_importable:
            self._file(self._module)

    def _objective(self, objective: Any, name: str, depth: int) -> None:
        """Add the parts of a callable, which may be a wrapper, a bound method or an instance of a class."""
        if depth > _DEEPEST:  # Wrappers can refer to each other in a circle.
            return
        if isinstance(objective, functools.partial):
            given = {**{str(index): value for index, value in enumerate(objective.args)}, **objective.keywords}
            for key, value in given.items():
                self._value("argument", key, value)
            objective = objective.func
        elif isinstance(objective, MethodType):
            self._value("attributes", name, objective.__self__)
            objective = objective.__func__
        elif isinstance(objective, FunctionType):
            inner = getattr(objective, "__wrapped__", None)
            if _module_of(objective) in self._own or not callable(inner):
                self._function(objective, name)
                return
            # A decorator of another package has created the function. The function's closure contains the decorator's
            # arguments.
            self._objective(inner, name, depth + 1)
            self._closure(objective, "")
            return
        elif isinstance(objective, type):
            self._refer(objective)
            return
        elif callable(inner := getattr(objective, "__wrapped__", None)):
            objective = inner
        else:
            self._refer(type(objective))
            self._value("attributes", name, objective)
            return
        self._objective(objective, name, depth + 1)

    def _function(self, function: FunctionType, name: str | None = None) -> str:
        """Add a function and all objects to which the function refers. Return the name of the function."""
        if id(function) in self._found:
            return self._found[id(function)][1]
        is_objective = name is not None
        label = self._label("function", name or self._qualified(function))
        self._found[id(function)] = function, label
        self._add(CodePart("function", label, code=self._function_digest(function)))
        prefix = "" if is_objective else f"{label}."
        for key, value in _defaults(function):
            self._value("default value", prefix + key, value)
        self._closure(function, prefix)
        self._untraced.append((function.__code__, function.__globals__))
        return label

    def _closure(self, function: FunctionType, prefix: str) -> None:
        for key, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
            for value in cell_contents(cell):
                self._value("closure value", prefix + key, value)

    def _function_digest(self, function: FunctionType) -> str:
        """Return the hash of a function's source.

        If the source is not available, return the hash of the function's bytecode.
        """
        module, variables = _module_of(function), function.__globals__
        found = syntax.of_code(function.__code__, variables)
        if found is None:
            return _bytecode_digest(function.__code__, self._hasher)
        source, node = found
        if module == self._module and not self._is_importable:
            self._add_text(self._text_name, textwrap.dedent(syntax.segment(source, node)))
        elif module in self._own:
            self._add_text(file_of(module), source.text)
        return syntax.digest([syntax.without_decorators(node, lambda each: _is_own_decorator(each, variables))])

    def _uses(self, code: CodeType, variables: dict[str, Any]) -> None:
        """Add the global values to which a code object refers, and the modules that the code object imports."""
        used: dict[str, set[tuple[str, ...]]] = {}
        for inner in syntax.codes(code):
            for name, attributes in _global_uses(inner):
                used.setdefault(name, set()).add(attributes)
            for module, names in _imports(inner, variables):
                self._import(module, names)
        for name in sorted(used):
            self._variable(variables, name, used[name])

    def _variable(self, variables: Mapping[str, Any], name: str, uses: set[tuple[str, ...]]) -> None:
        """Add the global variable of a module, and the parts to which the variable's definition refers."""
        if name not in variables or (name.startswith("__") and name.endswith("__")):
            return
        value = variables[name]
        if isinstance(value, ModuleType):
            for attributes in sorted(uses):
                self._attribute(value, attributes)
            return
        if (id(variables), name) in self._names:
            return
        self._names.add((id(variables), name))
        module = str(variables.get("__name__", MAIN))
        label = name if module == self._module else f"{module}.{name}"
        source = self._source(module)
        if isinstance(value, FunctionType | type):
            self._refer(value)
            if _module_of(value) not in self._own and source is None:
                # The recorded code of a notebook contains no import statements, so the tracer adds the function or the
                # class that the notebook has imported.
                self._value("module value", label, value)
            return
        imported = None if source is None else source.imported(name)
        if imported is not None and self._imported(variables, *imported):
            return
        statements = [] if source is None else source.statements(name)
        self._value("module value", label, value, code=syntax.digest(statements) if statements else None)
        for other in syntax.names(statements):
            self._variable(variables, other, {()})

    def _source(self, module: str) -> ModuleSyntax | None:
        """Return the `ModuleSyntax` of a user's module, and store the text of the module in `texts`.

        Return None for a notebook or a script.
        """
        is_file = module in self._own and (self._is_importable or module != self._module)
        source = syntax.of_module(module) if is_file else None
        if source is not None:
            self._add_text(file_of(module), source.text)
        return source

    def _imported(self, variables: Mapping[str, Any], module: str, level: int, name: str) -> bool:
        """Add a variable that one module of the user imports from another module.

        Return False if the variable comes from a module that does not belong to the user's code.
        """
        where = own_modules.resolved(module, level, variables)
        there = sys.modules.get(where or "")
        if where not in self._own or there is None:
            return False
        self._variable(vars(there), name, {()})
        return True

    def _attribute(self, module: ModuleType, attributes: tuple[str, ...]) -> None:
        """Add an attribute that the code reads from a module, such as ``helpers.loss``."""
        name = module.__name__
        if name not in self._own:
            self.packages.add(name.partition(".")[0])
        elif not attributes:
            # The user's code passes the module object to other code, such as a function of a package. The called
            # function can use any part of the user's module.
            self._file(name)
        else:
            self._variable(vars(module), attributes[0], {attributes[1:]})

    def _import(self, module: str, names: tuple[str, ...]) -> None:
        """Add the file of a module that a function imports, and the files of the imported submodules."""
        if module not in self._own:
            self.packages.add(module.partition(".")[0])
            return
        self._file(module)
        for name in names:
            inner = f"{module}.{name}"
            if not hasattr(sys.modules.get(module), name) and syntax.of_module(inner) is not None:
                self._file(inner)

    def _file(self, module: str) -> None:
        """Add the file of a module.

        If the added module does not contain the objective, also add the files of all modules that the added module
        imports.
        """
        if module in self._modules:
            return
        self._modules.add(module)
        source = syntax.of_module(module)
        if source is None:
            return
        variables = vars(sys.modules[module]) if module in sys.modules else {}
        effects = source.effects(lambda decorator: _is_own_decorator(decorator, variables))
        self._add(CodePart("file", file_of(module), code=effects))
        self._add_text(file_of(module), source.text)
        for name, level, names in source.imports():
            imported = own_modules.resolved(name, level, variables or {"__package__": module.rpartition(".")[0]})
            if imported is not None and (imported not in self._own or module != self._module):
                self._import(imported, names)

    def _refer(self, value: Any) -> str:
        """Return the text that represents a function, class or module in a hash.

        If the object belongs to the user's code, also add the object as a part.
        """
        if isinstance(value, ModuleType):
            self._attribute(value, ())
            return f"module {value.__name__}"
        if isinstance(value, FunctionType):
            if _module_of(value) in self._own and not self._is_generated(value):
                return f"function {self._function(value)}"
        elif isinstance(value, type) and _module_of(value) in self._own:
            return f"class {self._class(value)}"
        if not isinstance(value, type) and callable(inner := getattr(value, "__wrapped__", None)):
            return f"wrapped {self._hasher.digest(inner)}"
        module = str(getattr(value, "__module__", None) or builtins.__name__)
        self.packages.add(module.partition(".")[0])
        return f"{module}.{getattr(value, '__qualname__', type(value).__qualname__)}"

    def _class(self, kind: type) -> str:
        """Add a class with its methods, attributes and base classes. Return the name of the class."""
        if id(kind) in self._found:
            return self._found[id(kind)][1]
        label = self._label("class", self._qualified(kind))
        self._found[id(kind)] = kind, label
        # In `parts`, the class must precede the parts to which the class refers.
        self._add(CodePart("class", label))
        methods, attributes = _members(
            kind, lambda function: _module_of(function) in self._own and not self._is_generated(function)
        )
        source = self._source(_module_of(kind))
        node = None if source is None else source.class_node(kind.__qualname__)
        if node is None:
            hashes = sorted((name, self._function_digest(method)) for name, method in methods)
            code = hashlib.sha256(repr(hashes).encode()).hexdigest()
        else:
            code = syntax.digest([node])
        value = self._hash(attributes) if attributes else None
        self.parts["class", label] = CodePart("class", label, code=code, value=value)
        for name, method in methods:
            self._found[id(method)] = method, f"{label}.{name}"
            for _, default in _defaults(method):
                self._hash(default)
            for cell in method.__closure__ or ():
                for content in cell_contents(cell):
                    self._hash(content)
            self._untraced.append((method.__code__, method.__globals__))
        for base in kind.__bases__:
            self._refer(base)
        return label

    def _is_generated(self, function: FunctionType) -> bool:
        """Return whether a decorator such as `dataclass` has generated the source of the function."""
        return function.__code__.co_filename.startswith("<string>") and self._source(_module_of(function)) is not None

    def _value(self, kind: str, name: str, value: object, code: str | None = None) -> None:
        if isinstance(value, FunctionType) and _module_of(value) in self._own:
            self._refer(value)
            return
        label = self._label(kind, name)
        self._add(CodePart(kind, label))
        shown = repr(value) if type(value) in _SHOWN else ""
        try:
            hashed = self._hasher.digest(value)
        except UnwatchedValueError as error:
            part = CodePart(kind, label, code=code, unwatched=str(error))
        else:
            is_short = 0 < len(shown) <= _LONGEST_SHOWN
            part = CodePart(kind, label, code=code, value=hashed, shown=shown if is_short else None)
        self.parts[kind, label] = part

    def _hash(self, value: object) -> str | None:
        try:
            return self._hasher.digest(value)
        except UnwatchedValueError:
            return None

    def _qualified(self, value: FunctionType | type) -> str:
        name = value.__qualname__.replace(".<locals>", "")
        return name if _module_of(value) == self._module else f"{_module_of(value)}.{name}"

    def _label(self, kind: str, name: str) -> str:
        """Return the name for a new part.

        If another part has the kind `kind` and the name `name`, append a number to `name`.
        """
        label, number = name, 1
        while (kind, label) in self.parts:
            number += 1
            label = f"{name} {number}"
        return label

    def _add(self, part: CodePart) -> None:
        self.parts[part.kind, part.name] = part

    def _add_text(self, name: str, text: str) -> None:
        before = self.texts.get(name)
        if before is None:
            self.texts[name] = text
        elif before != text:
            self.texts[name] = f"{before}\n\n{text}"


def _module_of(value: Any) -> str:
    """Return the name of the module that defines a function or a class.

    A decorator such as `functools.wraps` copies the name of the module from the decorated function to the wrapper.
    """
    is_function = isinstance(value, FunctionType)
    module = value.__globals__.get("__name__") if is_function else getattr(value, "__module__", None)
    return module if isinstance(module, str) else MAIN


def _is_own_decorator(decorator: expr, variables: Mapping[str, Any]) -> bool:
    """Return whether a decorator is `ledger.objective`."""
    node: expr = decorator.func if isinstance(decorator, Call) else decorator
    names: list[str] = []
    while isinstance(node, Attribute):
        names.insert(0, node.attr)
        node = node.value
    value = variables.get(node.id) if isinstance(node, Name) else None
    for name in names:
        value = getattr(value, name, None)
    return (getattr(value, "__module__", None), getattr(value, "__name__", None)) == _OWN_DECORATOR


def _defaults(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """Yield the name and the default value of each parameter that has a default value."""
    code, values = function.__code__, function.__defaults__ or ()
    yield from zip(code.co_varnames[code.co_argcount - len(values) : code.co_argcount], values, strict=False)
    yield from sorted((function.__kwdefaults__ or {}).items())


def _global_uses(code: CodeType) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each global name in a code object, and the chain of attributes that the code object reads from the name."""
    instructions = list(dis.get_instructions(code))
    for index, instruction in enumerate(instructions):
        if instruction.opname in _GLOBAL_OPCODES:
            attributes = takewhile(lambda each: each.opname in _ATTRIBUTE_OPCODES, instructions[index + 1 :])
            yield str(instruction.argval), tuple(str(each.argval) for each in attributes)


def _imports(code: CodeType, variables: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each module that a code object imports, and the names that the code object imports from the module."""
    instructions = list(dis.get_instructions(code))
    for index, instruction in enumerate(instructions):
        if instruction.opname == "IMPORT_NAME" and index >= 2:
            level, names = (each.argval for each in instructions[index - 2 : index])
            module = own_modules.resolved(str(instruction.argval), level if isinstance(level, int) else 0, variables)
            if module is not None:
                yield module, names if isinstance(names, tuple) else ()


def _members(
    kind: type, is_own: Callable[[FunctionType], bool]
) -> tuple[list[tuple[str, FunctionType]], dict[str, Any]]:
    """Return the functions that a class defines, and all attributes of the class that are not functions."""
    methods, attributes = [], {}
    for name, member in sorted(vars(kind).items()):
        functions = [each for each in _functions(member) if is_own(each)]
        methods += [(name, each) for each in functions]
        is_internal = name.startswith("_") and name.endswith("_")
        if not (functions or is_internal or isinstance(member, _DESCRIPTORS)):
            attributes[name] = member
    return methods, attributes


def _functions(member: Any) -> list[FunctionType]:
    if isinstance(member, staticmethod | classmethod):
        member = member.__func__
    if isinstance(member, property):
        candidates = [member.fget, member.fset, member.fdel]
    else:
        candidates = [getattr(member, "func", None) if isinstance(member, functools.cached_property) else member]
    return [each for each in candidates if isinstance(each, FunctionType)]


def _bytecode_digest(code: CodeType, hasher: ValueHasher) -> str:
    """Return the hash of a function whose source is not available. The hash depends on the version of Python."""
    constants = [
        _bytecode_digest(each, hasher) if isinstance(each, CodeType) else hasher.digest(each) for each in code.co_consts
    ]
    content = (sys.version_info[:2], code.co_code, code.co_names, code.co_varnames, code.co_flags, constants)
    return hashlib.sha256(repr(content).encode()).hexdigest()
