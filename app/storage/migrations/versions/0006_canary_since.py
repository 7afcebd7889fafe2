"""When an experiment went on to the users. Of those that already had, nothing is kept: NULL."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("experiments", sa.Column("canary_since", sa.DateTime(timezone=True)))


def downgrade() -> None:
    op.drop_column("experiments", "canary_since")
