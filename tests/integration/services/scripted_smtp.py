"""A mail server that answers each stage of SMTP as a script says, down to the bytes."""

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress

from loadtest.servers import free_port

Script = Callable[[str, str], Awaitable[bytes | str | None]]
"""Return the answer at a stage, with the argument of its command; None to close the connection.

The stages are banner, ehlo, auth, mail, rcpt, data, letter, rset and quit.
"""

_USUAL = {
    "banner": "220 mail.example ready",
    "ehlo": "250-mail.example\r\n250 SIZE 10000000",
    "data": "354 go on",
    "quit": "221 bye",
}


class ScriptedServer:
    """Enter it to start it. It counts the letters that it took, by their event."""

    def __init__(self, script: Script) -> None:
        self.port = free_port()
        self.url = f"smtp://127.0.0.1:{self.port}"
        self.letters: Counter[str] = Counter()
        self.recipients: list[str] = []
        self.stages: Counter[str] = Counter()
        self.open = 0
        self.most_open = 0
        self._script = script
        self._server: asyncio.Server | None = None
        self._sessions: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "ScriptedServer":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for session in list(self._sessions):
            session.cancel()
        await asyncio.gather(*self._sessions, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = asyncio.current_task()
        assert session is not None
        self._sessions.add(session)
        session.add_done_callback(self._sessions.discard)
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                await self._talk(reader, writer)
        except asyncio.CancelledError:
            pass  # of the server's end
        finally:
            self.open -= 1
            writer.transport.abort()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        recipient = ""
        stage, argument = "banner", ""
        while True:
            self.stages[stage] += 1
            answer = await self._script(stage, argument)
            if answer is None:
                return
            text = answer if isinstance(answer, bytes) else answer.encode()
            if text == b"":
                text = _USUAL.get(stage, "250 OK").encode()
                if stage == "letter":
                    [event] = re.findall(r"Message-ID: <(\w+)@", argument)
                    self.letters[event] += 1
                    self.recipients.append(recipient)
            if text != b"-":  # no answer
                writer.write(text + b"\r\n")
            if text.startswith(b"421") or stage == "quit":
                await writer.drain()
                return
            if stage == "data" and text.startswith(b"354"):
                content = await reader.readuntil(b"\r\n.\r\n")
                stage, argument = "letter", content.decode()
                continue
            line = (await reader.readuntil(b"\r\n")).decode().strip()
            stage, _, argument = line.partition(" ")
            stage = stage.lower()
            if stage == "rcpt":
                recipient = argument.partition("<")[2].partition(">")[0]
