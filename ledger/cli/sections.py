"""Help texts whose last section contains the options of the database and of the log."""

import click

from ledger.text import nearest, show

# Title of the last section of a help text.
TITLE = "Options of the database and the log"


class SettingsOption(click.Option):
    """An option that nearly every command has. The help text shows the option in its last section."""


class SectionedCommand(click.Command):
    """A click command whose help text ends with a section of the options of the class `SettingsOption`."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options that are not of the class `SettingsOption`."""
        self._write(ctx, formatter, "Options", are_settings=False)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, and then the last section."""
        super().format_epilog(ctx, formatter)
        self._write(ctx, formatter, TITLE, are_settings=True)

    def _write(self, ctx: click.Context, formatter: click.HelpFormatter, title: str, *, are_settings: bool) -> None:
        shown = [each for each in self.get_params(ctx) if isinstance(each, SettingsOption) == are_settings]
        records = [record for each in shown if (record := each.get_help_record(ctx)) is not None]
        if records:
            with formatter.section(title):
                formatter.write_dl(records)


class SectionedGroup(SectionedCommand, click.Group):
    """A click group. The help texts of the group and of its commands end with the section `TITLE`.

    If the user mistypes a command of the group, the error message suggests the nearest command.
    """

    command_class = SectionedCommand

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options that are not of the class `SettingsOption`, and the commands of the group."""
        super().format_options(ctx, formatter)
        self.format_commands(ctx, formatter)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the first argument names."""
        is_known = not args or args[0].startswith("-") or self.get_command(ctx, args[0]) is not None
        if not is_known and not ctx.resilient_parsing:
            raise click.UsageError(f"there is no command {show(args[0])}{self.suggestion(ctx, args[0])}", ctx)
        return super().resolve_command(ctx, args)

    def suggestion(self, ctx: click.Context, word: str) -> str:
        """Return the suggestion at the end of the error message for an unknown command."""
        return nearest(word, self.list_commands(ctx))
