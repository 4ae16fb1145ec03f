"""README and the documents keep up with the code."""

import re
from pathlib import Path

import pytest

import run as program
from pipeline.errors import REASONS
from shards.clip import ClipMetadata

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("folder", ["configs", "shards", "pipeline", "model"])
def test_the_tree_in_readme_has_every_file(folder: str) -> None:
    tree = README.split("```")
    block = next(text for text in tree if "the command line: parse" in text)
    section = next(part for part in block.split("\n\n") if part.strip().startswith(folder))
    listed = set(re.findall(rf"^(?:{folder}/| +)(\S+)", section, re.MULTILINE))
    present = {path.name + "/" * path.is_dir() for path in (ROOT / folder).iterdir()} - {"__init__.py", "__pycache__/"}
    assert listed == present


@pytest.mark.parametrize("document", [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "shards" / "FORMAT.md"])
def test_links_lead_somewhere(document: Path) -> None:
    text = document.read_text()
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (document.parent / target).exists(), target


def test_every_command_is_in_readme() -> None:
    for name in program.COMMANDS:
        assert f"`{name} " in README, name


def test_every_reason_code_is_documented() -> None:
    text = (ROOT / "docs" / "sharding.md").read_text()
    for code in REASONS:
        assert f"`{code}`" in text, code


def test_the_format_lists_every_field() -> None:
    text = (ROOT / "shards" / "FORMAT.md").read_text()
    for name in ClipMetadata.__slots__:
        assert f"`{name}`" in text, name


def test_documents_hold_no_placeholder() -> None:
    for document in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]:
        assert "@@" not in document.read_text(), document
