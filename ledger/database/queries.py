"""Queries in the files of sql/queries. A user can run a query with psql or with the command `ledger query`.

All query files of the folder sql/queries have the same structure. The first lines of each query file are comments. The
first comment is the question that the query answers. The last comment is the psql command that runs the file. The lines
after the comments set the default values of the query's variables, one variable per line. The rest of the file is one
SQL statement. In the statement, ``:'NAME'`` is the placeholder for the value of the variable NAME.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from psycopg import sql

from ledger.errors import UsageError
from ledger.resources import folder
from ledger.text import nearest

_VARIABLE = re.compile(r"^\\if :\{\?(\w+)\} \\else \\set \1 '([^']*)' \\endif\n", re.MULTILINE)


@dataclass(frozen=True)
class NamedQuery:
    """An SQL query with a name. The ledger reads the query from a file in the folder sql/queries.

    Attributes
    ----------
    name : str
        Name of the query file without the suffix ``.sql``.
    about : str
        The question that the query answers, and notes on the query's result.
    variables : mapping
        Maps the name of each variable to the default value of the variable.
    statement : str
        The SQL text of the query. ``:'NAME'`` is the placeholder for the value of the variable NAME.
    """

    name: str
    about: str
    variables: Mapping[str, str]
    statement: str

    @property
    def question(self) -> str:
        """The question that the query answers."""
        return self.about[: self.about.index("?") + 1]

    def with_values(self, given: Mapping[str, str]) -> sql.Composed:
        """Return the SQL statement of the query with the values of the variables. If `given` does not contain a
        variable, the variable has its default value.

        Raises
        ------
        UsageError
            A name in `given` is not the name of a variable of the query.
        """
        for name in given:
            if name not in self.variables:
                raise UsageError(f"query {self.name} has no variable {name!r}{nearest(name, self.variables)}")
        values = {**self.variables, **given}
        parts = re.split(r":'(\w+)'", self.statement)
        return sql.Composed(
            [sql.Literal(values[part]) if index % 2 else sql.SQL(part) for index, part in enumerate(parts)]
        )


def known() -> dict[str, NamedQuery]:
    """Return a dictionary that maps the name of each query to the query."""
    files = sorted((folder("sql") / "queries").glob("*.sql"))
    return {file.stem: _read(file.stem, file.read_text()) for file in files}


def find(name: str) -> NamedQuery:
    """Return the query with the given name.

    Raises
    ------
    UsageError
        No query has the given name. The error message suggests the query with the most similar name. If no name is
        similar, the message lists the queries.
    """
    queries = known()
    if name not in queries:
        raise UsageError(f"no query is named {name!r}{nearest(name, queries)}")
    return queries[name]


def _read(name: str, text: str) -> NamedQuery:
    comments = [line.removeprefix("-- ") for line in text.splitlines() if line.startswith("-- ")]
    about = " ".join(comments).partition(" psql -f ")[0]
    body = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("-- "))
    return NamedQuery(name, about, dict(_VARIABLE.findall(body)), _VARIABLE.sub("", body))
