"""The type of study names on the command line, which a shell completes if the database answers in time."""

from collections.abc import Sequence
from threading import Thread
from typing import Any

import click
from click.shell_completion import CompletionItem

from ledger.cli.options import Text
from ledger.settings import Settings

# Seconds after which nothing is completed.
_TIMEOUT = 1.0
_MOST_NAMES = 100


class StudyName(Text):
    """The name of a study."""

    name = "study"

    def shell_complete(
        self,
        ctx: click.Context,
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem]:
        names: list[str] = []
        # a daemon thread, because the program must not wait for a database that does not answer
        query = Thread(target=lambda: names.extend(_names(ctx.params.get("database_url"), incomplete)), daemon=True)
        query.start()
        query.join(_TIMEOUT)
        return [CompletionItem(name) for name in list(names)]


STUDY = StudyName()


def _names(url: str | None, prefix: str) -> Sequence[str]:
    """Return the names with this prefix, the latest first; none after an error, since a completion has no messages."""
    from ledger import embedded
    from ledger.database.connection import connect

    try:
        settings = Settings.from_environment()
        url = url or settings.database_url
        if url is None:
            if not embedded.is_running(settings.home):
                return []
            url = embedded.url(settings.home)
        with connect(url, "ledger completion", statement_seconds=_TIMEOUT) as connection:
            rows: list[tuple[Any, ...]] = connection.execute(
                "select name from ledger.studies where starts_with(name, %s) order by created_at desc limit %s",
                (prefix, _MOST_NAMES),
            ).fetchall()
    except Exception:
        return []
    return [name for (name,) in rows]
