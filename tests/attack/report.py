"""Report of an attack, as Markdown."""

from tests.attack.campaign import Attacked

ABOUT = """# Attack

This page shows the result of an attack on a ledger. During the attack, a manager and workers run a real study as real
processes. The attacks run one after the other:

- Each role calls each SQL function with hostile arguments, and sends statements that the role may not run.
- A session with a worker's role leaves a transaction open. The open transaction keeps a snapshot, a lock on a trial's
  row, or a LISTEN registration. Other sessions with a worker's role flood the ledger with announcements, claims and
  releases.
- Hostile objectives return wrong values, raise wrong errors, and end or block the trainer's process. Other hostile
  objectives write to the trainer's pipes, look for passwords, or start processes that outlive the trial.
- The attack gives damaged files to the commands: exports, study files, csv files, parquet files and files of points.
- A second user of the machine puts Python modules into the folder in which a command starts. The second user also puts
  a ledger into a folder in which root starts a command.

After the attack, the study must make progress, and each view, query and command must work. Not every accepted call is a
fault, because each role has the rights that it needs for its work.

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
