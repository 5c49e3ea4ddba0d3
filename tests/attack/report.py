"""Report of an attack, as Markdown."""

from tests.attack.campaign import Attacked

ABOUT = """# Attack

This page shows the result of an attack on a ledger while a real study runs, with a manager and workers as real
processes. The attackers take turns:

- Each role calls each SQL function with hostile arguments, and sends statements that the role may not run.
- A worker's role holds the row of a trial, a snapshot or a listener in an open transaction, and floods the ledger with
  announcements, claims and releases.
- Objectives return hostile values, raise hostile errors, end or hang their process, leave processes behind, write to
  the trainer's pipes, and look for passwords.
- The commands read damaged exports, study files, csv files, parquet files and points.
- A neighbour on the machine plants modules in the current folder, and another user's ledger where root works.

Afterwards the study must make progress, and each view, query and command must work. An accepted call is not a fault in
itself: a role may do its own work.

"""


def table(attacked: Attacked, command: str) -> str:
    """Return the tables of an attack."""
    tried = sum(count for _, count, _ in attacked.rows)
    refused = sum(count for _, _, count in attacked.rows)
    lines = [
        f"The attack lasted {attacked.seconds:.0f} s:",
        "",
        "```text",
        command,
        "```",
        "",
        "| attack | tried | refused with an error |",
        "|---|---:|---:|",
        *(f"| {kind} | {count:,} | {refusals:,} |" for kind, count, refusals in attacked.rows),
        f"| all | {tried:,} | {refused:,} |",
        "",
        "| must be 0 | |",
        "|---|---:|",
        *(f"| {what} | {count} |" for what, count in attacked.must_be_zero.items()),
    ]
    return "\n".join(lines) + "\n"
