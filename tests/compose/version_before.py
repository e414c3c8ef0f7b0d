"""Version 0.1.0 of the product, from the history of this repository."""

import subprocess
from pathlib import Path

from tests.image.ingredients import ROOT

COMMIT = "59c1282bbffc46980f88d66a27025fc8fbc510cd"
"""The last commit of version 0.1.0."""
MISSING = f"this clone lacks version 0.1.0, commit {COMMIT[:7]}: git fetch --unshallow"


def checkout_before(folder: Path) -> Path | None:
    """Write the files of version 0.1.0 into a folder and return it; None if the clone lacks it."""
    archive = folder.with_suffix(".tar")
    command = ["git", "archive", "--output", str(archive), COMMIT]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        return None
    subprocess.run(["tar", "--extract", "--file", archive, "--directory", folder], check=True)
    archive.unlink()
    return folder
