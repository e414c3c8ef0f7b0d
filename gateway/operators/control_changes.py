"""Change the controls of the drain and the intake, and tell every gateway."""

from collections.abc import Callable

from flashsale.domain.audit_entries import Author
from flashsale.domain.controls import Controls
from flashsale.ledger import ControlBoard
from gateway.state.announcements import Announcements
from gateway.state.drain.known_controls import KnownControls


class ControlChanges:
    """The changes that operators make to the controls of one drain and its intake."""

    def __init__(
        self, board: ControlBoard, name: str, known: KnownControls, announcements: Announcements
    ) -> None:
        """Change the controls of the drain of that name."""
        self._board = board
        self._name = name
        self._known = known
        self._announcements = announcements

    async def make(
        self,
        action: str,
        change: Callable[[Controls, float], Controls],
        author: Author,
        version: int | None,
    ) -> Controls:
        """Return the controls after the change, which this gateway then knows at once.

        Raises what `ControlBoard.change` raises.
        """
        controls = await self._board.change(self._name, action, change, author, version)
        self._known.take_in(controls)
        await self._announcements.announce_terms()
        return controls
