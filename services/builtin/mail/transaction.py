"""One mail transaction (RFC 5321 3.3): what each answer of the server means for the letter."""

import asyncio
import re
from collections.abc import Coroutine
from typing import Any, TypeVar

import aiosmtplib

from flashsale.domain.errors import FlashsaleError
from services.builtin.mail.answers import CLOSING, TOO_LARGE, InDoubt, Stage, refusal
from services.builtin.mail.letters import Letter
from services.errors import GiveUp, Later, OutcomeUnknown, Unavailable

COMMAND_SECONDS = 60.0
"""The longest wait for an answer before the letter is sent. No letter was taken until then."""

# The server may have taken the letter and answer late, so RFC 5321 4.5.3.2.6 asks for ten minutes.
_LETTER_SECONDS = 600.0
# At the end of the process: a letter without an answer is sent again after the next start.
_LAST_ANSWER_SECONDS = 15.0

_START_LETTER = 354

_LEADING_DOT = re.compile(rb"^\.", re.MULTILINE)

Result = TypeVar("Result")


class ConnectionGone(FlashsaleError):
    """The connection was closed before the letter was sent; another one may work."""


async def transmit(client: aiosmtplib.SMTP, letter: Letter) -> None:
    """Send a letter over a connection, and leave it open and ready if it works.

    Raises `ConnectionGone`, or what becomes of the letter: `GiveUp`, `Later`, `Unavailable`,
    `OutcomeUnknown` or `InDoubt`. A cancellation waits for up to 15 s for the answer to a letter
    that is sent.
    """
    try:
        await _begin(client, letter)
    except (GiveUp, Later, InDoubt):
        try:
            await client.rset()
        except (aiosmtplib.SMTPException, OSError):
            client.close()
        raise
    except (ConnectionGone, Unavailable):
        client.close()
        raise
    except (aiosmtplib.SMTPException, OSError) as error:
        client.close()
        if isinstance(error, aiosmtplib.SMTPResponseException):  # no answer that SMTP knows
            raise Unavailable(f"the mail server: {error}") from error
        if isinstance(error, TimeoutError):
            raise Unavailable("the mail server does not answer") from error
        raise ConnectionGone(str(error)) from error
    await _to_the_end(_send_content(client, letter))


async def _begin(client: aiosmtplib.SMTP, letter: Letter) -> None:
    """Announce the letter, up to the server's permission to send it."""
    try:
        await client.mail(letter.sender)
    except aiosmtplib.SMTPSenderRefused as error:
        if error.code in (CLOSING, TOO_LARGE):
            raise _refused(error.code, error.message, "letter") from error
        # All letters have the same sender. The settings or the server are wrong, not this letter.
        raise Unavailable(f"the mail server refuses the sender: {error.message}") from error
    try:
        await client.rcpt(letter.recipient)
    except aiosmtplib.SMTPRecipientRefused as error:
        raise _refused(error.code, error.message, "recipient") from error
    answer = await client.execute_command(b"DATA")
    if answer.code != _START_LETTER:
        raise _refused(answer.code, answer.message, "recipient")


def _refused(code: int, message: str, stage: Stage) -> Exception:
    return ConnectionGone(message) if code == CLOSING else refusal(code, message, stage)


async def _send_content(client: aiosmtplib.SMTP, letter: Letter) -> None:
    """Send the content and its end, after which the server has the letter or refuses it."""
    connection = client.protocol
    try:
        if connection is None:
            raise aiosmtplib.SMTPServerDisconnected("connection lost")
        connection.write(_LEADING_DOT.sub(b"..", letter.content) + b".\r\n")
        answer = await connection.read_response(timeout=_LETTER_SECONDS)
    except (aiosmtplib.SMTPException, OSError) as error:
        client.close()
        raise OutcomeUnknown(f"no answer to the letter, it may have arrived: {error}") from error
    if 200 <= answer.code < 300:
        return
    # The server does not have the letter. Its connection starts afresh, as it may be closing.
    client.close()
    raise refusal(answer.code, answer.message, "letter")


async def _to_the_end(work: Coroutine[Any, Any, Result]) -> Result:
    """Await work that a cancellation must not end. If it ends in time, it was not cancelled."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait((task,), timeout=_LAST_ANSWER_SECONDS)
        if not task.done():
            task.cancel()
            raise
        return task.result()
