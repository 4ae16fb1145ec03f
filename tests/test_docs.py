"""README and the documents keep up with the code."""

import re
from pathlib import Path

import pytest

from avcorr.commands.parser import COMMANDS
from avcorr.pipeline.errors import REASONS
from avcorr.shards.checks.problem import CODES
from avcorr.shards.format.clip import ClipMetadata

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text()
ROOMS = ["src", "commands", "workflows", "configs", "shards", "pipeline", "model", "retrieval", "pages", "corpus"]


def test_the_tree_in_architecture_has_every_folder() -> None:
    """A file says in its first line what it is; the document has the folders."""
    block = next(text for text in ARCHITECTURE.split("```") if "the command line" in text)
    listed, folders = set(), {}
    for line in filter(None, block.splitlines()):
        depth = (len(line) - len(line.lstrip())) // 4
        name = line.split()[0]
        if name.endswith("/"):
            folders[depth] = folders.get(depth - 1, "") + name
            listed.add(folders[depth])
    present = set()
    for room in ROOMS:
        for path in [ROOT / room, *(ROOT / room).rglob("*")]:
            if path.is_dir() and not path.is_symlink() and not path.name.endswith(("__pycache__", ".egg-info")):
                present.add(path.relative_to(ROOT).as_posix() + "/")
    assert listed == present


def test_every_file_that_architecture_names_is_there() -> None:
    named = set(re.findall(r"`([a-z_0-9/]+/(?:[\w.]+)?)`", ARCHITECTURE)) - {"commands/NAME.py"}
    assert len(named) > 50
    for path in named:
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("document", [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "shards" / "FORMAT.md"])
def test_links_lead_somewhere(document: Path) -> None:
    text = document.read_text()
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (document.parent / target).exists(), target


def test_every_command_is_in_readme() -> None:
    for name in COMMANDS:
        assert f"`{name} " in README, name


def test_every_reason_code_is_documented() -> None:
    text = (ROOT / "docs" / "sharding.md").read_text()
    for code in REASONS:
        assert f"`{code}`" in text, code


def test_every_code_of_verify_is_documented() -> None:
    text = (ROOT / "docs" / "verify.md").read_text()
    for code, meaning in CODES.items():
        assert f"| `{code}` | {meaning} |\n" in text, code


def test_the_format_lists_every_field() -> None:
    text = (ROOT / "shards" / "FORMAT.md").read_text()
    for name in ClipMetadata.__slots__:
        assert f"`{name}`" in text, name


def test_documents_hold_no_placeholder() -> None:
    for document in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]:
        assert "@@" not in document.read_text(), document
