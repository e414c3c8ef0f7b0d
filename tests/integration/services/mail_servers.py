"""Mail servers of the real world: slow, limited, away, or broken at the worst moment."""

import asyncio
import email
import time
from collections import Counter, deque
from collections.abc import Callable
from email.policy import default
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from loadtest.servers import free_port

Answer = Callable[[str], str | None]
"""Return the answer to a letter or to its recipient, or None to take it."""


class RealMailServer:
    """A mail server in a thread of its own. Enter it to start it; it may be stopped and started."""

    def __init__(
        self,
        *,
        seconds: float = 0.0,
        at_recipient: Answer = lambda recipient: None,
        at_letter: Answer = lambda recipient: None,
        breaks_after: int = 0,
        breaks_before: int = 0,
    ) -> None:
        """Take `seconds` for each letter. Break the connections of that many letters.

        They break after the letter was taken, or before it is sent.
        """
        self.port = free_port()
        self.url = f"smtp://127.0.0.1:{self.port}"
        self.recipients: list[str] = []
        self.ids: list[str] = []
        self.taken_at: list[float] = []
        self.refusals = 0
        self.connections = 0
        self.most_at_once = 0
        self._now = 0
        self._seconds = seconds
        self._at_recipient = at_recipient
        self._at_letter = at_letter
        self._breaks_after = breaks_after
        self._breaks_before = breaks_before
        self._controller: Controller | None = None

    def start(self) -> None:
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port)
        self._controller.start()

    def stop(self) -> None:
        if self._controller is not None:
            self._controller.stop()
            self._controller = None

    def __enter__(self) -> "RealMailServer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def letters(self) -> Counter[str]:
        """How often each letter was taken, by its event."""
        return Counter(self.ids)

    async def handle_EHLO(
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, answers: list[str]
    ) -> list[str]:
        session.host_name = hostname
        self.connections += 1
        return answers

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: Any
    ) -> str:
        if self._breaks_before > 0:
            self._breaks_before -= 1
            break_off(server)
        refusal = self._at_recipient(address)
        if refusal is not None:
            self.refusals += 1
            return refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        await asyncio.sleep(self._seconds)
        self._now -= 1
        [recipient] = envelope.rcpt_tos
        refusal = self._at_letter(recipient)
        if refusal is not None:
            self.refusals += 1
            return refusal
        assert isinstance(envelope.content, bytes)
        letter = email.message_from_bytes(envelope.content, policy=default)
        self.ids.append(str(letter["Message-ID"]).strip("<>").partition("@")[0])
        self.recipients.append(recipient)
        self.taken_at.append(time.monotonic())
        if self._breaks_after > 0:
            self._breaks_after -= 1
            break_off(server)
        return "250 OK"


def break_off(server: SMTP) -> None:
    """Close the connection without an answer."""
    assert isinstance(server.transport, asyncio.Transport)
    server.transport.abort()


def at_most(letters: int, seconds: float) -> Answer:
    """Refuse a letter if so many were taken in the last seconds, as a mail provider does."""
    taken: deque[float] = deque()

    def answer(recipient: str) -> str | None:
        now = time.monotonic()
        while taken and taken[0] <= now - seconds:
            taken.popleft()
        if len(taken) >= letters:
            return "454 Throttling failure: Maximum sending rate exceeded."
        taken.append(now)
        return None

    return answer


def for_recipient(address: str, answer: str) -> Answer:
    """Give this answer for one recipient."""

    def answers(recipient: str) -> str | None:
        return answer if recipient == address else None

    return answers
