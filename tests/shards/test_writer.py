"""The writer: whatever moment it stops at, a later run finishes the same bytes."""

import os
import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest
import simplejpeg

from avcorr.shards.checks.archive_check import scan_shard
from avcorr.shards.checks.dataset_check import verify
from avcorr.shards.dataset import Dataset
from avcorr.shards.errors import ShardFormatError
from avcorr.shards.exports.energon import write_energon
from avcorr.shards.exports.finish import finish_dataset
from avcorr.shards.format.clip import Clip, ClipMetadata
from avcorr.shards.format.sound_codec import encode
from avcorr.shards.index.layout import DATASET, MANIFEST, WORK, ShardName, write_json
from avcorr.shards.index.record import read_record
from avcorr.shards.reader import read_clips
from avcorr.shards.writer import ShardWriter, finish_publication
from tests.support.tables import offsets_of, table_problems

NAME = ShardName("clips", "train", 0)


def make_jpeg(text: str) -> bytes:
    """Return a JPEG of 64 x 48 pixels of a colour that depends on the text."""
    picture = np.full((48, 64, 3), list(text.encode().ljust(3)[:3]), np.uint8)
    return bytes(simplejpeg.encode_jpeg(picture, 90, "RGB", "420"))


def make_clip(key: str, frames: int = 3, samples: int = 160) -> Clip:
    jpeg = make_jpeg(key)
    metadata = ClipMetadata(
        format=1, key=key, video=key, source=f"{key}.mp4", label="drum", labels=["drum"], caption="",
        split="train", start=0.0,
        duration=samples / 16000, frame_times=[0.25 * n for n in range(frames)],
        frame_offsets=[len(jpeg) * n for n in range(frames + 1)], width=64, height=48, sample_rate=16000,
        channels=1, sample_count=samples, source_width=128, source_height=96, source_frame_rate=25.0,
        source_sample_rate=44100, video_streams=1, audio_streams=1, hdr=False,
        interlaced=False, changed=False, loudness=-20.0, peak=0.5, damaged=False,
        frames_decoded=frames, largest_gap=0.25,
        video_duration=samples / 16000, length_difference=0.0, motion=5.0, still_share=0.0, still=False, silent=False,
        clipped=0.0, short=False, decoder="ffmpeg", skip_nonref=False, ffmpeg="9",
    )  # fmt: skip
    pcm = bytes((7 * n + len(key)) % 256 for n in range(2 * samples))
    return Clip(metadata, encode(pcm, 16000), jpeg * frames)


def row(key: str, status: str = "packed") -> dict[str, str]:
    return {"key": key, "source": f"{key}.mp4", "split": "train", "status": status, "code": ""}


KEYS = ["va", "vb", "vc", "vd"]


def write(root: Path, stop_after: int = 99) -> None:
    """Write up to `stop_after` further inputs of the shard; the second one is a failure."""
    write_json(root / DATASET, {"format": 1})
    with ShardWriter(root, NAME, KEYS) as writer:
        for key in KEYS[writer.done :][:stop_after]:
            if key == "vb":
                writer.fail(row(key, "failed"))
            else:
                writer.add(make_clip(key), row(key))
        if writer.done == len(KEYS):
            writer.publish()


@pytest.fixture
def whole(tmp_path: Path) -> bytes:
    write(tmp_path / "whole")
    return (tmp_path / "whole" / NAME.path).read_bytes()


def test_clips_come_back(tmp_path: Path) -> None:
    write(tmp_path)
    record = read_record(tmp_path / NAME.record)
    clips = list(read_clips(tmp_path, record))
    assert [clip.key for clip in clips] == ["va", "vc", "vd"]
    expected = make_clip("vc")
    assert clips[1].metadata == expected.metadata
    assert (clips[1].wav, clips[1].mjpg) == (expected.wav, expected.mjpg)
    assert clips[1].frame(1) == make_jpeg("vc")
    assert len(clips[1].samples(10, 20)) == 20
    finish_dataset(tmp_path)
    assert list(verify(tmp_path, full=True)) == []
    assert [entry["key"] for entry in record.ledger] == KEYS
    offsets = offsets_of(tmp_path, record)
    data = (tmp_path / NAME.path).read_bytes()
    assert [data[offset : offset + 7] for offset in offsets] == [b"va.json", b"vc.json", b"vd.json"]


@pytest.mark.parametrize("stop_after", [0, 1, 2, 3])
def test_a_stopped_shard_is_finished_byte_for_byte(tmp_path: Path, whole: bytes, stop_after: int) -> None:
    root = tmp_path / "stopped"
    write(root, stop_after)
    assert not (root / NAME.path).exists() and Dataset(root, unfinished=True).shards == ()
    write(root)
    assert (root / NAME.path).read_bytes() == whole
    table = (root / NAME.table).read_bytes()
    assert table == (tmp_path / "whole" / NAME.table).read_bytes() == scan_shard(root, NAME.path).table.encode()[0]
    assert not list((root / WORK).iterdir())


