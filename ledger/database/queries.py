"""The ready queries of sql/queries, for whoever has no psql.

They are written for psql, and read here by what they keep to: comments that begin with the question and end with how to
run it, a line for each variable that gives it a default, and one statement, in which a variable is ``:'NAME'``.
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
class Query:
    """One of sql/queries: its question with what there is to say of the answer, and its variables with defaults."""

    name: str
    about: str
    variables: Mapping[str, str]
    statement: str

    @property
    def question(self) -> str:
        return self.about[: self.about.index("?") + 1]

    def with_values(self, given: Mapping[str, str]) -> sql.Composed:
        """Return the statement with its variables filled in; a UsageError about one that it does not have."""
        for name in given:
            if name not in self.variables:
                raise UsageError(f"query {self.name} has no variable {name!r}{nearest(name, self.variables)}")
        values = {**self.variables, **given}
        parts = re.split(r":'(\w+)'", self.statement)
        return sql.Composed(
            [sql.Literal(values[part]) if index % 2 else sql.SQL(part) for index, part in enumerate(parts)]
        )


def known() -> dict[str, Query]:
    """Return the ready queries by name."""
    files = sorted((folder("sql") / "queries").glob("*.sql"))
    return {file.stem: _read(file.stem, file.read_text()) for file in files}


def find(name: str) -> Query:
    """Return the ready query `name`; a UsageError with the nearest ones where there is none."""
    queries = known()
    if name not in queries:
        raise UsageError(f"there is no query {name!r}{nearest(name, queries)}")
    return queries[name]


def _read(name: str, text: str) -> Query:
    comments = [line.removeprefix("-- ") for line in text.splitlines() if line.startswith("-- ")]
    about = " ".join(comments).partition(" psql -f ")[0]
    body = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("-- "))
    return Query(name, about, dict(_VARIABLE.findall(body)), _VARIABLE.sub("", body))
