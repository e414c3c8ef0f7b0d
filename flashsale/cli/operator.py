"""Who changes something by a command."""

import getpass
import os

from flashsale.domain.audit_entries import Author


def author(reason: str | None) -> Author:
    """Return the user of this command as the author of a change."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container may run as a number that has no name
        name = f"uid {os.getuid()}"
    return Author(f"cli:{name}", reason)
