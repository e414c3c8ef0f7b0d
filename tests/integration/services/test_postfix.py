"""A real Postfix gets every letter once, whatever it is set to refuse."""

import asyncio
from collections.abc import Callable, Iterator

import pytest

from flashsale.messages.events import OrderEvent
from loadtest.servers import Postfix, ServerNotFound, postfix
from tests.integration.services.bench import Bench
from tests.integration.services.test_mail_servers import (
    letters,
    mail_settings,  # noqa: F401 a fixture
    mailing,
    short_pauses,  # noqa: F401 a fixture
)

pytestmark = pytest.mark.parametrize("bench", ["real"], indirect=True)

DENIED = {"smtpd_relay_restrictions": "reject_unauth_destination"}


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[Postfix]:
    try:
        with postfix(**getattr(request, "param", {})) as running:
            yield running
    except ServerNotFound as error:
        pytest.skip(str(error))


async def taken(bench: Bench, server: Postfix, events: list[OrderEvent]) -> None:
    """Wait until Postfix has these letters, each of them once."""
    ids = {event.event_id for event in events}

    async def all_there() -> bool:
        return await asyncio.to_thread(lambda: set(server.letters) == ids)

    await bench.until(all_there)

    async def recorded() -> bool:
        return await bench.stack.ledger.effects.done("mail", list(ids)) == ids

    await bench.until(recorded)
    assert set(server.letters.values()) == {1}, server.letters
    assert bench.counted("flashsale_service_dead_events_total", "mail") == 0


@pytest.mark.parametrize(
    "server",
    [
        {
            "smtpd_client_message_rate_limit": "20",
            "smtpd_client_connection_count_limit": "3",
            "anvil_rate_time_unit": "1s",
        }
    ],
    indirect=True,
)
async def test_the_limits_of_anvil_double_no_letter(
    bench: Bench,
    server: Postfix,
    mail_settings: Callable[..., None],  # noqa: F811
) -> None:
    events = letters(50)
    mail_settings(smtp_url=server.url)
    async with mailing(bench, *events):
        await taken(bench, server, events)
    assert "Connection concurrency limit exceeded" in server.mail_log
    assert "request rate limit exceeded" in server.mail_log


@pytest.mark.parametrize("server", [DENIED], indirect=True)
async def test_a_server_that_denies_to_relay_kills_no_letter(
    bench: Bench,
    server: Postfix,
    mail_settings: Callable[..., None],  # noqa: F811
) -> None:
    """It is said of each recipient, but it is about us."""
    events = letters(30)
    mail_settings(smtp_url=server.url)
    async with mailing(bench, *events):

        async def paused() -> bool:
            return bench.counted("flashsale_service_paused", "mail") == 1

        await bench.until(paused)
        await asyncio.sleep(1)
        assert "Relay access denied" in server.mail_log
        await asyncio.to_thread(server.stop)
        server.configure()
        await asyncio.to_thread(server.start)
        await taken(bench, server, events)


@pytest.mark.parametrize(
    "server",
    [{"smtpd_recipient_restrictions": "check_recipient_access static:{DEFER Greylisted}"}],
    indirect=True,
)
async def test_greylisted_recipients_wait_one_by_one(
    bench: Bench,
    server: Postfix,
    mail_settings: Callable[..., None],  # noqa: F811
) -> None:
    events = letters(20)
    mail_settings(smtp_url=server.url)
    async with mailing(bench, *events):

        async def all_refused() -> bool:
            return server.mail_log.count("Greylisted") >= len(events)

        await bench.until(all_refused)
        assert bench.counted("flashsale_service_paused", "mail") == 0
        await asyncio.to_thread(server.stop)
        server.configure()
        await asyncio.to_thread(server.start)
        await taken(bench, server, events)
