"""Write letters to files."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from services.builtin.mail.letters import Letter
from services.errors import Unavailable


class Folder:
    """Writes each letter to a file `<event id>.eml`. A second copy replaces the first.

    A thread writes many letters at a time, because creating a file takes longer than the rest of
    the work. A crash may leave a part of a file; the next attempt overwrites it.
    """

    def __init__(self, folder: Path) -> None:
        """Create the folder if it is missing. Raises `OSError`."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._waiting: list[tuple[Letter, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def send(self, letter: Letter) -> None:
        """Write a letter. Raises `Unavailable` if it can't be written, as on a full disk."""
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((letter, written))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_waiting())
        await written

    async def _write_waiting(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            errors = await asyncio.to_thread(self._write, [letter for letter, _ in batch])
            for (_, written), error in zip(batch, errors, strict=True):
                if written.done():
                    continue  # the handler was cancelled
                if error is None:
                    written.set_result(None)
                else:
                    # No letter is the reason: all their names are alike.
                    written.set_exception(Unavailable(f"mail can't be written: {error}"))

    def _write(self, letters: Sequence[Letter]) -> list[OSError | None]:
        """Write the letters; return the error of each, or None."""
        errors: list[OSError | None] = []
        for letter in letters:
            try:
                (self._folder / f"{letter.event_id}.eml").write_bytes(letter.content)
                errors.append(None)
            except OSError as error:
                errors.append(error)
        return errors
