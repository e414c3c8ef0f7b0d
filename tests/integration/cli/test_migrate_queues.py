"""`flashsale migrate` says what it did with the queues of an earlier version."""

from flashsale.runtime.settings import Settings
from flashsale.runtime.stack import installed_topology, topology_of
from tests.conftest import unique
from tests.integration.broker.test_queue_change import opened
from tests.integration.cli.test_cli import flashsale


async def test_migrate_replaces_classic_queues_unless_they_are_consumed(
    rabbit_url: str, sqlite_url: str
) -> None:
    prefix = unique("cli")
    before = Settings(broker_url=rabbit_url, broker_prefix=prefix, queue_type="classic")
    settings = {
        "broker_url": rabbit_url,
        "broker_prefix": prefix,
        "database_url": sqlite_url,
    }
    topology = topology_of(before) + installed_topology(before)
    async with opened(rabbit_url, topology) as broker, broker.consume(f"{prefix}mail", 1):
        used = flashsale("migrate", **settings)
    assert used.returncode == 0
    assert "is at revision" in used.stdout
    assert f"queue {prefix}mail is being consumed, so no queue was replaced" in used.stderr
    replaced = flashsale("migrate", **settings)
    assert f"queue {prefix}mail is a quorum queue now, with its messages" in replaced.stdout
    assert "is being consumed" not in replaced.stderr
    assert "is a quorum queue now" not in flashsale("migrate", **settings).stdout
