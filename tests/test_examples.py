"""The Python blocks of the documents run as they stand: each as a script in a folder that has what it names.

As a script, not in the test's process: a block that starts workers must work when a reader saves it to a file.
`<!-- not run: REASON -->` in the line above a block says why it is not run.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import obstore
import pytest

from tests.support.commands import command
from tests.support.servers import S3Server

ROOT = Path(__file__).parents[1]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/*.md")), ROOT / "shards" / "FORMAT.md"]
NOT_RUN = {"docs/reuse.md": 3}
"""How many blocks of a document need what the tests cannot install."""


def read_blocks(document: Path) -> tuple[list[tuple[int, str]], list[str]]:
    """Return the blocks to run, each with the number of its first line, and why the others are not."""
    text, blocks, reasons = document.read_text(), [], []
    for match in re.finditer(r"(?:<!-- not run: ([^\n]+) -->\n)?```(?:python|py)\n(.*?)^```$", text, re.M | re.S):
        if match[1]:
            reasons.append(match[1])
        else:
            blocks.append((text.count("\n", 0, match.start(2)) + 1, match[2]))
    return blocks, reasons


BLOCKS = [
    pytest.param(code, id=f"{document.relative_to(ROOT)}:{line}")
    for document in DOCUMENTS
    for line, code in read_blocks(document)[0]
]


@pytest.fixture(scope="module")
def folder(
    tmp_path_factory: pytest.TempPathFactory, videos: Path, embedded: Path, small_run: Path, s3: S3Server
) -> Path:
    """A folder with the names that the documents use, and `s3://bucket/vggsound`, which is the same dataset."""
    folder = tmp_path_factory.mktemp("reader")
    shards = folder / "data" / "shards"
    sizes = ["shard.clips_per_shard=8", "shard.clip_seconds=3.0"]
    assert command("shard", "--source", videos, "--out", shards, "--energon", "--dali", settings=sizes) == 0
    (folder / "ROOT").symlink_to(shards)
    (folder / "RUN").symlink_to(small_run)
    (folder / "data" / "embeddings").symlink_to(embedded)
    client = s3.make_bucket("bucket")
    for path in shards.rglob("*"):
        if path.is_file():
            obstore.put(client, f"vggsound/{path.relative_to(shards).as_posix()}", path)
    return folder


@pytest.mark.parametrize("code", BLOCKS)
def test_a_block_runs(code: str, folder: Path, s3: S3Server, tmp_path: Path) -> None:
    script = tmp_path / "example.py"
    script.write_text(code)
    environment = {**os.environ, **s3.environment(), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    environment["HF_DATASETS_CACHE"] = str(tmp_path / "cache")
    run = subprocess.run(
        [sys.executable, script], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0, f"{code}\n{run.stderr}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_few_blocks_are_not_run(document: Path) -> None:
    _, reasons = read_blocks(document)
    assert len(reasons) == NOT_RUN.get(document.relative_to(ROOT).as_posix(), 0), reasons
