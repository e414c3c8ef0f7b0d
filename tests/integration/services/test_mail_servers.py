"""Each order is one mail, whatever the mail server does."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import pytest

import services.builtin.mail.mail_server
import services.pause
from flashsale.broker import dead_letters
from flashsale.messages.events import OrderEvent
from services import Retry
from services.builtin.mail import service
from services.queues import work_queue
from tests.integration.services.bench import Bench, an_event
from tests.integration.services.mail_servers import RealMailServer, at_most, for_recipient
from tests.integration.services.scripted_smtp import ScriptedServer

pytestmark = pytest.mark.parametrize("bench", ["real"], indirect=True)

mail = replace(service.mail, retry=Retry((0.1, 0.2, 0.5), retries=1))


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services.pause, "_FIRST_SECONDS", 0.1)
    monkeypatch.setattr(services.pause, "_LAST_SECONDS", 0.5)


@pytest.fixture
def mail_settings(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def set_all(**values: object) -> None:
        for name, value in values.items():
            monkeypatch.setenv(f"FLASHSALE_{name.upper()}", str(value))

    return set_all


@asynccontextmanager
async def mailing(bench: Bench, *events: OrderEvent) -> AsyncIterator[None]:
    async with bench.running(mail):
        await bench.publish(*events)
        yield


async def sent(bench: Bench, server: RealMailServer | ScriptedServer, *events: OrderEvent) -> None:
    """Wait until these letters are sent and recorded, and see that each was sent once."""
    ids = {event.event_id for event in events}

    async def recorded() -> bool:
        return await bench.stack.ledger.effects.done("mail", list(ids)) == ids

    await bench.until(recorded)
    assert set(server.letters) == ids
    assert set(server.letters.values()) == {1}
    assert bench.counted("flashsale_service_dead_events_total", "mail") == 0


def letters(count: int) -> list[OrderEvent]:
    return [an_event(customer_id=f"c-{number}", decided_at=time.time()) for number in range(count)]


async def test_a_slow_server_gets_each_letter_once_over_its_connections(
    bench: Bench, mail_settings: Callable[..., None]
) -> None:
    """No letter waits for a connection while its clock runs, nor in this process at all."""
    events = letters(40)
    with RealMailServer(seconds=0.1) as server:
        mail_settings(smtp_url=server.url, smtp_connections=4)
        async with mailing(bench, *events):
            await bench.until(lambda: _true(len(server.ids) >= 10))
            depth = await bench.stack.broker.depth(work_queue(bench.prefix, mail))
            # Those that are sent or under way, and no others, have left the queue.
            assert depth.ready >= 40 - len(server.ids) - 4
            await sent(bench, server, *events)
        assert server.most_at_once == 4
        assert server.connections == 4


async def test_a_server_that_limits_the_rate_gets_every_letter_once(
    bench: Bench, mail_settings: Callable[..., None]
) -> None:
    events = letters(45)
    with RealMailServer(at_letter=at_most(14, 1.0)) as server:
        mail_settings(smtp_url=server.url)
        async with mailing(bench, *events):
            await sent(bench, server, *events)
        assert server.refusals > 0, "it was never too fast: this tested nothing"
        # A window of the server takes a second. There are four, and pauses between them.
        assert server.taken_at[-1] - server.taken_at[0] < 15
    assert bench.counted("flashsale_service_retried_events_total", "mail") == 0


async def test_a_rate_that_is_set_is_never_exceeded(
    bench: Bench, mail_settings: Callable[..., None]
) -> None:
    events = letters(25)
    with RealMailServer(at_letter=at_most(22, 1.0)) as server:
        mail_settings(smtp_url=server.url, smtp_rate=20)
        async with mailing(bench, *events):
            await sent(bench, server, *events)
        assert server.refusals == 0
        assert server.taken_at[-1] - server.taken_at[0] >= 24 / 20 - 0.1


async def test_a_server_that_comes_back_gets_every_letter_once(
    bench: Bench, mail_settings: Callable[..., None]
) -> None:
    events = letters(30)
    server = RealMailServer()
    mail_settings(smtp_url=server.url)
    async with mailing(bench, *events):
        await bench.until(lambda: _true(bench.counted("flashsale_service_paused", "mail") == 1))
        await asyncio.sleep(1.5)  # some probes
        # What waits is in the queue and in no process: it survives them all.
        depth = await bench.stack.broker.depth(work_queue(bench.prefix, mail))
        assert depth.ready >= 30 - 4
        with server:
            await sent(bench, server, *events)
            await bench.until(lambda: _true(bench.counted("flashsale_service_paused", "mail") == 0))
    assert bench.counted("flashsale_service_retried_events_total", "mail") == 0


async def test_letters_for_a_server_that_is_away_survive_a_restart(
    bench: Bench, mail_settings: Callable[..., None]
) -> None:
    events = letters(20)
    server = RealMailServer()
    mail_settings(smtp_url=server.url)
    async with mailing(bench, *events):
        await bench.until(lambda: _true(bench.counted("flashsale_service_paused", "mail") == 1))
    with server:
        async with bench.running(mail):
            await sent(bench, server, *events)


async def test_a_server_that_does_not_answer_uses_up_no_try(
    bench: Bench, mail_settings: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services.builtin.mail.mail_server, "COMMAND_SECONDS", 0.3)
    events = letters(10)
    server = RealMailServer()
    mail_settings(smtp_url=server.url)
    working = AsyncExitStack()
    # The kernel takes the connections, and nobody accepts them.
    with socket.create_server(("127.0.0.1", server.port)):
        await working.enter_async_context(mailing(bench, *events))
        await bench.until(lambda: _true(bench.counted("flashsale_service_paused", "mail") == 1))
    with server:
        await sent(bench, server, *events)
        await working.aclose()


async def test_a_connection_that_breaks_before_the_letter_makes_no_double(
    bench: Bench, mail_settings: Callable[..., None]
) -> None:
    events = letters(20)
    with RealMailServer(breaks_before=5) as server:
        mail_settings(smtp_url=server.url)
        async with mailing(bench, *events):
            await sent(bench, server, *events)


async def test_a_connection_that_breaks_after_the_letter_makes_one_double_at_most(
    bench: Bench, mail_settings: Callable[..., None]
) -> None:
    events = letters(20)
    with RealMailServer(breaks_after=3) as server:
        mail_settings(smtp_url=server.url)
        async with mailing(bench, *events):
            ids = {event.event_id for event in events}

            async def recorded() -> bool:
                return await bench.stack.ledger.effects.done("mail", list(ids)) == ids

            await bench.until(recorded)
    assert set(server.letters) == ids
    assert sum(server.letters.values()) <= 20 + 3
    assert max(server.letters.values()) == 2
    assert bench.counted("flashsale_service_retried_events_total", "mail") == 3


async def test_a_letter_whose_outcome_is_unknown_twice_is_sent_no_third_time(
    bench: Bench, mail_settings: Callable[..., None]
) -> None:
    [event] = letters(1)
    with RealMailServer(breaks_after=1000) as server:
        mail_settings(smtp_url=server.url)
        async with mailing(bench, event):
            [letter] = await bench.dead(mail, 1)
    assert "it may have arrived" in str(letter.headers["reason"])
    assert server.letters == {event.event_id: 2}


@pytest.mark.parametrize("answer", ["552 message too large", "550 5.1.1 no such mailbox"])
async def test_only_a_letter_that_is_refused_for_good_is_dead(
    bench: Bench, mail_settings: Callable[..., None], answer: str
) -> None:
    bad, *others = letters(10)
    address = f"{bad.customer_id}@localhost"
    refuse = for_recipient(address, answer)
    with (
        RealMailServer(at_letter=refuse)
        if answer.startswith("552")
        else RealMailServer(at_recipient=refuse)
    ) as server:
        mail_settings(smtp_url=server.url)
        async with mailing(bench, bad, *others):
            [letter] = await bench.dead(mail, 1)
            assert letter.message_id == bad.event_id
            assert answer in str(letter.headers["reason"])
            ids = {event.event_id for event in others}
            await bench.until(lambda: _true(set(server.letters) == ids))
    assert server.refusals == 1
    assert bench.counted("flashsale_service_paused", "mail") == 0


@pytest.mark.parametrize("answer", ["452 4.2.2 mailbox full", "450 try again later"])
async def test_no_letter_waits_behind_a_recipient_who_can_get_none_now(
    bench: Bench, mail_settings: Callable[..., None], answer: str
) -> None:
    """One mailbox that is full, or one recipient that is greylisted, stops nobody else."""
    bad, *others = letters(20)
    refusals = 0

    def refuse(recipient: str) -> str | None:
        """Refuse one recipient until all others have their letters, and at least three times."""
        nonlocal refusals
        done = len(server.ids) == len(others) and refusals >= 3
        if recipient != f"{bad.customer_id}@localhost" or done:
            return None
        refusals += 1
        return answer

    with RealMailServer(at_recipient=refuse) as server:
        mail_settings(smtp_url=server.url, smtp_connections=2)
        async with mailing(bench, bad, *others):
            await sent(bench, server, bad, *others)
        assert server.ids[-1] == bad.event_id


async def test_a_letter_is_given_up_after_days(
    bench: Bench, mail_settings: Callable[..., None]
) -> None:
    young = letters(3)
    old = an_event(customer_id="old", decided_at=time.time() - 5.1 * 86_400)
    server = RealMailServer()
    mail_settings(smtp_url=server.url)
    async with mailing(bench, old, *young):
        [letter] = await bench.dead(mail, 1)
        assert letter.message_id == old.event_id
        assert "waited too long: the mail server" in str(letter.headers["reason"])
        # Replayed, it waits for as long again.
        done = await dead_letters.replay(bench.stack.broker, bench.dead_queue(mail), None)
        assert len(done.ids) == 1
        await asyncio.sleep(1)
        await bench.dead(mail, 0)
        with server:
            ids = {event.event_id for event in (old, *young)}
            await bench.until(lambda: _true(set(server.letters) == ids))


async def test_a_wrong_password_kills_no_letter(
    bench: Bench, mail_settings: Callable[..., None]
) -> None:
    events = letters(5)
    with RealMailServer() as server:
        mail_settings(smtp_url=server.url.replace("//", "//shop:wrong@"))
        async with mailing(bench, *events):
            await bench.until(lambda: _true(bench.counted("flashsale_service_paused", "mail") == 1))
        mail_settings(smtp_url=server.url)
        async with bench.running(mail):
            await sent(bench, server, *events)


async def test_the_end_of_the_process_waits_for_the_answer_to_a_letter(
    bench: Bench, mail_settings: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A letter that is sent is recorded, even if its answer comes after the time for the end."""
    monkeypatch.setattr("services.worker._SHUTDOWN_SECONDS", 0.1)
    events = letters(2)
    with RealMailServer(seconds=1) as server:
        mail_settings(smtp_url=server.url)
        async with mailing(bench, *events):
            await bench.until(lambda: _true(server.most_at_once == 2))
        await sent(bench, server, *events)


