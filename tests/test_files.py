"""Single files: regular ones, of a bounded size, each there wholly or not at all."""

import errno
import os
from pathlib import Path

import pytest

from avcorr import files
from avcorr.errors import OutputError
from avcorr.files import (
    read_file,
    remove_left,
    replacing,
    require_writable,
    sync_folder,
    write_atomically,
    writing_to,
)
from tests.support.mounts import small_files


def test_a_file_is_read_up_to_its_largest_size(tmp_path: Path) -> None:
    path = tmp_path / "small"
    path.write_bytes(b"x" * 10)
    assert read_file(path, 10) == b"x" * 10
    with pytest.raises(OSError, match="has 10 bytes; a file of its kind has at most 9"):
        read_file(path, 9)


def test_a_sparse_giant_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "giant"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(OSError, match="1099511627776 bytes"):
        read_file(path, 1 << 20)


@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "link to a device"])
def test_what_is_no_regular_file_is_refused_at_once(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "odd"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "link to a device":
        path.symlink_to("/dev/zero")
    else:
        path = Path("/dev/zero")
    with pytest.raises(OSError, match="is no regular file"):
        read_file(path, 100)


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    write_atomically(path, b"old")
    with pytest.raises(RuntimeError), replacing(path) as file:
        file.write(b"half")
        raise RuntimeError
    assert path.read_bytes() == b"old" and os.listdir(path.parent) == ["file"]


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with replacing(path) as first, replacing(path) as second:
        first.write(b"first")
        second.write(b"second")
    assert path.read_bytes() == b"first" and os.listdir(tmp_path) == ["file"]


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".file.0a1b2c3d.tmp").write_bytes(b"half")
    write_atomically(tmp_path / "file", b"whole")
    remove_left(tmp_path)
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize(("number", "passes"), [(errno.EINVAL, True), (errno.EIO, False)])
def test_a_folder_that_cannot_be_synced_is_no_error(
    number: int, passes: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CIFS and some of FUSE answer EINVAL; a disk that fails is told."""

    def fsync(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files.os, "fsync", fsync)
    if passes:
        sync_folder(tmp_path)
    else:
        with pytest.raises(OSError, match="Input/output"):
            sync_folder(tmp_path)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "no space is left on the disk of {}; free some space, then run the same command again"),
        (errno.EDQUOT, "the quota of the disk of {} is used up; free some space, then run the same command again"),
        (errno.EFBIG, "{} may not grow so large; raise the limit (ulimit -f) or choose another disk, then"),
        (errno.EROFS, "{} cannot be written to: the disk is read-only; choose another, or make it writable, then"),
        (errno.EACCES, "{} cannot be read or written: permission denied; choose another, or give the right, then"),
        (errno.ENOTDIR, "{} is no folder; choose another, then"),
        (errno.EMFILE, "{} cannot be opened: too many files are open; raise the limit (ulimit -n), then"),
        (errno.ESTALE, "{} is no longer there for the file server; mount it again, then"),
        (errno.EIO, "{} cannot be read or written: the disk fails; see to the disk, then"),
    ],
)
def test_what_a_disk_says_is_told_in_words(number: int, words: str, tmp_path: Path) -> None:
    """With the file where the error names one, else with the folder."""
    for path, named in ((tmp_path / "file", str(tmp_path / "file")), (tmp_path, None)):
        with pytest.raises(OutputError) as told, writing_to(tmp_path):
            raise OSError(number, os.strerror(number), named)
        assert str(told.value).startswith(words.format(path))


def test_what_is_no_disks_passes(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), writing_to(tmp_path):
        (tmp_path / "gone").read_bytes()
    (tmp_path / "large").write_bytes(b"x" * 10)
    with pytest.raises(OSError, match="has 10 bytes; a file of its kind has at most 9"), writing_to(tmp_path):
        read_file(tmp_path / "large", 9)


def test_a_write_that_fails_names_its_file(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"/file may not grow so large"), writing_to(tmp_path), small_files(1000):
        write_atomically(tmp_path / "file", b"x" * 2000)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_written_to_is_told_before_it_is_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    require_writable(tmp_path / "deep" / "new")
    with pytest.raises(OutputError, match="/file is no folder; choose another"):
        require_writable(tmp_path / "file" / "below")
    assert os.listdir(tmp_path) == ["file"]
