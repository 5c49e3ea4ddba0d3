"""Click classes whose help texts show the options of the database and of the log in the last section."""

import click

from ledger.text import nearest, show

# Title of the last section of a help text.
TITLE = "Options of the database and the log"


class SettingsOption(click.Option):
    """A click option that sets a property of the database connection or of the log, such as --database-url.

    A help text shows the options of the database and of the log in its last section.
    """


class SectionedCommand(click.Command):
    """A click command whose help text has a separate last section for the options of the database and of the log.

    The last section shows the instances of `SettingsOption`.
    """

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options that are not instances of `SettingsOption`."""
        self._write(ctx, formatter, "Options", are_settings=False)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples and the last section of the help text."""
        super().format_epilog(ctx, formatter)
        self._write(ctx, formatter, TITLE, are_settings=True)

    def _write(self, ctx: click.Context, formatter: click.HelpFormatter, title: str, *, are_settings: bool) -> None:
        shown = [each for each in self.get_params(ctx) if isinstance(each, SettingsOption) == are_settings]
        records = [record for each in shown if (record := each.get_help_record(ctx)) is not None]
        if records:
            with formatter.section(title):
                formatter.write_dl(records)


class SectionedGroup(SectionedCommand, click.Group):
    """A click group whose help texts have a separate last section for the options of the database and of the log.

    The last section has the title `TITLE`.

    If the user mistypes the name of a command, the error message suggests the most similar name.
    """

    command_class = SectionedCommand

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands of the group, and the options that are not instances of `SettingsOption`."""
        super().format_options(ctx, formatter)
        self.format_commands(ctx, formatter)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command whose name is the first argument."""
        is_known = not args or args[0].startswith("-") or self.get_command(ctx, args[0]) is not None
        if not is_known and not ctx.resilient_parsing:
            raise click.UsageError(f"there is no command {show(args[0])}{self.suggestion(ctx, args[0])}", ctx)
        return super().resolve_command(ctx, args)

    def suggestion(self, ctx: click.Context, word: str) -> str:
        """Return the suggestion for the error message about the unknown command `word`."""
        return nearest(word, self.list_commands(ctx))
