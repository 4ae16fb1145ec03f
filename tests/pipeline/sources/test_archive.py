"""Archives: the same shards as from loose files, and of a damaged one all that lies before the damage."""

import gzip
import hashlib
import io
import os
import tarfile
from pathlib import Path

import pytest

from avcorr.pipeline.errors import MediaError
from avcorr.pipeline.packing.pack import pack
from avcorr.pipeline.settings import ShardSettings
from avcorr.pipeline.sources import archive
from avcorr.pipeline.sources.archive import Member, MemoryFile, list_archive, load_member, read_members
from avcorr.pipeline.sources.find import find_sources
from avcorr.shards.checks.dataset_check import verify
from avcorr.shards.dataset import Dataset
from avcorr.shards.index.layout import WORK
from tests.conftest import SMALL

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def digests(root: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in root.glob("*/*.tar")}


def make_tar(path: Path, files: dict[str, bytes], *, format: int = tarfile.PAX_FORMAT) -> Path:
    mode = "w:gz" if path.name.endswith("gz") else "w"
    with tarfile.open(path, mode, format=format) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def contents(path: Path, listing: archive.Listing) -> dict[str, bytes]:
    members = [member for _, member in listing.members]
    if any(member.compressed for member in members):
        files = read_members(str(path), members)
    else:
        files = (load_member(str(path), member) for member in members)
    return {name: Path(file.path).read_bytes() for (name, _), file in zip(listing.members, files, strict=True)}


@pytest.mark.parametrize("suffix", ["tar", "tar.gz"])
@pytest.mark.parametrize("format", FORMATS)
def test_members_are_found_and_read(tmp_path: Path, suffix: str, format: str) -> None:
    files = {"a.mp4": b"1" * 700, "empty.mp4": b"", "dir/ünï.mp4": os.urandom(512), "x" * 90 + ".mp4": b"2" * 20000}
    if format != "ustar":
        files["dir/" + "y" * 200 + ".mp4"] = b"long"
    path = make_tar(tmp_path / f"a.{suffix}", files, format=FORMATS[format])
    with tarfile.open(tmp_path / "links.tar", "w") as tar:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE):
            info = tarfile.TarInfo(f"{kind!r}.mp4")
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
    listing = list_archive(path)
    assert not listing.damage and contents(path, listing) == files
    assert list_archive(tmp_path / "links.tar") == archive.Listing((), "", "")


def test_a_plain_tar_that_is_cut_is_listed_up_to_the_cut(tmp_path: Path) -> None:
    files = {f"{number}.mp4": bytes([number]) * 1000 for number in range(5)}
    whole = make_tar(tmp_path / "a.tar", files, format=tarfile.USTAR_FORMAT).read_bytes()
    for size in (0, 1, 511, 512, 700, 1535, 1536, 1537, 3000, 4608, 5000, 7680):
        (tmp_path / "cut.tar").write_bytes(whole[:size])
        listing = list_archive(tmp_path / "cut.tar")
        readable = [name for number, name in enumerate(files) if size >= 1536 * number + 1512]
        assert [name for name, _ in listing.members] == readable and listing.damage
    broken = bytearray(whole)
    broken[3 * 1536 + 10] ^= 1
    (tmp_path / "cut.tar").write_bytes(broken)
    listing = list_archive(tmp_path / "cut.tar")
    assert len(listing.members) == 3 and "damaged tar header at byte 4608" in listing.damage and not listing.cut


def test_a_hostile_header_takes_no_memory(tmp_path: Path) -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = b"x", 8 << 30
    (tmp_path / "a.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + b"1" * 5000)
    assert "an extension of 8589934592 bytes" in list_archive(tmp_path / "a.tar").damage


def test_a_member_is_a_file_that_others_can_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    file = MemoryFile()
    file.write(b"12345")
    with open(file.path, "rb") as first, open(file.path, "rb") as second:
        first.seek(3)
        assert (first.read(), second.read()) == (b"45", b"12345")
    del file
    assert len(os.listdir("/proc/self/fd")) == before
    with pytest.raises(MediaError, match="is not there"):
        load_member(str(tmp_path / "absent.tar"), Member(0, 5, False))


def test_compressed_archives_are_read_twice_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {f"{number}.mp4": os.urandom(5000) for number in range(9)}
    path = make_tar(tmp_path / "a.tgz", files)
    opened: list[str] = []
    real = archive._Stream.__init__
    monkeypatch.setattr(archive._Stream, "__init__", lambda self, path: (opened.append(str(path)), real(self, path))[1])
    listing = list_archive(path, cache=tmp_path / "cache")
    assert contents(path, listing) == files and len(opened) == 2
    assert list_archive(path, cache=tmp_path / "cache") == listing


def test_names_that_are_no_utf8_are_kept_with_a_listing(tmp_path: Path) -> None:
    path = make_tar(tmp_path / "a.tgz", {"latin\udce9.mp4": b"1"}, format=tarfile.GNU_FORMAT)
    first, again = (list_archive(path, cache=tmp_path / "cache") for _ in range(2))
    assert first == again and [name for name, _ in again.members] == ["latin\udce9.mp4"]
    assert [source.name for source in find_sources(path, cache=tmp_path / "cache").sources] == ["a.tgz/latin\\xe9.mp4"]


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory, videos: Path) -> Path:
    """The twelve videos in a plain and in a compressed archive."""
    folder = tmp_path_factory.mktemp("archives")
    files = {str(path.relative_to(videos)): path.read_bytes() for path in sorted(videos.rglob("*.mp4"))}
    names = sorted(files, key=lambda name: name[-5])
    make_tar(folder / "one.tar", {name: files[name] for name in names[:6]})
    make_tar(folder / "two.tar.gz", {name: files[name] for name in names[6:]})
    return folder


