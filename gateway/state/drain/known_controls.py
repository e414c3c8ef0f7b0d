"""The controls that operators have set, as this gateway has read them last."""

import asyncio
from contextlib import suppress

import structlog

from flashsale.domain.controls import Controls
from flashsale.ledger import ControlReader, LedgerError
from gateway.state.drain.known_drain import KnownDrain
from gateway.state.stream_changes import StreamChanges

log = structlog.get_logger()

REFRESH_SECONDS = 0.8
"""A change is known this much later at the latest, also if its announcement is lost."""


class KnownControls:
    """The controls of one drain and its intake. While the database is away, they stay."""

    def __init__(
        self, reader: ControlReader, name: str, drain: KnownDrain, changes: StreamChanges
    ) -> None:
        """Read the controls of the drain of that name, and tell `drain` and the streams of them."""
        self._reader = reader
        self._name = name
        self._drain = drain
        self._changes = changes
        self._read_now = asyncio.Event()
        self._taken_in = 0
        self.current = Controls()

    def take_in(self, controls: Controls) -> None:
        """Take in controls that were read or changed."""
        self._taken_in += 1
        if controls == self.current:
            return
        self.current = controls
        self._drain.set_controls(controls.paused, controls.rate)
        self._changes.queue_changed()

    def announced(self, paused: bool | None) -> None:
        """Read soon if the drain announces something else than what is known."""
        if paused is not None and paused != self.current.paused:
            self.read_soon()

    def read_soon(self) -> None:
        """Read as soon as the event loop has time."""
        self._read_now.set()

    async def read(self) -> None:
        """Read the controls. Raises `LedgerError`."""
        before = self._taken_in
        controls = await self._reader.read(self._name)
        if self._taken_in == before:  # else a change was made here meanwhile, and is newer
            self.take_in(controls)

    async def follow(self) -> None:
        """Keep reading."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(REFRESH_SECONDS):
                    await self._read_now.wait()
            self._read_now.clear()
            try:
                await self.read()
            except LedgerError as error:
                log.debug("controls not read", reason=str(error))
