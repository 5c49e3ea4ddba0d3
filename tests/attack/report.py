"""Report of an attack, as Markdown."""

from tests.attack.campaign import Attacked

ABOUT = """# Attack

This page shows the result of a test that attacks a ledger. During the attack, a manager and workers run a real study.
The manager and the workers are real processes. The test runs these attacks one after the other:

- Each role calls each SQL function with hostile arguments, and sends statements that the role has no right to run.
- A session with a worker's role leaves a transaction open. The open transaction keeps a snapshot, a lock on a trial's
  row, or a LISTEN registration. Other sessions with a worker's role flood the ledger with announcements, claims and
  releases.
- A worker reports, prunes a trial, and saves results, artifacts and checkpoints under a claim that it has lost, or
  under its claim of another trial.
- The study compares trials in groups (docs/stopping.md#groups). A worker reports any values in any order, repeats its
  question at a rung, and answers a verdict or a wait with any call.
- Hostile objectives return wrong values, raise unusual exceptions, end the trainer's process, or block the trainer's
  process. Other hostile objectives write to the trainer's pipes, look for passwords, or start processes that outlive
  the trial. Other hostile objectives save artifacts with hostile names, and checkpoints that are no archives.
- A study keeps its best model, but the models of its hostile estimator cannot be saved, are huge, or contain foreign
  functions and types.
- A worker saves changed models and documents under the names of a kept model. The test loads each changed model in
  Python and reads it with `ledger model`. The test also changes models in their store.
- The store of a worker is unavailable, forbidden, damaged or emptied.
- The attack damages exports, study files, csv files, parquet files and files of points, and runs commands with the
  damaged files.
- A second user of the machine puts Python modules into the folder in which a command starts. The second user also puts
  a ledger into a folder in which root starts a command.

After the attack, the study must make progress, and each view, query and command must work. Each role has the rights
that the role needs for its work. Therefore the ledger correctly accepts the calls of an attack that these rights allow.
The answer `stale` or `unknown` to a call with a wrong claim is no error, but the call changes nothing. A changed model
can be loaded if the change is harmless, such as another number in the model.

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
