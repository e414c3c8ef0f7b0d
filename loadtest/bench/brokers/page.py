"""`python -m loadtest.bench.brokers.page`: write the tables of docs/choosing-a-broker.md.

With `--from bench-results/bench-brokers.json`, first take the figures of that run, and its picture.
"""

import argparse
import re
import shutil
from pathlib import Path

import flashsale.advice.figures as known
from flashsale.advice.documented import DOCUMENTED
from flashsale.advice.figures import figures
from flashsale.advice.rule import ASKED, advise
from loadtest.bench.brokers.results import markdown

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "choosing-a-broker.md"
_PART = re.compile(r"(<!-- begin (\w+) -->\n)(.*?)(<!-- end -->)", re.S)


def generated_parts() -> dict[str, str]:
    """Return what is generated: the text between the marks of that name."""
    return {
        "measured": _measured(),
        "documented": _documented(),
        "situations": _situations(),
    }


def parts_of(page: str) -> dict[str, str]:
    """Return the generated parts that a page has."""
    return {name: text for _, name, text, _ in _PART.findall(page)}


def _measured() -> str:
    ran = {f"{found.date}, {found.machine}" for found in figures().values()}
    return f"{markdown(figures())}\nMeasured on {'; '.join(sorted(ran))}.\n"


def _documented() -> str:
    lines = [
        "| queue (from its documentation) | confirms | when it is full | limits | source |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {one.title} | {one.confirms} | {one.when_full} | {one.limits}"
        f" | [{one.title}]({one.source}) |"
        for one in DOCUMENTED.values()
    ]
    return "\n".join(lines) + "\n"


def _situations() -> str:
    sections = []
    for asked in ASKED:
        advice = advise(asked.situation)
        ours = "runs on it" if advice.choice.runs_here else "does not run on it yet"
        settings = "\n".join(f"{name}={value}" for name, value in advice.choice.settings.items())
        sections.append(
            f"### {asked.title}\n**{advice.title}.** This product {ours}.\n\n{advice.reason}\n\n"
            f"{advice.choice.how}\n\n```\n{settings}\n```\n"
        )
    return "\n".join(sections)


def main() -> None:
    """Write the generated parts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--from", dest="source", type=Path, help="a file of make bench-brokers")
    source = parser.parse_args().source
    if source is not None:
        shutil.copyfile(source, Path(known.__file__).with_name("figures.json"))
        shutil.copyfile(source.with_suffix(".png"), PAGE.with_name("bench-brokers.png"))
        figures.cache_clear()
    parts = generated_parts()
    page = _PART.sub(lambda found: f"{found[1]}{parts[found[2]]}{found[4]}", PAGE.read_text())
    PAGE.write_text(page)


if __name__ == "__main__":
    main()
