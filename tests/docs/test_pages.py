"""The documentation says what the code does: its Python runs, its studies parse, its commands and links exist."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from querist.cli.main import main
from querist.studies.spec import parse_study

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BEYOND = {"adapters.md": "skactiveml"}
"""What the Python of a page needs and the core does not have."""


def blocks(page: Path, language: str) -> list[str]:
    """Return the fenced blocks of a page in one language."""
    fences = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return [text for tag, text in fences if tag == language]


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python")], ids=lambda p: p.name)
def test_the_python_of_a_page_runs_from_top_to_bottom(page, capsys):
    if page.name in BEYOND:
        pytest.importorskip(BEYOND[page.name], reason=f"{page.name} needs it")
    namespace = {"__name__": f"page_{page.stem}"}
    for block in blocks(page, "python"):
        exec(compile(block, str(page), "exec"), namespace)
    capsys.readouterr()


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "toml")], ids=lambda p: p.name)
def test_the_studies_of_a_page_are_valid(page):
    for block in blocks(page, "toml"):
        assert parse_study(tomllib.loads(block)).study.name


def commands() -> list[str]:
    """Return the querist command lines of all pages, without comments."""
    lines = (line for page in PAGES for block in blocks(page, "") for line in block.splitlines())
    return sorted({line.split("#")[0].strip() for line in lines if line.startswith("querist ")})


@pytest.mark.parametrize("line", commands())
def test_every_option_of_a_command_line_is_known_to_its_help(line, capsys):
    words = shlex.split(line)[1:]
    command = words[:2] if words[0] in ("study", "pool") else words[:1]
    assert main([*command, "--help"]) == 0
    text = capsys.readouterr().out
    for option in (word for word in words if word.startswith("--")):
        assert option in text, f"{line}: {option} is not in the help"


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
