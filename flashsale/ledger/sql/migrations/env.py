"""Alembic runs this: the connection comes from `flashsale.ledger.sql.upgrade`."""

from alembic import context

from flashsale.ledger.sql.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
