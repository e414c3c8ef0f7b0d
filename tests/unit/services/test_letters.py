import email
from email.message import EmailMessage
from email.policy import default
from typing import get_args
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsale.domain.holds.pay_address import PayAddress
from flashsale.domain.orders import CustomerId
from flashsale.messages.codec import MessageError
from flashsale.messages.events import EventStatus, OrderEvent, decode_event, encode_event
from services import GiveUp
from services.builtin.mail.letters import Letter, Stationery
from services.builtin.mail.service import is_over, mail

ID = "0123456789abcdef" * 2
ORDER_ID = "fedcba9876543210" * 2


SKUS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True)


def an_event(**changes: object) -> OrderEvent:
    fields = {
        "event_id": ID,
        "status": "confirmed",
        "reason": None,
        "sku": "tv-55",
        "customer_id": "c-1",
        "quantity": 2,
        "accepted_at": 1_795_484_034.0,
        "decided_at": 1_795_484_035.0,
        "order_id": ORDER_ID,
    }
    return msgspec.convert(fields | changes, OrderEvent)


def letter(**changes: object) -> Letter:
    stationery = Stationery("The shop <sale@shop.example>", "{customer_id}@mail.example")
    return stationery.letter(an_event(**changes))


def parsed(content: bytes) -> EmailMessage:
    message = email.message_from_bytes(content, policy=default)
    assert isinstance(message, EmailMessage)
    assert not message.defects
    return message


def parts(content: bytes) -> dict[str, str]:
    return {part.get_content_type(): part.get_content() for part in parsed(content).iter_parts()}


def test_a_letter_has_a_text_and_an_html_part_with_the_same_words() -> None:
    message = parsed(letter().content)
    assert message["From"] == "The shop <sale@shop.example>"
    assert message["To"] == "c-1@mail.example"
    assert message["Subject"] == "Your order is confirmed"
    assert message["Message-ID"] == f"<{ID}@shop.example>"
    assert message["Date"] == "Tue, 24 Nov 2026 01:33:55 +0000"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_content_type() == "multipart/alternative"
    found = parts(message.as_bytes())
    assert list(found) == ["text/plain", "text/html"]
    assert found["text/plain"].splitlines() == [
        "It's yours",
        "",
        "2 x tv-55 is reserved for you, and nobody else can get it any more.",
        "",
        f"Order   {ORDER_ID}",
    ]
    html = found["text/html"]
    assert "<h1" in html
    for words in ("It's yours", "2 x tv-55 is reserved for you", ORDER_ID):
        assert words in html


@pytest.mark.parametrize(
    ("reason", "subject", "words"),
    [
        ("sold_out", "Sold out: your order could not be filled", "somebody ahead of you"),
        ("not_enough_left", "Not enough left: your order could not be filled", "only 3 could"),
        ("customer_limit", "Your order is over the limit for one customer", "still yours"),
        ("sale_closed", "Your order could not be filled", "was not open"),
        ("a reason of a later version", "Your order could not be filled", "was not open"),
    ],
)
def test_each_reason_of_a_rejection_has_its_own_letter(
    reason: str, subject: str, words: str
) -> None:
    rejected = letter(status="rejected", reason=reason, quantity=5, remaining=3)
    assert parsed(rejected.content)["Subject"] == subject
    for part in parts(rejected.content).values():
        assert words in part
        assert "charged" in part


PAY = PayAddress("https://pay.example/pay?order={order_id}&sku={sku}&n={quantity}")
PAY_URL = f"https://pay.example/pay?order={ORDER_ID}&sku=tv-55&n=2"
# Tuesday, 24 November 2026, 12:04:56 UTC.
NOON = 1_795_521_896.0


def a_held(pay: PayAddress | None = PAY, zone: str = "UTC") -> dict[str, str]:
    """The parts of the letter about a hold."""
    stationery = Stationery("sale@shop.example", "{customer_id}@mail.example", pay, ZoneInfo(zone))
    return parts(stationery.letter(an_event(status="held", expires_at=NOON)).content)


def test_a_hold_is_yours_until_its_last_whole_minute_and_the_letter_links_to_the_payment() -> None:
    found = a_held()
    for part in found.values():
        assert "2 x tv-55 is yours until 12:04 UTC on 24 November 2026" in part
    assert f"Pay now: {PAY_URL}" in found["text/plain"].splitlines()
    assert f'href="{PAY_URL.replace("&", "&amp;")}"' in found["text/html"]


