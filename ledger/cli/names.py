"""Command-line parameter type for names of studies.

If the name is missing, the error message says which command lists the names. A shell completes the name of a study if
the database answers within `_TIMEOUT` seconds.
"""

from collections.abc import Sequence
from threading import Thread
from typing import Any

import click
from click.shell_completion import CompletionItem

from ledger.cli.options import TextType
from ledger.settings import Settings

# Maximum time in seconds for which the completion of a name waits for the database.
_TIMEOUT = 1.0
_MOST_NAMES = 100


class StudyNameType(TextType):
    """A click parameter type for the name of a study. A shell can complete the name."""

    name = "study"

    def get_missing_message(
        self,
        param: click.Parameter,  # noqa: ARG002
        ctx: click.Context | None = None,  # noqa: ARG002
    ) -> str:
        """Return the end of the error message about a missing name. The method does not read the database, because a
        command with wrong usage does not start the embedded server.
        """
        return "`ledger study list` shows the names of the studies"

    def shell_complete(
        self,
        ctx: click.Context,
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem]:
        names: list[str] = []
        # The query runs in a daemon thread, so that the program can exit even if the database does not answer.
        query = Thread(target=lambda: names.extend(_names(ctx.params.get("database_url"), incomplete)), daemon=True)
        query.start()
        query.join(_TIMEOUT)
        return [CompletionItem(name) for name in list(names)]


STUDY = StudyNameType()


def _names(url: str | None, prefix: str) -> Sequence[str]:
    """Return the study names that begin with `prefix`. The list begins with the name of the newest study.

    If an error occurs, the function returns an empty list, because the shell cannot show an error message during the
    completion of a word.
    """
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
                "select study from ledger.studies where starts_with(study, %s) order by created_at desc limit %s",
                (prefix, _MOST_NAMES),
            ).fetchall()
    except Exception:
        return []
    return [name for (name,) in rows]
