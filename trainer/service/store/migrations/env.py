"""What alembic runs: the steps from what there is to the newest, on the connection it was given."""

from alembic import context

from trainer.service.store.schema import VERSION_TABLE
from trainer.service.store.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table=VERSION_TABLE,
)
with context.begin_transaction():
    context.run_migrations()
