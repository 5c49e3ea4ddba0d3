"""What each program loads: a worker is light, and a manager needs no booster."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("statement", "unwanted"),
    [
        ("import ledger.worker.supervisor", ["skopt", "sklearn", "numpy"]),
        ("import ledger.manager", ["xgboost", "lightgbm"]),
        ("import ledger.database.store", ["skopt", "sklearn", "numpy"]),
        ("import ledger.optimizer", ["psycopg", "sqlalchemy", "xgboost", "lightgbm"]),
        ("import ledger.cli", ["sqlalchemy", "skopt", "sklearn", "psycopg", "alembic"]),
    ],
)
def test_nothing_is_imported_that_is_not_needed(statement, unwanted):
    code = f"import sys; {statement}; print(*sorted(set({unwanted!r}) & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert loaded == []
