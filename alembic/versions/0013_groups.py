"""Groups of trials in an iteration of the rule "halving": a cutoff belongs to a group."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from ledger.errors import LedgerError

revision: str = "0013"
down_revision: str | Sequence[str] | None = "0012"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_KEY = ["study_id", "iteration", "rung"]
# The result of the function differs between the revisions. `ledger db upgrade` creates the function again.
_DROP_DECIDE = "drop function if exists ledger.decide(int, int, int, timestamptz)"


def upgrade() -> None:
    op.add_column(
        "cutoff",
        sa.Column(
            "group_number",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="Number of the group of trials in the iteration, from 0; 0 if the rule has no groups.",
        ),
        schema="ledger",
    )
    op.create_check_constraint(op.f("cutoff_group_number_is_natural"), "cutoff", "group_number >= 0", schema="ledger")
    _replace_key([*_KEY, "group_number"])
    _comment(
        "One row for each rung of an iteration in batch mode, or of a group, with the loss below which a trial goes on. "
        "It follows from earlier iterations; with the rule promotion or groups, also from the same iteration. A cutoff "
        "never changes.",
        "Number of trials of earlier iterations and groups that have reached the rung. With the rule promotion, number "
        "of trials of the iteration and of earlier iterations that the rule has compared at the rung.",
    )
    op.execute(_DROP_DECIDE)


def downgrade() -> None:
    found = op.get_bind().exec_driver_sql(
        "select name from ledger.study where spec -> 'stopping' ? 'group_size' order by id limit 1"
    )
    name = found.scalar()
    if name is not None:
        raise LedgerError(
            f"study {name} has groups (group_size), which revision 0012 does not know: delete each study with groups"
            " first"
        )
    op.execute(_DROP_DECIDE)
    _replace_key(_KEY)
    # The view and the trigger that read the column are dropped too. The next upgrade creates them again.
    op.execute("drop function if exists ledger.refuse_unreadable_cutoff() cascade")
    op.execute("alter table ledger.cutoff drop column group_number cascade")
    _comment(
        "One row for each rung of an iteration in batch mode, with the loss below which a trial goes on. The loss "
        "follows from trials of earlier iterations. With the rule promotion, it also follows from trials of the same "
        "iteration. A cutoff never changes.",
        "Number of earlier trials that have reached the rung. With the rule promotion, number of trials of the "
        "iteration and of earlier iterations that the rule has compared at the rung.",
    )


def _replace_key(columns: Sequence[str]) -> None:
    op.drop_constraint(op.f("cutoff_pkey"), "cutoff", schema="ledger")
    op.create_primary_key(op.f("cutoff_pkey"), "cutoff", list(columns), schema="ledger")


def _comment(cutoff: str, compared: str) -> None:
    op.create_table_comment("cutoff", cutoff, schema="ledger")
    op.alter_column("cutoff", "compared", comment=compared, existing_type=sa.Integer(), schema="ledger")