@pytest.mark.parametrize(
    ("zone", "until"),
    [
        ("Europe/Berlin", "13:04 CET on 24 November 2026"),
        ("Asia/Kolkata", "17:34 IST on 24 November 2026"),
        ("Pacific/Kiritimati", "02:04 UTC+1400 on 25 November 2026"),
    ],
)
def test_a_letter_names_times_in_the_time_zone_of_the_shop(zone: str, until: str) -> None:
    for part in a_held(zone=zone).values():
        assert f"yours until {until}" in part


@pytest.mark.parametrize(
    "pay",
    [
        None,
        PayAddress("/demo/pay/{order_id}"),
        PayAddress(f"https://a.example/{'a' * 900}?{{order_id}}"),
    ],
)
def test_a_letter_has_no_link_that_would_lead_nowhere(pay: PayAddress | None) -> None:
    for part in a_held(pay).values():
        assert "yours until 12:04" in part
        assert "Pay now" not in part
        assert max(map(len, part.splitlines())) <= 998


def test_a_hold_that_is_over_is_told_to_nobody() -> None:
    held = an_event(status="held", expires_at=NOON)
    assert not is_over(held, NOON - 1)
    assert is_over(held, NOON)
    assert not is_over(an_event(status="expired"), NOON)
    assert not is_over(an_event(), NOON)


@pytest.mark.parametrize(
    ("changes", "subject", "words"),
    [
        (
            {"payment_id": "p-1"},
            "Your order is paid and confirmed",
            "payment for 2 x tv-55 has arr",
        ),
        ({"status": "waitlisted", "place": 7}, "You are in line", "in line for 2 x tv-55"),
        ({"status": "expired"}, "The time to pay is over", "no payment arrived in time"),
        ({"status": "cancelled", "reason": "by_customer"}, "Your order is cancelled", "as you ask"),
        (
            {"status": "cancelled", "reason": "by_operator"},
            "Your order is cancelled",
            "The shop has",
        ),
        (
            {"status": "cancelled", "reason": "replaced"},
            "Your new order replaces an earlier one",
            "Do not pay for this one",
        ),
    ],
)
def test_each_change_of_an_order_with_a_hold_has_its_own_letter(
    changes: dict[str, object], subject: str, words: str
) -> None:
    found = letter(**changes)
    assert parsed(found.content)["Subject"] == subject
    for part in parts(found.content).values():
        assert words in " ".join(part.split())


@pytest.mark.parametrize(
    ("reason", "why"),
    [
        ("paid_already", "the order was paid already"),
        ("too_late", "it came after the time to pay"),
        ("cancelled", "the order is cancelled"),
        ("a reason of a later version", "nothing is to be paid"),
    ],
)
def test_a_payment_that_is_given_back_is_named_with_its_amount(reason: str, why: str) -> None:
    due = {"status": "refund_due", "reason": reason, "payment_id": "<p&1>"}
    found = parts(letter(**due, amount="998.00", currency="EUR").content)
    assert f"998.00 EUR arrived for 2 x tv-55, and you get it back: {why}" in found["text/plain"]
    assert "The payment is <p&1>." in found["text/plain"]
    assert "The payment is &lt;p&amp;1&gt;." in found["text/html"]
    assert "A payment arrived" in parts(letter(**due).content)["text/plain"]


def test_every_status_of_an_event_has_a_letter_and_is_asked_for() -> None:
    for status in get_args(EventStatus):
        assert letter(status=status).content
        assert f"order.{status}.#" in mail.topics


def test_every_copy_of_an_event_is_the_same_letter() -> None:
    assert letter() == letter()


def test_a_letter_goes_to_a_customer_id_that_is_an_address() -> None:
    assert letter(customer_id="ann@home.example").recipient == "ann@home.example"


@pytest.mark.parametrize("customer_id", ["jürgen", "a@b@", "@", "ann@", "ann(x)@home.example"])
def test_a_customer_id_that_makes_no_address_gives_up(customer_id: str) -> None:
    with pytest.raises(GiveUp):
        letter(customer_id=customer_id)


