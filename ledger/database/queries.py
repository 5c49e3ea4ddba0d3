"""The named queries of sql/queries, which psql and the command `ledger query` can run.

All files of sql/queries have the same structure. The first lines of each query file are comments. The comments begin
with the question that the query answers, and end with the psql command that runs the file. The lines after the comments
set the default values of the query's variables, one variable per line. The rest of the file is one SQL statement, in
which ``:'NAME'`` stands for the value of the variable NAME.
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
    """A query that a user can run by its name, from a file of sql/queries.

    Attributes
    ----------
    name : str
        Name of the query file without the suffix ``.sql``.
    about : str
        The question that the query answers, and notes on the result.
    variables : mapping
        Default value of each variable, with the name of the variable as the key.
    statement : str
        SQL text, in which ``:'NAME'`` stands for the value of the variable NAME.
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
        """Return the statement with the given values of variables, and with the defaults of all other variables.

        Raises
        ------
        UsageError
            One of the given names is not the name of a variable of the query.
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
    """Return a dictionary of all queries, with the name of the query as the key."""
    files = sorted((folder("sql") / "queries").glob("*.sql"))
    return {file.stem: _read(file.stem, file.read_text()) for file in files}


def find(name: str) -> NamedQuery:
    """Return the query with the given name.

    Raises
    ------
    UsageError
        No query has the given name. The error message suggests the query with the most similar name, or lists the
        queries.
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
