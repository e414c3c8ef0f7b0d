"""What each answer of a mail server, at each stage, means for a letter."""

import asyncio
import time
from typing import Any

import pytest

from flashsale.runtime.errors import SettingsError
from flashsale.runtime.settings_reader import load
from services import GiveUp, Later, OutcomeUnknown, Unavailable
from services.builtin.mail import mail_server, transaction
from services.builtin.mail.letters import Letter, Stationery
from services.builtin.mail.mail_server import MailServer
from services.builtin.mail.settings import MailSettings
from tests.integration.services.bench import an_event
from tests.integration.services.scripted_smtp import Script, ScriptedServer

STATIONERY = Stationery("The shop <sale@shop.example>", "{customer_id}@mail.example")


def a_letter(customer: str = "c-1") -> Letter:
    return STATIONERY.letter(an_event(customer_id=customer))


def at(stage: str, answer: bytes | str | None, *, to: str = "", times: int = 1_000_000) -> Script:
    """Give that answer at a stage, to what contains `to`, so many times."""
    left = [times]

    async def script(now: str, argument: str) -> bytes | str | None:
        if now == stage and to in argument and left[0] > 0:
            left[0] -= 1
            return answer
        return ""

    return script


async def sent(script: Script, **options: Any) -> ScriptedServer:
    """Send one letter; return the server that took it."""
    async with ScriptedServer(script) as server:
        mails = MailServer(server.url, options.pop("connections", 2), **options)
        try:
            await mails.send(a_letter())
        finally:
            await mails.close()
    return server


@pytest.mark.parametrize(
    ("stage", "answer", "meaning"),
    [
        # Whatever happens before the letter is sent, the letter waits.
        *((stage, None, Unavailable) for stage in ("banner", "ehlo", "mail", "rcpt", "data")),
        *((stage, b"\xff\0?", Unavailable) for stage in ("banner", "ehlo", "mail", "rcpt", "data")),
        *((stage, "421 bye", Unavailable) for stage in ("banner", "ehlo", "mail", "rcpt", "data")),
        ("banner", "554 5.7.1 your address is blocked", Unavailable),
        ("mail", "550 5.7.1 sender is not yours", Unavailable),
        ("mail", "530 5.7.0 must issue STARTTLS first", Unavailable),
        ("rcpt", "452 4.5.3 too many recipients", Unavailable),
        ("rcpt", "452 4.3.1 insufficient system storage", Unavailable),
        ("rcpt", "454 4.7.0 too many requests", Unavailable),
        # About this recipient.
        ("rcpt", "450 4.2.0 greylisted", Later),
        ("rcpt", "451 4.7.1 Greylisting in action, please come back later", Later),
        ("rcpt", "450 Try later. This is a graylist", Later),
        ("rcpt", "552 5.2.2 mailbox full", GiveUp),
        ("rcpt", "550 no such user here", GiveUp),
        ("rcpt", "550 Empf\xe4nger unbekannt".encode("latin-1"), GiveUp),
        ("rcpt", "553 5.1.3 bad address", GiveUp),
        # Perhaps about us. A letter alone is no proof.
        ("rcpt", "554 5.7.1 relay access denied", Later),
        ("rcpt", "550 relay not permitted", Later),
        ("rcpt", "553 5.1.8 sender domain does not exist", Later),
        ("letter", "554 5.7.1 this looks like spam", Later),
        ("letter", "550 5.4.5 daily quota exceeded", Later),
        ("rcpt", "535 5.7.8 authentication failed", Unavailable),
        # After the letter.
        ("letter", "451 4.3.0 try again", Unavailable),
        ("letter", "421 4.7.0 closing", Unavailable),
        ("letter", "552 message too large", GiveUp),
        ("letter", None, OutcomeUnknown),
        ("letter", b"\xff\0?", OutcomeUnknown),
    ],
)
async def test_an_answer_decides_what_becomes_of_a_letter(
    stage: str, answer: bytes | str | None, meaning: type[Exception]
) -> None:
    with pytest.raises(meaning) as raised:
        await sent(at(stage, answer))
    assert type(raised.value) is meaning


@pytest.mark.parametrize("answer", ["250 OK", "200 fine", "251 2.0.0 will forward"])
async def test_any_success_after_the_letter_is_one(answer: str) -> None:
    """A letter that such a server has must not be sent again for days."""
    await sent(at("letter", answer))


@pytest.mark.parametrize("stage", ["banner", "ehlo", "mail", "rcpt", "data"])
async def test_a_server_that_hangs_before_the_letter_is_away(
    stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail_server, "COMMAND_SECONDS", 0.2)
    with pytest.raises(Unavailable):
        await sent(at(stage, "-"))


async def test_no_answer_to_the_letter_is_an_unknown_outcome(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transaction, "_LETTER_SECONDS", 0.2)
    with pytest.raises(OutcomeUnknown):
        await sent(at("letter", "-"))


async def test_a_server_that_hangs_at_the_end_of_its_connections_delays_nothing() -> None:
    started = time.monotonic()
    async with ScriptedServer(at("quit", "-")) as server:
        mails = MailServer(server.url, 5)
        await asyncio.gather(*(mails.send(a_letter()) for _ in range(5)))
        await mails.close()
    assert server.most_open > 1
    assert time.monotonic() - started < 4


