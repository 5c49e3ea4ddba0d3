"""The names of studies, which a shell completes where the database answers at once."""

from collections.abc import Sequence
from threading import Thread
from typing import Any

import click
from click.shell_completion import CompletionItem

from ledger.cli.options import Text
from ledger.settings import Settings

# A shell waits for this long, and then completes nothing.
_PATIENCE = 1.0
_MOST = 100


class StudyName(Text):
    """The name of a study."""

    name = "study"

    def shell_complete(
        self,
        ctx: click.Context,
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem]:
        found: list[str] = []
        # a daemon, so that a database that does not answer is not waited for
        asking = Thread(target=lambda: found.extend(_names(ctx.params.get("database_url"), incomplete)), daemon=True)
        asking.start()
        asking.join(_PATIENCE)
        return [CompletionItem(name) for name in list(found)]


STUDY = StudyName()


def _names(url: str | None, beginning: str) -> Sequence[str]:
    """Return the names with this beginning, the latest first; none, whatever is wrong: a completion says nothing."""
    from ledger import embedded
    from ledger.database.connection import connect

    try:
        settings = Settings.from_environment()
        url = url or settings.database_url
        if url is None:
            if not embedded.is_running(settings.home):
                return []
            url = embedded.url(settings.home)
        with connect(url, "ledger completion", statement_seconds=_PATIENCE) as connection:
            rows: list[tuple[Any, ...]] = connection.execute(
                "select name from ledger.studies where starts_with(name, %s) order by created_at desc limit %s",
                (beginning, _MOST),
            ).fetchall()
    except Exception:
        return []
    return [name for (name,) in rows]
