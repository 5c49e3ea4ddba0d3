"""Generator of docs/reference/: the commands from click, and the schema from a migrated database."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import psycopg
from psycopg.rows import namedtuple_row

from ledger import embedded
from ledger.cli import program
from ledger.database import migration
from ledger.database.connection import engine

ROOT = Path(__file__).parents[1]
WIDTH = 110
GENERATED = "<!-- made by `make docs` -->"

_TABLES = """
select oid, relname as name, obj_description(oid, 'pg_class') as comment
from pg_class
where relnamespace = 'ledger'::regnamespace and relkind = any (%s::"char"[]) and relname <> 'alembic_version'
order by relname"""
_COLUMNS = """
select attname as name, format_type(atttypid, atttypmod) as type, attnotnull as required,
  attgenerated <> '' as computed, attidentity <> '' as counted, pg_get_expr(adbin, adrelid) as value,
  col_description(attrelid, attnum) as comment
from pg_attribute
left join pg_attrdef on adrelid = attrelid and adnum = attnum
where attrelid = %s and attnum > 0 and not attisdropped
order by attnum"""
# Leaves out the not-null constraints, which only PostgreSQL 18 lists.
_CONSTRAINTS = """
select conname as name, pg_get_constraintdef(oid, true) as definition
from pg_constraint
where conrelid = %s and contype in ('p', 'u', 'f', 'c')
order by array_position(array['p', 'u', 'f', 'c'], contype::text), conname"""
_INDEXES = """
select relname as name, regexp_replace(pg_get_indexdef(indexrelid), '^.* USING ', '') as definition
from pg_index
join pg_class on pg_class.oid = indexrelid
where indrelid = %s and not exists (select from pg_constraint where conindid = indexrelid)
order by relname"""
_FUNCTIONS = """
select proname as name, pg_get_function_arguments(oid) as arguments, pg_get_function_result(oid) as result,
  obj_description(oid, 'pg_proc') as comment
from pg_proc
where pronamespace = 'ledger'::regnamespace and prorettype <> 'trigger'::regtype
order by proname, pg_get_function_identity_arguments(oid)"""


def commands() -> Iterator[str]:
    """Yield the lines of the page of commands."""
    yield from ("# Commands", "", GENERATED, "", "This page has the `--help` text of each command.")
    settings: dict[str, Any] = {**program.context_settings, "terminal_width": WIDTH, "max_content_width": WIDTH}
    for context in _tree(click.Context(program, info_name="ledger", **settings)):
        yield from ("", f"## {context.command_path}", "", "```text", context.get_help().rstrip(), "```")


def _tree(context: click.Context) -> Iterator[click.Context]:
    yield context
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            inner = context.command.get_command(context, name)
            assert inner is not None
            if not inner.hidden:
                yield from _tree(click.Context(inner, parent=context, info_name=name))


def schema(connection: psycopg.Connection[Any]) -> Iterator[str]:
    """Yield the lines of the page of the schema."""
    cursor: psycopg.Cursor[Any] = connection.cursor(row_factory=namedtuple_row)
    yield from ("# Schema `ledger`", "", GENERATED, "")
    yield "People read the [views](#views). Workers and managers call the [functions](#functions). Only the functions"
    yield "write to the [tables](#tables) of trials and attempts, and triggers protect finished rows. In psql,"
    yield "`\\d+ ledger.trials` shows the same descriptions."
    for heading, kinds in (("Views", "vm"), ("Tables", "rp")):
        yield from ("", f"## {heading}")
        for table in cursor.execute(_TABLES, [list(kinds)]).fetchall():
            yield from ("", f"### ledger.{table.name}", "")
            if table.comment:
                yield from (_cell(table.comment), "")
            yield from ("| column | type | meaning |", "|---|---|---|")
            for column in cursor.execute(_COLUMNS, [table.oid]).fetchall():
                type_ = _type(column, is_table=heading == "Tables")
                yield f"| `{column.name}` | {type_} | {_cell(column.comment or '')} |"
            for kind, query in (("constraint", _CONSTRAINTS), ("index", _INDEXES)):
                rows = cursor.execute(query, [table.oid]).fetchall()
                if rows:
                    yield from ("", f"| {kind} | |", "|---|---|")
                    yield from (f"| `{row.name}` | `{_cell(row.definition)}` |" for row in rows)
    yield from ("", "## Functions", "", "This list leaves out trigger functions.", "")
    for function in cursor.execute(_FUNCTIONS).fetchall():
        comment = f": {_cell(function.comment)}" if function.comment else ""
        yield f"- `ledger.{function.name}({function.arguments})` → `{function.result}`{comment}"


def _type(column: Any, *, is_table: bool) -> str:
    found = str(column.type).replace("timestamp with time zone", "timestamptz")
    if not is_table:
        return found
    if column.computed:
        return f"{found}, computed: `{_cell(column.value)}`"
    if column.counted:
        return f"{found}, counted"
    if column.value is not None:
        return f"{found}, default `{_cell(column.value)}`"
    return found if column.required else f"{found} or null"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def pages(url: str) -> dict[Path, str]:
    """Return the text of each page of the reference. `url` is a migrated database."""
    # This search path makes PostgreSQL write names with their schema.
    with psycopg.connect(url, options="-c search_path=pg_catalog") as connection:
        lines = {"commands": list(commands()), "schema": list(schema(connection))}
    return {ROOT / "docs" / "reference" / f"{name}.md": "\n".join(of) + "\n" for name, of in lines.items()}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, embedded.running(Path(folder), create=True) as url:
        with engine(url).connect() as connection:
            migration.upgrade(connection)
        for page, text in pages(url).items():
            page.parent.mkdir(exist_ok=True)
            page.write_text(text)


if __name__ == "__main__":
    main()
