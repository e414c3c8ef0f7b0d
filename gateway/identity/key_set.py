"""The set of public keys by which a login service signs: fetched, kept, and kept fresh."""

import asyncio
import time
from collections.abc import Callable

import structlog

from flashsale.domain.backoff import Backoff
from gateway.identity.keys import Keys, KeysUnavailable, KeysUnreadable, fetch_keys

log = structlog.get_logger()

REFRESH_SECONDS = 120.0
UNKNOWN_KEY_SECONDS = 30.0
"""For tokens of unknown keys the set is fetched at most once in this time."""
_FIRST_RETRY_SECONDS = 1.0
_LAST_RETRY_SECONDS = 30.0
# Longer than a fetch may take.
_LONGEST_WAIT_SECONDS = 10.0


class KeySet:
    """The keys at an address. The ones that were fetched last count as long as no others come.

    The event loop never waits for them: one task fetches, and a request waits only if it brings the
    first token of a key that is not known.
    """

    def __init__(self, url: str, on_removed: Callable[[], None]) -> None:
        """Fetch from `url`; call `on_removed` when a key is gone from the set or was replaced."""
        self._url = url
        self._on_removed = on_removed
        self._keys: Keys | None = None
        self._fetched_at = time.monotonic()
        self._asked_at = -UNKNOWN_KEY_SECONDS
        self._wanted = asyncio.Event()
        self._next: asyncio.Future[None] | None = None
        self.trouble: str | None = "not fetched yet"
        """Why there are no keys, or no fresh ones; None if there are."""

    @property
    def missing(self) -> bool:
        """Whether no keys were ever fetched, so that no token can be checked."""
        return self._keys is None

    @property
    def age_seconds(self) -> float:
        """The time since the keys were fetched last, or since the start if they never were."""
        return time.monotonic() - self._fetched_at

    async def keys_for(self, kid: str | None) -> Keys:
        """Return the keys, fetched again if none of them has this id. Raises `KeysUnavailable`."""
        if kid is not None and (self._keys is None or kid not in self._keys.by_id):
            await self._ask()
        if self._keys is None:
            raise KeysUnavailable
        return self._keys

    async def read(self) -> None:
        """Fetch the keys. Keep those of before if that fails."""
        waiting = self._next
        try:
            keys = await fetch_keys(self._url)
        except KeysUnreadable as error:
            self.trouble = str(error)
            log.warning("keys of tokens not fetched", reason=str(error), kept=not self.missing)
        else:
            self._replace(keys)
        finally:
            # Who asks from now on, or asked while this was under way, waits for the next time.
            if waiting is not None and self._next is waiting:
                self._next = None
                waiting.set_result(None)

    async def follow(self) -> None:
        """Keep the keys fresh."""
        backoff = Backoff(_FIRST_RETRY_SECONDS, _LAST_RETRY_SECONDS)
        while True:
            if self.trouble is None:
                backoff.reset()
            pause = REFRESH_SECONDS if self.trouble is None else backoff.next()
            try:
                async with asyncio.timeout(pause):
                    await self._wanted.wait()
            except TimeoutError:
                pass
            self._wanted.clear()
            await self.read()

    async def _ask(self) -> None:
        """Have the keys fetched now, unless they were a moment ago; wait for it."""
        now = time.monotonic()
        if self._next is None:
            if now - self._asked_at < UNKNOWN_KEY_SECONDS:
                return
            self._asked_at = now
            self._next = asyncio.get_running_loop().create_future()
            self._wanted.set()
        try:
            async with asyncio.timeout(_LONGEST_WAIT_SECONDS):
                await asyncio.shield(self._next)
        except TimeoutError:
            log.debug("keys of tokens not fetched in time")

    def _replace(self, keys: Keys) -> None:
        before, self._keys = self._keys, keys
        self._fetched_at = time.monotonic()
        if self.trouble is not None or before is None or before.names != keys.names:
            log.info("keys of tokens fetched", keys=len(keys.names))
        self.trouble = None
        if before is not None and not before.names <= keys.names:
            self._on_removed()