def without_names(root: Path) -> dict[str, list[tuple[str, str]]]:
    """Return what the clips hold beside their source's name."""
    from avcorr.shards.reader import read_clips

    return {
        record.path: [(clip.key, hashlib.sha256(clip.wav + clip.mjpg).hexdigest()) for clip in read_clips(root, record)]
        for record in Dataset(root).records
    }


def test_archives_give_the_shards_of_loose_files(tmp_path: Path, archives: Path, shards: Path) -> None:
    sources = find_sources(archives)
    assert {source.name for source in sources.sources} >= {"one.tar/train/clip00.mp4"}
    summary = pack(sources, tmp_path / "folder", SMALL, workers=2)
    assert (summary.inputs, summary.packed) == (12, 12)
    assert without_names(tmp_path / "folder") == without_names(shards)
    assert not list((tmp_path / "folder" / WORK / "spool").glob("*/*"))
    named = pack(find_sources([archives / "one.tar", archives / "two.tar.gz"]), tmp_path / "b", SMALL, workers=1)
    assert named.packed == 12 and digests(tmp_path / "b") == digests(tmp_path / "folder")


def test_vggsounds_csv_reads_archives_and_a_damaged_one_up_to_its_damage(tmp_path: Path, videos: Path) -> None:
    names = [f"aBcdefghi{number:02d}" for number in range(6)]
    clips = [path.read_bytes() for path in sorted(videos.rglob("*.mp4"))]
    folder = tmp_path / "archives"
    folder.mkdir()
    good = {f"deep/{name}_000010.mp4": clip for name, clip in zip(names, clips, strict=False)}
    whole = make_tar(folder / "a.tar.gz", good).read_bytes()
    raw = gzip.decompress(whole)
    offset = raw.index(names[4].encode())  # inside the fourth file, before the header of the fifth
    place = len(gzip.compress(raw[: offset - 20_000]))
    damaged = bytearray(whole)
    damaged[place : place + 4000] = os.urandom(4000)
    (folder / "a.tar.gz").write_bytes(damaged)
    (tmp_path / "list.csv").write_text("".join(f"{name},10,dog,train\n" for name in names))
    sources = find_sources(tmp_path / "list.csv", videos=folder)
    root = tmp_path / "out"
    summary = pack(sources, root, SMALL, workers=2)
    assert summary.inputs == 6 and summary.packed >= 2
    assert summary.packed + summary.failed == 6 and set(summary.reasons) <= {"missing", "archive_damaged"}
    assert summary.reasons["archive_damaged"] == 1
    rows = {row["source"]: row for row in Dataset(root).ledger()}
    assert "damage" in rows[f"{names[5]}_000010.mp4"]["message"]
    # the archive is fetched again: the same dataset takes what it lacked
    (folder / "a.tar.gz").write_bytes(whole)
    again = find_sources(tmp_path / "list.csv", videos=folder)
    summary = pack(again, root, SMALL, workers=2, retry={"missing", "archive_damaged"})
    assert summary.packed == 6 and list(verify(root, full=True)) == []
    pack(again, tmp_path / "at-once", SMALL, workers=2)
    assert digests(root) == digests(tmp_path / "at-once")


def test_a_damaged_archive_is_an_input_that_failed(
    tmp_path: Path, videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = [path.read_bytes() for path in sorted(videos.rglob("*.mp4"))[:3]]
    path = make_tar(tmp_path / "a.tar", {f"{number}.mp4": clip for number, clip in enumerate(clips)})
    path.write_bytes(path.read_bytes()[: -(10240 + len(clips[2]) // 2)])
    found = find_sources(tmp_path, test_fraction=0)
    problems = {source.name: source.problem[0] for source in found.sources if source.problem}
    assert problems == {"a.tar": "archive_damaged", "a.tar/2.mp4": "archive_damaged"}
    summary = pack(found, tmp_path / "out", SMALL, workers=1)
    assert (summary.packed, summary.reasons) == (2, {"archive_damaged": 2})
    monkeypatch.setattr("avcorr.pipeline.sources.find.MAX_MEMBER_BYTES", 1000)
    assert {source.problem[0] for source in find_sources(path).sources if source.problem} == {
        "archive_damaged",
        "too_large",
    }


def test_an_archive_that_vanishes_fails_its_clips_alone(tmp_path: Path, archives: Path, videos: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("one.tar", "two.tar.gz"):
        (folder / name).write_bytes((archives / name).read_bytes())
    (folder / "loose.mp4").write_bytes(next(videos.rglob("*.mp4")).read_bytes())
    sources = find_sources(folder)
    (folder / "one.tar").unlink()
    (folder / "two.tar.gz").unlink()
    summary = pack(sources, tmp_path / "out", ShardSettings(short_side=48), workers=2)
    assert (summary.packed, summary.failed) == (1, 12)
    assert set(summary.reasons) <= {"missing", "archive_damaged"}
