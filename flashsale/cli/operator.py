"""Who changes something by the command line."""

import getpass
import os

from flashsale.domain.audit_entries import Author


def author(reason: str | None) -> Author:
    """Return the user of the command line as the author of a change."""
    return Author(f"cli:{_user()}", reason)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        # In a container the user id often has no name.
        return f"uid {os.getuid()}"
