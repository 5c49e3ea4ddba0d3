"""The search space of a study. A search space consists of dimensions, and contains points."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ledger.errors import UsageError
from ledger.study.dimension_forms import LONGEST_NAME, is_printable, read_dimension
from ledger.study.dimensions import Dimension
from ledger.text import nearest, show


@dataclass(frozen=True)
class Space:
    """A search space, which has one dimension for each parameter.

    The dimensions are in the same order as in the definition of the study.

    Parameters
    ----------
    dimensions : tuple of Dimension
        At least one dimension. The names of the dimensions must be distinct.

    Examples
    --------
    >>> space = Space.from_toml(
    ...     {
    ...         "C": {"type": "real", "low": 1e-3, "high": 1e3, "prior": "log-uniform"},
    ...         "kernel": {"type": "categorical", "choices": ["rbf", "linear"]},
    ...     }
    ... )
    >>> space.names
    ('C', 'kernel')
    >>> space.parse({"C": "10", "kernel": "rbf"})
    {'C': 10.0, 'kernel': 'rbf'}
    """

    dimensions: tuple[Dimension, ...]

    @classmethod
    def from_toml(cls, table: Mapping[str, Any], place: str = "[space]") -> "Space":
        """Read the [space] table of a study file.

        The table maps the name of each parameter to the parameter's dimension.

        Parameters
        ----------
        table : mapping
            The table, such as ``dict(C=dict(type="real", low=1e-3, high=1e3, prior="log-uniform"), kernel=["rbf"])``. A
            dimension may also be one of the short forms that `ledger.study.dimension_forms.short_form` lists.
        place : str
            The place of the table, such as "[space]". Error messages begin with the place of the table.

        Returns
        -------
        Space

        Raises
        ------
        UsageError
            The table is not valid. The error message is one line with the place, the wrong value and the allowed
            values.

        Examples
        --------
        >>> Space.from_toml({"depth": {"type": "integer", "low": 1, "high": 8}}).size()
        8
        """
        for name, dimension in table.items():
            if isinstance(dimension, Mapping) and "name" in dimension:
                raise UsageError(
                    f"{place} {name}: unknown key 'name'; remove this key, because the parameter already"
                    f" has the name {name!r}"
                )
        return cls.of_pairs([(name, table[name]) for name in table], place)

    @classmethod
    def from_json(cls, objects: Sequence[Mapping[str, Any]], place: str = "space") -> "Space":
        """Make a space from the result of `to_json`, which may come from a jsonb column of the database.

        Parameters
        ----------
        objects : sequence of mapping
            One dict for each dimension, in the order of the dimensions.
        place : str
            The name of the list of dicts, such as "space". Error messages begin with the name of the list.

        Returns
        -------
        Space

        Raises
        ------
        UsageError
            The dict of a dimension is not valid. The error message is one line with the place, the wrong value and the
            allowed values.

        Examples
        --------
        >>> Space.from_json([{"name": "depth", "type": "integer", "low": 1, "high": 8}]).names
        ('depth',)
        """
        pairs = []
        for given in objects:
            if not isinstance(given, Mapping):
                raise UsageError(f"{place} {show(given)} is not a table with the settings of a dimension")
            table = dict(given)
            pairs.append((table.pop("name", ""), table))
        return cls.of_pairs(pairs, place)

    @classmethod
    def of_pairs(cls, pairs: Iterable[tuple[Any, Any]], place: str) -> "Space":
        """Make a space from the names and the dimensions of the parameters.

        Parameters
        ----------
        pairs : iterable of (name, dimension)
            A dimension is a dict or a short form that `ledger.study.dimension_forms.read_dimension` can read.
        place : str
            The text with which error messages begin.

        Raises
        ------
        UsageError
            A name or a dimension is not valid, or two dimensions have the same name.

        Examples
        --------
        >>> Space.of_pairs([("depth", (1, 8)), ("kernel", ["rbf", "linear"])], "space").names
        ('depth', 'kernel')
        """
        dimensions: dict[str, Dimension] = {}
        for name, table in pairs:
            try:
                dimension = read_dimension(name, table)
                if name in dimensions:
                    raise ValueError("two dimensions have this name; rename or remove one of the dimensions")
            except ValueError as error:
                shown = name if is_printable(name) and len(name) <= LONGEST_NAME else show(name)
                raise UsageError(f"{place} {shown}: {error}") from None
            dimensions[name] = dimension
        if not dimensions:
            raise UsageError(
                f'{place} has no dimension; add a dimension, such as C = {{ type = "real", low = 1e-3, high = 1e3 }}'
            )
        return cls(tuple(dimensions.values()))

    def to_json(self) -> list[dict[str, Any]]:
        """Return one dict for each dimension, in the order of the dimensions.

        Each dict has at least the keys `name` and `type`.

        Examples
        --------
        >>> Space.from_toml({"k": {"type": "categorical", "choices": [1, "a"]}}).to_json()
        [{'name': 'k', 'type': 'categorical', 'choices': [1, 'a']}]
        """
        return [dimension.to_json() for dimension in self.dimensions]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the parameters, in the order of the dimensions."""
        return tuple(dimension.name for dimension in self.dimensions)

    @property
    def defaults(self) -> dict[str, Any]:
        """The default of each dimension that has a default.

        Examples
        --------
        >>> Space.from_toml({"n": {"type": "integer", "low": 1, "high": 8, "default": 4}, "k": ["a", "b"]}).defaults
        {'n': 4}
        """
        return {each.name: each.default.value for each in self.dimensions if each.default is not None}

    def texts(self) -> dict[str, list[str]]:
        """Return a dict that maps the name of each parameter to a list of the parameter's text values.

        If a parameter has no text values, the parameter's list is empty.

        Examples
        --------
        >>> Space.from_toml({"k": {"type": "categorical", "choices": [1, "a"]}}).texts()
        {'k': ['a']}
        """
        choices = {dimension["name"]: dimension.get("choices", ()) for dimension in self.to_json()}
        return {name: [choice for choice in of if isinstance(choice, str)] for name, of in choices.items()}

    def size(self) -> int | None:
        """Return the number of distinct points, or None if a real dimension makes the number infinite.

        Examples
        --------
        >>> depth = {"type": "integer", "low": 1, "high": 8}
        >>> Space.from_toml({"depth": depth, "width": depth}).size()
        64
        >>> Space.from_toml({"depth": depth, "C": {"type": "real", "low": 0, "high": 1}}).size() is None
        True
        """
        sizes = [dimension.size() for dimension in self.dimensions]
        counted = [size for size in sizes if size is not None]
        return math.prod(counted) if len(counted) == len(sizes) else None

    def extreme_points(self) -> Iterator[dict[str, Any]]:
        """Yield points that together contain both ends of each range, and each choice of each categorical dimension.

        Examples
        --------
        >>> space = Space.from_toml({"C": {"type": "real", "low": 0, "high": 1}, "kernel": ["rbf", "linear", "poly"]})
        >>> for point in space.extreme_points():
        ...     print(point)
        {'C': 0.0, 'kernel': 'rbf'}
        {'C': 1.0, 'kernel': 'poly'}
        {'C': 0.0, 'kernel': 'linear'}
        """
        extremes = {dimension.name: dimension.extremes() for dimension in self.dimensions}
        lows = {name: values[0] for name, values in extremes.items()}
        yield lows
        yield {name: values[-1] for name, values in extremes.items()}
        for name, values in extremes.items():
            for value in values[1:-1]:
                yield {**lows, name: value}

    def point(self, index: int) -> dict[str, Any]:
        """Return the point with the index `index` in a finite space.

        The points are in row-major order, so the value of the last dimension changes fastest.

        Parameters
        ----------
        index : int
            The index of the point, in [0, size()).

        Returns
        -------
        dict
            A dict from the name of each parameter to the parameter's value.

        Raises
        ------
        TypeError
            The space is not finite.

        Examples
        --------
        >>> kind, n = {"type": "categorical", "choices": ["a", "b"]}, {"type": "integer", "low": 1, "high": 3}
        >>> Space.from_toml({"kind": kind, "n": n}).point(4)
        {'kind': 'b', 'n': 2}
        """
        params: dict[str, Any] = {}
        for dimension in reversed(self.dimensions):
            size = dimension.size()
            if size is None:
                raise TypeError(
                    f"the points of the space cannot be counted: the dimension {dimension.name!r} has infinitely many"
                    " values"
                )
            index, place = divmod(index, size)
            params[dimension.name] = dimension.value(place)
        return {name: params[name] for name in self.names}

    def normalise(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return a copy of the point `params`.

        The copy has the parameters in the order of the space's dimensions. In the copy, the value of each parameter has
        the Python type that the parameter's dimension requires, such as int, float or tuple.

        Parameters
        ----------
        params : mapping
            A mapping from the name of each parameter to the parameter's value. A value may be a numpy scalar, or a
            value from JSON, such as an int instead of a float.

        Returns
        -------
        dict
            A dict from the name of each parameter to the parameter's value.

        Raises
        ------
        UsageError
            A parameter is missing or unknown, or the value of a parameter is not allowed.

        Examples
        --------
        >>> Space.from_toml({"C": {"type": "real", "low": 0, "high": 1}}).normalise({"C": 1})
        {'C': 1.0}
        """
        return self._point(params, lambda dimension: dimension.normalise)

    def parse(self, texts: Mapping[str, str]) -> dict[str, Any]:
        """Convert texts, for example from a command line or a CSV file, into a point of the space.

        Parameters
        ----------
        texts : mapping
            A mapping from the name of each parameter to the text of the parameter's value.

        Returns
        -------
        dict
            A dict from the name of each parameter to the parameter's value.

        Raises
        ------
        UsageError
            A parameter is missing or unknown, or the value of a parameter is not allowed. The error message contains
            the wrong value and the allowed values.

        Examples
        --------
        >>> Space.from_toml({"C": {"type": "real", "low": 0, "high": 1}}).parse({"C": "2"})
        Traceback (most recent call last):
        ...
        ledger.errors.UsageError: parameter 'C': 2.0 is not in [0.0, 1.0]
        """
        return self._point(texts, lambda dimension: dimension.parse)

    def _point(self, given: Mapping[str, Any], convert: Callable[[Dimension], Callable[[Any], Any]]) -> dict[str, Any]:
        for name in given:
            if name not in self.names:
                raise UsageError(f"the space has no parameter {name!r}{nearest(name, self.names)}")
        point = {}
        for dimension in self.dimensions:
            if dimension.name not in given:
                raise UsageError(
                    f"parameter {dimension.name!r} of the space is missing; add a value for this parameter"
                )
            try:
                point[dimension.name] = convert(dimension)(given[dimension.name])
            except ValueError as error:
                raise UsageError(f"parameter {dimension.name!r}: {error}") from None
        return point

    def contains(self, params: Mapping[str, Any]) -> bool:
        """Return whether `params` is a point of the space.

        The Python type of a value may differ from the type that the dimension requires. For example, the float 1.0 may
        represent the integer 1.

        Examples
        --------
        >>> space = Space.from_toml({"C": {"type": "real", "low": 0, "high": 1}})
        >>> space.contains({"C": 0.5}), space.contains({"C": 2.0}), space.contains({})
        (True, False, False)
        """
        try:
            self.normalise(params)
        except UsageError:
            return False
        return True
