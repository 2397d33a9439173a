"""The pages of the documentation, and what can be tested in them."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/**/*.md")])


def shown(page: Path) -> str:
    """A page's path as a test's name."""
    return page.relative_to(ROOT).as_posix()


def python_of(page: Path) -> str:
    """The Python blocks of a page, one after the other, each on the lines that it has there."""
    lines: list[str] = []
    inside = False
    for line in page.read_text().splitlines():
        if line.startswith("```"):
            inside = line == "```python"
            lines.append("")
        else:
            lines.append(line if inside else "")
    return "\n".join(lines) + "\n"


def commands_of(page: Path) -> list[list[str]]:
    """The commands of a page's indented blocks, each split into words."""
    found = re.findall(
        r"^ {4}((?:onecopy|make|gunicorn) [^#─\n]+)(?:#.*)?$", page.read_text(), re.MULTILINE
    )
    return [shlex.split(line) for line in found]


def links_of(page: Path) -> list[str]:
    """Where the links of a page lead that stay within the repository."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]


def anchors_of(page: Path) -> set[str]:
    """The anchors of a page's headings, as they are made where Markdown is shown."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
