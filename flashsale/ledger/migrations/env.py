"""Alembic runs this: the connection comes from `flashsale.ledger.schema`."""

from alembic import context

from flashsale.ledger.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