@pytest.mark.parametrize("stage", ["banner", "ehlo", "mail", "rcpt", "data"])
async def test_the_end_of_the_process_at_any_stage_loses_and_doubles_no_letter(
    bench: Bench, mail_settings: Callable[..., None], monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    monkeypatch.setattr("services.worker._SHUTDOWN_SECONDS", 0.1)
    events = letters(3)
    slow = True

    async def script(now: str, argument: str) -> str:
        if slow and now == stage:
            await asyncio.sleep(60)
        return ""

    async with ScriptedServer(script) as server:
        mail_settings(smtp_url=server.url)
        async with mailing(bench, *events):
            await bench.until(lambda: _true(server.stages[stage] >= 3))
        assert not server.letters
        slow = False
        async with bench.running(mail):
            await sent(bench, server, *events)


async def test_words_of_another_encoding_stop_no_letter(
    bench: Bench, mail_settings: Callable[..., None]
) -> None:
    bad, *others = letters(10)

    async def script(now: str, argument: str) -> bytes:
        if now == "rcpt" and f"<{bad.customer_id}@" in argument:
            return "550 5.1.1 Empf\xe4nger unbekannt".encode("latin-1")
        return b""

    async with ScriptedServer(script) as server:
        mail_settings(smtp_url=server.url)
        async with mailing(bench, bad, *others):
            [letter] = await bench.dead(mail, 1)
            assert "Empf" in str(letter.headers["reason"])
            ids = {event.event_id for event in others}
            await bench.until(lambda: _true(set(server.letters) == ids))


async def test_a_folder_that_takes_no_files_kills_no_letter(
    bench: Bench, mail_settings: Callable[..., None], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("mail")
    events = letters(5)
    mail_settings(mail_folder=folder)
    async with bench.running(mail):
        folder.rmdir()  # as if its disk was unmounted
        await bench.publish(*events)
        await bench.until(lambda: _true(bench.counted("flashsale_service_paused", "mail") == 1))
        folder.mkdir()
        ids = {event.event_id for event in events}
        await bench.until(lambda: _true({file.stem for file in folder.iterdir()} == ids))


async def _true(fact: bool) -> bool:
    return fact