@pytest.mark.parametrize("stage", ["mail", "rcpt", "data"])
async def test_a_server_that_ends_each_connection_after_some_letters_is_not_away(
    stage: str,
) -> None:
    seen = 0

    async def script(now: str, argument: str) -> str:
        nonlocal seen
        if now == "banner":
            seen = 0
        seen += now == stage
        return "421 4.7.0 too many letters on this connection" if seen > 3 else ""

    async with ScriptedServer(script) as server:
        mails = MailServer(server.url, 1)
        for _ in range(10):
            await mails.send(a_letter())
        await mails.close()
    assert set(server.letters.values()) == {1}
    assert server.stages["banner"] == 4


@pytest.mark.parametrize("refusal", ["421 4.7.0 too many connections", None])
async def test_a_server_that_allows_few_connections_is_not_away(refusal: str | None) -> None:
    server: ScriptedServer

    async def script(now: str, argument: str) -> str | None:
        if now == "banner" and server.open > 2:
            return refusal
        if now == "letter":
            await asyncio.sleep(0.02)
        return ""

    async with ScriptedServer(script) as server:
        mails = MailServer(server.url, 8)
        # Some connections are made before any other is refused, so nothing is known yet.
        await mails.send(a_letter())
        await asyncio.gather(*(mails.send(a_letter(f"c-{n}")) for n in range(40)))
        await mails.close()
    assert len(server.letters) == 41
    assert server.stages["banner"] < 20, "it asks again and again"


async def test_a_doubtful_refusal_of_all_letters_gives_none_up() -> None:
    script = at("rcpt", "554 5.7.1 relay access denied")
    all_letters = [a_letter(f"c-{n}") for n in range(5)]
    async with ScriptedServer(script) as server:
        mails = MailServer(server.url, 2)
        kinds = []
        for letter in all_letters * 3:
            with pytest.raises((Unavailable, Later)) as raised:
                await mails.send(letter)
            kinds.append(type(raised.value))
        await mails.close()
    # The service is paused at the second, and so probes.
    assert set(kinds[1:]) == {Unavailable}


async def test_a_letter_that_is_refused_twice_while_others_are_taken_is_given_up() -> None:
    odd, other = a_letter("odd"), a_letter("other")
    async with ScriptedServer(at("rcpt", "554 5.7.1 blocked", to="odd")) as server:
        mails = MailServer(server.url, 2)
        with pytest.raises(Later):
            await mails.send(odd)
        await mails.send(other)
        with pytest.raises(GiveUp):
            await mails.send(odd)
        await mails.close()
    assert server.recipients == ["other@mail.example"]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("smtp_url", "smtp://localhost:99999", "host and port only"),
        ("smtp_url", "smtp://shop:p#ss@mail.example", "%23"),
        ("smtp_url", "smtp://shop:p/ss@mail.example", "%2F"),
        ("smtp_url", "smtp://mail..example", "host"),
        ("smtp_url", "smtp://", "host"),
        ("mail_from", "Shop", "is no address"),
        ("mail_from", "Müller <müller@shop.example>", "is no address"),
        ("mail_from", "Shop\r\nBcc: x@y.example <sale@shop.example>", "is no address"),
        ("mail_from", "sale@shop.example, other@shop.example", "is no address"),
        ("mail_from", "sale@shop..example", "is no address"),
        ("mail_to", "{customer_id}@x.example\r\nBcc: y", "makes no address"),
        ("mail_to", "{customer_id}@mail example", "makes no address"),
        ("mail_to", "ü{customer_id}@mail.example", "makes no address"),
    ],
)
def test_a_setting_that_no_letter_could_be_sent_by_stops_the_process(
    name: str, value: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"FLASHSALE_{name.upper()}", value)
    with pytest.raises(SettingsError) as raised:
        load(MailSettings)
    assert words in str(raised.value)
    assert "p#ss" not in str(raised.value)
    assert "p/ss" not in str(raised.value)


@pytest.mark.parametrize(
    ("customer", "recipient"),
    [
        ("ann@bücher.example", "ann@xn--bcher-kva.example"),
        ("{sku}@x.example", "{sku}@x.example"),
        ("%s${sku}", "%s${sku}@mail.example"),
        ("=?utf-8?q?x?=", "=?utf-8?q?x?=@mail.example"),
        ("a b", '"a b"@mail.example'),
    ],
)
def test_a_customer_id_is_written_as_an_address(customer: str, recipient: str) -> None:
    assert a_letter(customer).recipient == recipient


@pytest.mark.parametrize(
    "customer",
    ["jürgen@x.example", "a\u2028b@x.example", "\u202eann@x.example", "ann@x.example\u200b",
     "ann@straße.example", "<ann@x.example>", "ann@x.example,bob@y.example", "@a:ann@x.example"],
)  # fmt: skip
def test_a_customer_id_that_no_server_takes_is_given_up(customer: str) -> None:
    with pytest.raises(GiveUp):
        a_letter(customer)


def test_shop_addresses_in_an_international_domain_are_written_in_ascii() -> None:
    stationery = Stationery("Shöp <sale@bücher.example>", "{customer_id}@bücher.example")
    written = stationery.letter(an_event())
    assert (written.sender, written.recipient) == (
        "sale@xn--bcher-kva.example",
        "c-1@xn--bcher-kva.example",
    )
