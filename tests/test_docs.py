"""README and the documents keep up with the code."""

import re
from pathlib import Path

import pytest

from commands.parser import COMMANDS
from pipeline.errors import REASONS
from shards.clip import ClipMetadata
from shards.problem import CODES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text()
FOLDED = ("pipeline/corpus/", "model/report/", "shards/exports/", "explore/page/")
"""Folders that have one line in the tree."""


def test_the_tree_in_architecture_has_every_file() -> None:
    block = next(text for text in ARCHITECTURE.split("```") if "the command line: parse" in text)
    listed, folders = set(), {}
    for line in filter(None, block.splitlines()):
        depth = (len(line) - len(line.lstrip())) // 4
        name = line.split()[0]
        path = folders.get(depth - 1, "") + name
        if name.endswith("/"):
            folders[depth] = path
        listed.add(path)
    present = {"run.py", "setup.py"}
    for folder in ["commands", "configs", "shards", "pipeline", "model", "finding", "explore"]:
        for path in [ROOT / folder, *(ROOT / folder).rglob("*")]:
            name = path.relative_to(ROOT).as_posix() + "/" * path.is_dir()
            if path.name not in ("__init__.py", "__pycache__") and path.suffix != ".pyc":
                if not name.startswith(FOLDED):
                    present.add(name)
    commands = {f"commands/{name.replace('-', '_')}.py" for name in COMMANDS}
    assert commands <= present
    assert listed == present - commands | {"commands/NAME.py"} | set(FOLDED)


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
