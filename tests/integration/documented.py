"""The code in the documents, by the names of its files."""

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "integrating.md").read_text()


def documented(name: str, under: str = "", *, page: str = "integrating.md") -> str:
    """The block whose first line is the name of a file, the first one after that heading."""
    text = (DOCS / page).read_text()
    _, _, section = text.partition(f"# {under}\n") if under else ("", "", text)
    found = re.search(rf"^```\w+\n(?:#|//|--) {re.escape(name)}\n(.*?)^```", section, re.M | re.S)
    assert found, f"docs/{page} has no {name}"
    return found[1]


def documented_commands(word: str) -> list[str]:
    """The commands with this word in them."""
    return re.findall(rf"^    (.*\b{word}\b.*)$", PAGE, re.M)
