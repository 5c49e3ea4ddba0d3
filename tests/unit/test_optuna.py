"""The storage URL for Optuna, and the supported versions, without a database."""

from importlib import metadata

import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import make_url
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from ledger.errors import LedgerError
from ledger.optuna import connect as optuna


@pytest.mark.parametrize(
    ("given", "location", "options"),
    [
        (
            "postgresql://me:secret@db.example:6543/mine?sslmode=require",
            "me@db.example:6543/mine?sslmode=require&",
            "-csearch_path%3Doptuna",
        ),
        ("host=db.example user=me dbname=mine", "me@db.example/mine?", "-csearch_path%3Doptuna"),
        (
            "postgresql://ledger@/ledger?host=/home/a%20b/run&port=5432",
            "ledger@/ledger?host=/home/a%20b/run&port=5432&",
            "-csearch_path%3Doptuna",
        ),
        ("postgresql://me@one,two:5433/mine", "me@/mine?host=one%2Ctwo&port=%2C5433&", "-csearch_path%3Doptuna"),
        ("postgresql://m%40e@[::1]:5433/my%2Fown", "m%40e@[::1]:5433/my%2Fown?", "-csearch_path%3Doptuna"),
        (
            "postgresql://me@db/mine?options=-cstatement_timeout%3D5s&passfile=/password/ledger",
            "me@db/mine?passfile=/password/ledger&",
            "-cstatement_timeout%3D5s%20-csearch_path%3Doptuna",
        ),
    ],
)
def test_the_storage_url_has_the_same_location_and_no_password(given, location, options):
    url = optuna.url(given)
    assert url == f"postgresql+psycopg://{location}client_encoding=UTF8&options={options}"
    # psycopg gets the same parameters from both URLs
    _, arguments = PGDialect_psycopg().create_connect_args(make_url(url))
    wanted = {name: str(value) for name, value in conninfo_to_dict(given).items() if name != "password"}
    wanted["client_encoding"] = "UTF8"
    wanted["options"] = f"{wanted.get('options', '')} -csearch_path=optuna".strip()
    assert {name: str(value) for name, value in arguments.items() if name in wanted} == wanted


@pytest.mark.parametrize("package", optuna.SUPPORTED)
def test_an_unsupported_version_is_refused(monkeypatch, package):
    optuna.check_version(package)
    series = optuna.SUPPORTED[package]
    for version in ("4.9.0", "5.1.0", "6.0.0"):
        monkeypatch.setattr(metadata, "version", lambda _name, version=version: version)
        with pytest.raises(LedgerError) as refused:
            optuna.check_version(package)
        assert str(refused.value) == (
            f"the supported version of {package} is {series}, not {version}: pip install '{package}=={series}.*'"
        )


def test_a_missing_package_is_reported_with_its_extra(monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    assert not optuna.is_installed()
    with pytest.raises(LedgerError, match="^optuna is not installed: pip install 'trial-ledger\\[dashboard\\]'$"):
        optuna.check_version("optuna")


def test_the_extras_require_the_supported_versions(root):
    import tomllib

    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    for package, series in optuna.SUPPORTED.items():
        major, minor = series.split(".")
        wanted = f"{package}>={series},<{major}.{int(minor) + 1}"
        assert wanted in project["optional-dependencies"]["optuna" if package == "optuna" else "dashboard"]
        assert f"\n{package}=={series}." in (root / "constraints.txt").read_text()
