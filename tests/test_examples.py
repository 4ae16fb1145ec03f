"""The Python blocks of the documents and examples/ run as they stand: each a script in a folder that has what it names.

As a script, not in the test's process: a block that starts workers must work when a reader saves it to a file.
`<!-- not run: REASON -->` in the line above a block says why it is not run.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import obstore
import pytest

from tests.support.commands import TINY, command
from tests.support.servers import S3Server

ROOT = Path(__file__).parents[1]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/*.md")), ROOT / "shards" / "FORMAT.md"]
NOT_RUN = {"docs/reuse.md": 3}
"""How many blocks of a document need what the tests cannot install."""


SCRIPTS = {
    "stream_pairs.py": (["data/shards", "pairs.frame_size=32", "pairs.workers=1"], "frames (16, 32, 32, 3), sound"),
    "train_on_a_folder.py": (
        ["videos", "made", "shard.clip_seconds=3.0", "train.warmup_steps=0", *TINY],
        "AVC accuracy",
    ),
}
"""Of each script in examples/: the words it is started with, and what it says."""


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
    shutil.copytree(small_run, folder / "runs" / "a")
    (folder / "videos").symlink_to(videos)
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
    environment = {**s3.environment(), "HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(tmp_path / "cache")}
    run = start([script], folder, environment)
    assert run.returncode == 0, f"{code}\n{run.stderr}"


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "examples").glob("*.py")))
def test_an_example_runs(name: str, folder: Path) -> None:
    words, said = SCRIPTS[name]
    run = start([ROOT / "examples" / name, *words], folder)
    assert run.returncode == 0 and said in run.stdout, run.stderr


@pytest.mark.parametrize("name", SCRIPTS)
def test_an_example_needs_nothing_but_avcorr(name: str) -> None:
    imports = re.findall(r"^(?:import|from) (\S+)", (ROOT / "examples" / name).read_text(), re.M)
    assert set(imports) == {"sys", "avcorr"}


def start(
    words: Sequence[object], folder: Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, words)], cwd=folder, capture_output=True, text=True, timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})},
    )  # fmt: skip


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_few_blocks_are_not_run(document: Path) -> None:
    _, reasons = read_blocks(document)
    assert len(reasons) == NOT_RUN.get(document.relative_to(ROOT).as_posix(), 0), reasons
