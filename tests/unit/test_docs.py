"""The documents: what they name exists, and their links lead somewhere."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
ROOMS = (
    *("flashsale", "gateway", "consumer", "services", "loadtest", "grafana"),
    *("prometheus", "deploy", "docs", "scripts", "tests"),
)
IN_A_ROOM = rf"(?:{'|'.join(ROOMS)})"
FILE_NAMES = {path.name for room in ROOMS for path in (ROOT / room).rglob("*.*")} | {
    path.name for path in ROOT.iterdir()
}
TARGETS = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.M))
# Named as examples, or as they were called before.
NOT_OURS = {
    *("checkout.py", "invoices.py", "login.py", "shop.py"),
    *("receiver_aiohttp.py", "receiver_fastapi.py", "receiver_flask.py"),
}
NOT_MODULES = {
    *("flashsale.services", "flashsale.settings", "flashsale.rankings", "flashsale.order.id"),
    "loadtest.open_loop",
}

of_each_page = pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix()
)


def without_fences(page: Path) -> str:
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)


def words_of_code(page: Path) -> Iterator[str]:
    """The words of a page that are set as code: in fences, indented, and between backticks."""
    fences = re.findall(r"^```.*?\n(.*?)^```", page.read_text(), re.M | re.S)
    indented = re.findall(r"^ {4}(\S.*)$", without_fences(page), re.M)
    for code in (*fences, *indented, *re.findall(r"`([^`]+)`", without_fences(page))):
        yield from code.split()


def local_links(page: Path) -> Iterator[tuple[Path, str]]:
    """The target and the anchor of each link that stays in the repository."""
    for link in re.findall(r"\]\(([^)\s]+)\)", without_fences(page)):
        if "://" not in link:
            path, _, anchor = link.partition("#")
            yield (page.parent / path).resolve() if path else page, anchor


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", without_fences(page), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@of_each_page
def test_every_path_that_a_page_names_exists(page: Path) -> None:
    paths = {word for word in words_of_code(page) if re.fullmatch(rf"{IN_A_ROOM}/[\w./*-]*", word)}
    assert [path for path in paths if not any(ROOT.glob(path.rstrip("/")))] == []


@of_each_page
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    names = {word for word in words_of_code(page) if re.fullmatch(r"[\w-]+\.(py|md|toml)", word)}
    assert names - FILE_NAMES - NOT_OURS == set()


@of_each_page
def test_every_module_that_a_page_names_exists(page: Path) -> None:
    names = {w for w in words_of_code(page) if re.fullmatch(rf"{IN_A_ROOM}(\.[a-z]\w*)+", w)}
    paths = {name: ROOT / name.replace(".", "/") for name in names - NOT_MODULES - FILE_NAMES}
    missing = [n for n, path in paths.items() if not path.with_suffix(".py").exists()]
    assert [name for name in missing if not paths[name].is_dir()] == []


@of_each_page
def test_every_make_target_that_a_page_names_exists(page: Path) -> None:
    named = re.findall(r"(?:`|^ {4,}|=\S+ )make ([a-z0-9-]+)", page.read_text(), re.M)
    assert set(named) - TARGETS == set()


@of_each_page
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for target, anchor in local_links(page):
        assert target.exists(), target
        assert not anchor or anchor in anchors(target), f"{target.name}#{anchor}"


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    ahead = [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        if page not in reached:
            reached.add(page)
            pages = [page, *page.glob("*.md")] if page.is_dir() else [page]
            ahead += [t for p in pages if p.suffix == ".md" for t, _ in local_links(p)] + pages
    assert set(PAGES) - reached == set()


def test_the_readme_is_under_200_lines() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < 200
