"""The end of the program when the database fails: one line with the way out."""

import psycopg
import pytest
from sqlalchemy.exc import ProgrammingError

from ledger.cli import main, program
from tests.fuzz import check_told


@pytest.mark.parametrize(
    ("original", "said"),
    [
        (psycopg.errors.UndefinedTable("no ledger.study"), "`ledger db check` names the problem"),
        (psycopg.OperationalError("gone"), "run the same command again when the database is available"),
    ],
)
@pytest.mark.parametrize("is_wrapped", [False, True])
def test_an_error_of_the_database_is_told_in_one_line(monkeypatch, capsys, original, said, is_wrapped):
    def fail(**_):
        raise ProgrammingError("select 1", {}, original) if is_wrapped else original

    monkeypatch.setattr(program, "main", fail)
    with pytest.raises(SystemExit) as ended:
        main()
    error = capsys.readouterr().err
    assert ended.value.code == 1
    check_told(1, error)
    assert said in error
