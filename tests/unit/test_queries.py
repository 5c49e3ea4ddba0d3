"""The named queries have the form in which they can run without psql."""

import re

import pytest

from ledger.database import queries
from ledger.errors import UsageError

KNOWN = queries.known()


def test_all_queries_are_read():
    assert len(KNOWN) >= 12


@pytest.mark.parametrize("query", KNOWN.values(), ids=KNOWN)
def test_a_query_begins_with_its_question_and_its_command(root, query):
    lines = (root / "sql" / "queries" / f"{query.name}.sql").read_text().splitlines()
    comments = [line for line in lines if line.startswith("--")]
    assert lines[: len(comments)] == comments
    assert query.question.endswith("?")
    assert comments[-1].startswith(f"-- psql -f sql/queries/{query.name}.sql")
    # the command shows how each variable is set
    assert all(f"-v {name}=NAME" in comments[-1] for name in query.variables)


@pytest.mark.parametrize("query", KNOWN.values(), ids=KNOWN)
def test_a_query_is_one_statement_whose_variables_have_defaults(query):
    assert "\\" not in re.sub(r"E'[^']*'|regexp_replace\([^\n]*", "", query.statement)
    assert query.statement.rstrip().endswith(";")
    assert query.statement.count(";") == 1
    assert set(re.findall(r":'(\w+)'", query.statement)) == set(query.variables)
    assert "study" in query.variables


def test_values_are_quoted():
    statement = queries.find("leaderboard").with_values({"study": "it's; drop"}).as_string()
    assert "where 'it''s; drop' in (study, '')" in statement


def test_an_unknown_query_or_variable_is_reported_with_the_nearest():
    with pytest.raises(UsageError, match="no query is named 'leaderbord'; did you mean 'leaderboard'"):
        queries.find("leaderbord")
    with pytest.raises(UsageError, match="query leaderboard has no variable 'stud'; did you mean 'study'"):
        queries.find("leaderboard").with_values({"stud": "s"})
