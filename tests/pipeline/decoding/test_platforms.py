"""Nothing but what every Unix has is needed, and an ffmpeg that is too old is told before the first clip."""

import fcntl
import os
import resource
import tarfile
from pathlib import Path

import pytest

import avcorr
from avcorr.pipeline.decoding.ffmpeg import find_ffmpeg
from avcorr.pipeline.errors import DecoderError
from avcorr.shards.index.layout import INDEX
from tests.conftest import MakeVideo

SMALL = {"shard.short_side": 48, "shard.clip_seconds": 1.0, "shard.test_fraction": 0.0}
LINUX_ONLY = {
    fcntl: ("F_SETPIPE_SZ", "F_GETPIPE_SZ"),
    os: ("memfd_create", "MFD_CLOEXEC", "sched_getaffinity", "posix_fadvise", "splice", "eventfd", "pidfd_open"),
    resource: ("prlimit",),
}
"""What macOS has not, of the modules that are used."""


@pytest.mark.parametrize("source", ["folder", "archive", "compressed archive"])
def test_shards_are_made_without_what_only_linux_has(
    tmp_path: Path, make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    video = make_video(tmp_path / "videos" / "a.mp4", seconds=1)
    given = tmp_path / {"folder": "videos", "archive": "a.tar", "compressed archive": "a.tar.gz"}[source]
    if given.suffix:
        with tarfile.open(given, "w:gz" if given.suffix == ".gz" else "w") as archive:
            archive.add(video, "a.mp4")
    avcorr.shard(given, tmp_path / "linux", settings=SMALL, workers=1)
    for module, names in LINUX_ONLY.items():
        for name in names:
            monkeypatch.delattr(module, name, raising=False)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    assert avcorr.shard(given, tmp_path / "other", settings=SMALL, workers=1).packed == 1
    first, second = (next(root.glob("train/*.tar")).read_bytes() for root in (tmp_path / "linux", tmp_path / "other"))
    assert first == second and os.listdir(tmp_path / "tmp") == []
    assert avcorr.verify(tmp_path / "other", full=True).ok


@pytest.mark.parametrize(
    ("version", "told"),
    [("4.4.2-0ubuntu0.22.04.1", True), ("n4.4", True), ("5.0.3", True), ("5.1", False), ("n7.1", False),
     ("N-118193-g5f38c82536", False), ("2024-03-14-git-2129d66a66-full_build", False)],
)  # fmt: skip
def test_an_old_ffmpeg_is_told_before_the_first_clip(
    tmp_path: Path, make_video: MakeVideo, version: str, told: bool
) -> None:
    make_video(tmp_path / "videos" / "a.mp4", seconds=1)
    binary = tmp_path / "ffmpeg"
    binary.write_text(f"#!/bin/sh\necho ffmpeg version {version} Copyright\n")
    binary.chmod(0o755)
    if not told:
        assert find_ffmpeg(str(binary)) == str(binary)
        return
    with pytest.raises(DecoderError, match="which is too old: set shard.ffmpeg to 5.1 or newer"):
        avcorr.shard(tmp_path / "videos", tmp_path / "root", settings=SMALL | {"shard.ffmpeg": str(binary)})
    assert not (tmp_path / "root" / INDEX).exists(), "no ledger that blames the videos"