@pytest.mark.parametrize("file", ["tar", "jsonl"])
def test_any_cut_of_the_work_is_healed(tmp_path: Path, whole: bytes, file: str) -> None:
    """Cut the tar or its journal at many places, as a crash of the machine may."""
    begun = tmp_path / "begun"
    write(begun, 3)
    size = (begun / WORK / f"{NAME.stem}.{file}").stat().st_size
    for cut in {*range(0, size, max(1, size // 12)), size - 1}:
        root = tmp_path / f"cut{cut}"
        shutil.copytree(begun, root)
        os.truncate(root / WORK / f"{NAME.stem}.{file}", cut)
        write(root)
        assert (root / NAME.path).read_bytes() == whole, cut


def test_altered_work_is_made_again(tmp_path: Path, whole: bytes) -> None:
    write(tmp_path, 3)
    part = tmp_path / WORK / f"{NAME.stem}.tar"
    data = bytearray(part.read_bytes())
    data[600] ^= 1
    part.write_bytes(data)
    write(tmp_path)
    assert (tmp_path / NAME.path).read_bytes() == whole


@pytest.mark.parametrize("renames", range(4))
def test_a_publication_cut_between_its_renames_is_finished(tmp_path: Path, whole: bytes, renames: int) -> None:
    """Shard, table, record get their names in this order; take back all but the first `renames`."""
    write(tmp_path)
    work, final = tmp_path / WORK, tmp_path / NAME.record
    steps = [
        (tmp_path / NAME.path, work / f"{NAME.stem}.tar"),
        (tmp_path / NAME.table, work / f"{NAME.stem}.parquet"),
        (final, work / f"{NAME.stem}.record.json"),
    ]
    contents = [path.read_bytes() for path, _ in steps]
    assert contents[0] == whole
    for path, begun in steps[renames:]:
        path.rename(begun)
    assert len(Dataset(tmp_path, unfinished=True).records) == (renames == 3)
    assert finish_publication(tmp_path, NAME) and finish_publication(tmp_path, NAME)
    assert [path.read_bytes() for path, _ in steps] == contents
    assert not list(work.iterdir())
    assert not list(table_problems(tmp_path, read_record(final)))


def test_a_table_lost_before_the_record_is_made_again(tmp_path: Path) -> None:
    write(tmp_path)
    table, final = tmp_path / NAME.table, tmp_path / NAME.record
    data = table.read_bytes()
    table.unlink()
    final.rename(tmp_path / WORK / f"{NAME.stem}.record.json")
    assert finish_publication(tmp_path, NAME)
    assert table.read_bytes() == data


def test_what_describes_the_whole_dataset_goes_before_a_shard_changes(tmp_path: Path) -> None:
    write(tmp_path)
    finish_dataset(tmp_path)
    write_energon(tmp_path)
    manifest, sidecar = tmp_path / MANIFEST, tmp_path / f"{NAME.path}.idx"
    assert manifest.exists() and sidecar.exists()
    (tmp_path / WORK).mkdir(parents=True)
    (tmp_path / NAME.record).rename(tmp_path / WORK / f"{NAME.stem}.record.json")
    finish_publication(tmp_path, NAME)
    assert not manifest.exists() and not sidecar.exists()
    finish_dataset(tmp_path)
    assert manifest.exists() and sidecar.exists()


def test_an_unfinished_shard_is_not_published(tmp_path: Path) -> None:
    with ShardWriter(tmp_path, NAME, KEYS) as writer, pytest.raises(ShardFormatError, match="0 of its 4"):
        writer.publish()


def test_a_shard_of_failures_leaves_a_record_and_no_tar(tmp_path: Path) -> None:
    write_json(tmp_path / DATASET, {"format": 1})
    with ShardWriter(tmp_path, NAME, ["va"]) as writer:
        writer.fail(row("va", "failed"))
        writer.publish()
    assert not (tmp_path / NAME.path).exists() and not (tmp_path / NAME.table).exists()
    finish_dataset(tmp_path)
    assert [len(record.ledger) for record in Dataset(tmp_path, unfinished=True).records] == [1]
    assert [problem.code for problem in verify(tmp_path, full=True)] == ["no_clip"]


def test_a_shard_that_is_refused_leaves_what_is_there(tmp_path: Path, whole: bytes) -> None:
    write(tmp_path)
    (tmp_path / NAME.path).write_bytes(whole[:2048])
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    asked: list[str] = []
    with ShardWriter(tmp_path, NAME, ["va"]) as writer:
        writer.add(make_clip("va"), row("va"))
        writer.publish(lambda record: bool(asked.append(record.sha256)))
    assert len(asked) == 1 and asked[0] != read_record(tmp_path / NAME.record).sha256
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "payload",
    [
        b"[" * 200_000,
        b"5",
        b'{"sha256": "", "size": 0, "row": ["va"]}',
        b'{"sha256": "", "size": 0, "row": {"key": "va", "source": "x", "split": "train", "status": 5, "code": ""}}',
        b'{"sha256": "%s", "size": 35184372088832, "row": {"key": "va", "source": "x", "split": "train",'
        b' "status": "packed", "code": ""}}' % (b"0" * 64),
    ],
)
def test_a_forged_journal_is_not_taken_up(tmp_path: Path, payload: bytes) -> None:
    (tmp_path / WORK).mkdir(parents=True)
    (tmp_path / WORK / f"{NAME.stem}.jsonl").write_bytes(b"%08x %s\n" % (zlib.crc32(payload), payload))
    with ShardWriter(tmp_path, NAME, ["va"]) as writer:
        assert writer.done == 0
