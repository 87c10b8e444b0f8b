"""What Alembic runs for each command: the steps, on the connection and in the transaction that `migrating.py` gives."""

from alembic import context

from fraud.review.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite cannot change a table in place: a step makes it anew.
    render_as_batch=True,
)
context.run_migrations()