# Words that a letter may use for its blanks, and what they stand for.
WORDS = (
    "ORDERID", "EVENTID", "RECIPIENT", "QUANTITY", "SKU", "{sku}", "{order_id}", "{quantity}",
    "{customer_id}", "\\g<0>", "%s", "Sat, 01 Jan 2000 00:00:00 +0000", "=_flashsale", "c-1",
)  # fmt: skip
CUSTOMERS = st.text(max_size=60) | st.lists(
    st.sampled_from([*WORDS, "-", "@", ".example", "@mail.example"]), min_size=1, max_size=6
).map("".join)


def test_a_recipient_that_contains_the_word_of_a_blank_is_kept() -> None:
    written = letter(customer_id="SKU-collector@example.com", sku="big")
    assert written.recipient == "SKU-collector@example.com"
    assert parsed(written.content)["To"] == "SKU-collector@example.com"


@given(customer=CUSTOMERS, sku=SKUS | st.sampled_from(["SKU", "QUANTITY", "ORDERID"]),
       quantity=st.integers(1, 1000))  # fmt: skip
def test_a_letter_holds_every_value_as_it_is(customer: str, sku: str, quantity: int) -> None:
    try:
        msgspec.convert(customer, CustomerId)
        written = letter(customer_id=customer, sku=sku, quantity=quantity)
    except (GiveUp, msgspec.ValidationError):
        return
    message = parsed(written.content)
    [to] = message["To"].addresses
    assert to.addr_spec == written.recipient
    if "@" in customer:
        assert to.addr_spec == customer
    else:
        assert (to.username, to.domain) == (customer, "mail.example")
    assert message["Message-ID"] == f"<{ID}@shop.example>"
    assert message["Date"].datetime.timestamp() == 1_795_484_035
    found = parts(written.content)
    assert found["text/plain"].splitlines()[2:] == [
        f"{quantity} x {sku} is reserved for you, and nobody else can get it any more.",
        "",
        f"Order   {ORDER_ID}",
    ]
    assert f">{quantity} x {sku} is reserved for you" in found["text/html"]
    assert f">{ORDER_ID}</code>" in found["text/html"]


def test_a_sender_that_contains_the_words_of_blanks_is_kept() -> None:
    sender = "SKU ORDERID {sku} <EVENTID@QUANTITY.example>"
    message = parsed(Stationery(sender, "{customer_id}@x.example").letter(an_event()).content)
    assert message["From"].addresses[0].display_name == "SKU ORDERID {sku}"
    assert message["From"].addresses[0].addr_spec == "EVENTID@QUANTITY.example"
    assert message["Message-ID"] == f"<{ID}@QUANTITY.example>"


@given(customer=st.text(max_size=128), sku=SKUS)
def test_customer_id_and_sku_add_no_header_or_part_to_a_letter(customer: str, sku: str) -> None:
    try:
        msgspec.convert(customer, CustomerId)
    except msgspec.ValidationError:
        return  # no gateway lets it through
    try:
        written = letter(customer_id=customer, sku=sku)
    except GiveUp:
        return
    message = parsed(written.content)
    usual = parsed(letter().content)
    assert message.keys() == usual.keys()
    assert len(message["To"].addresses) == 1
    assert message["Message-ID"] == usual["Message-ID"]
    assert len(list(message.iter_parts())) == 2


def test_an_event_is_decoded_as_it_was_encoded() -> None:
    event = an_event()
    assert decode_event(encode_event(event)) == event
    assert event.topic == "order.confirmed.tv-55"
    assert (event.event_id, event.order_id) == (ID, ORDER_ID)
    with pytest.raises(MessageError):
        decode_event(b'{"event_id": "x"}')
    with pytest.raises(MessageError):
        decode_event(b"\xff")


def test_an_event_of_version_0_1_0_gets_its_order_id_from_its_event_id() -> None:
    body = encode_event(an_event())
    older = body.replace(b',"order_id":"' + ORDER_ID.encode() + b'"', b"")
    assert older != body
    assert decode_event(older).order_id == ID
    with pytest.raises(MessageError):
        decode_event(body.replace(ORDER_ID.encode(), b"x"))


def test_a_letter_has_the_id_of_its_event() -> None:
    written = letter()
    assert written.event_id == ID
    assert ID.encode() not in written.content.partition(b"\r\n\r\n")[2]


def test_a_sender_that_is_no_address_is_refused() -> None:
    with pytest.raises(ValueError, match="is no address"):
        Stationery("The shop", "{customer_id}@mail.example")
