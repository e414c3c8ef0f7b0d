"""What is known of the migrations without Alembic is what Alembic knows."""

from alembic.script import ScriptDirectory

from flashsale.ledger.sql.schema import revisions
from flashsale.ledger.sql.upgrade import migrations


def test_the_files_tell_every_revision_and_the_newest_one() -> None:
    scripts = ScriptDirectory.from_config(migrations())
    newest_first = [script.revision for script in scripts.walk_revisions()]
    assert revisions() == newest_first[::-1]
    assert scripts.get_current_head() == revisions()[-1]
