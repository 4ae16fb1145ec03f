"""Whatever names files have and whatever bytes an archive holds: keys are keys, and damage is told and not raised."""

import gzip
import io
import os
import random
import tarfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from avcorr.pipeline.sources.archive import list_archive
from avcorr.pipeline.sources.grouping import identity
from avcorr.pipeline.sources.keys import choose_split, with_keys
from avcorr.pipeline.sources.source import Source
from avcorr.shards.format.clip import KEY_PATTERN
from tests.pipeline.sources.test_archive import FORMATS, contents

NAMES = st.one_of(
    st.text(max_size=120),
    st.from_regex(r"[A-Za-z0-9_-]{11}_\d{1,6}\.mp4", fullmatch=True),
    st.sampled_from(["a.mp4", "A.mp4", "a.MP4", "b/a.mp4", "a_00000000.mp4", "a-0123456789ab.mp4", ".mp4", ""]),
)
SPANS = st.sampled_from([0.0, 0.0004, 1.0, 1.0004, 12.5])
CASE = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def make(name: str, seek: float, duration: float) -> Source:
    video, start = identity(name)
    return Source(path=f"/{name}", name=name, video=video, start=start, seek=seek, duration=duration)


@CASE
@given(st.lists(st.builds(make, NAMES, SPANS, SPANS), max_size=30), st.randoms(use_true_random=False))
def test_each_input_gets_a_key_of_its_own_whatever_the_order(sources: list[Source], chance: random.Random) -> None:
    found = with_keys(list(sources), lambda video: choose_split(video, 0.3, 0))
    keys = [source.key for source in found.sources]
    assert keys == sorted(keys) and len({key.lower() for key in keys}) == len(keys)
    assert all(KEY_PATTERN.fullmatch(key) for key in keys)
    inputs = {(source.name, source.seek, source.duration) for source in sources}
    assert len(keys) == len(inputs) and len(found.duplicates) == len(sources) - len(inputs)
    by_video = {source.video: source.split for source in found.sources}
    assert all(by_video[source.video] == source.split for source in found.sources)
    mixed = list(sources)
    chance.shuffle(mixed)
    again = with_keys(mixed, lambda video: choose_split(video, 0.3, 0))
    assert [source.key for source in again.sources] == keys and again.fingerprint() == found.fingerprint()


@CASE
@given(st.text(max_size=20), st.floats(0, 1, exclude_max=True), st.integers(0, 9))
def test_a_larger_share_of_test_takes_no_video_out_of_it(video: str, share: float, seed: int) -> None:
    if choose_split(video, share / 2, seed) == "test":
        assert choose_split(video, share, seed) == "test"


MEMBERS = st.dictionaries(
    st.text(st.characters(exclude_characters="\0/", exclude_categories=["Cs"]), min_size=1, max_size=60).filter(
        lambda name: len(name.encode()) < 90
    ),
    st.binary(max_size=1500),
    max_size=6,
)


def pack_tar(files: dict[str, bytes], format: int) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=format) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(f"folder/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return data.getvalue()


@CASE
@given(files=MEMBERS, format=st.sampled_from(list(FORMATS.values())), compressed=st.booleans())
def test_an_archive_gives_what_was_put_into_it(
    tmp_path: Path, files: dict[str, bytes], format: int, compressed: bool
) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(_gzipped(pack_tar(files, format)) if compressed else pack_tar(files, format))
    listing = list_archive(path)
    assert not listing.damage and not listing.cut
    assert contents(path, listing) == {f"folder/{name}": content for name, content in files.items()}


@CASE
@given(
    files=MEMBERS, format=st.sampled_from(list(FORMATS.values())), compressed=st.booleans(),
    changes=st.lists(st.tuples(st.integers(0, 1 << 20), st.binary(min_size=1, max_size=12)), max_size=4),
    kind=st.sampled_from([b"", b"L", b"K", b"x", b"g", b"S", b"1", b"3", b"\xff"]), stop=st.integers(0, 1 << 20),
)  # fmt: skip
def test_a_damaged_archive_is_listed_up_to_its_damage(
    tmp_path: Path, files: dict[str, bytes], format: int, compressed: bool, changes: list[tuple[int, bytes]],
    kind: bytes, stop: int,
) -> None:  # fmt: skip
    path = tmp_path / "a.tar"
    path.write_bytes(pack_tar(files, format))
    whole = list_archive(path).members
    data = bytearray(path.read_bytes())
    if kind:  # another type of the first member, with a checksum that holds
        data[156:157] = kind
        data[148:156] = b"%06o\0 " % (sum(data[:148]) + sum(data[156:512]) + 8 * 32)
    for place, value in changes:
        place %= len(data)
        data[place : place + len(value)] = value[: len(data) - place]
    data = data[: len(data) - stop % len(data)]
    path.write_bytes(_gzipped(bytes(data)) if compressed else data)
    listing = list_archive(path)
    for name, member in listing.members:
        name.encode(errors="surrogateescape")
        assert 0 < member.offset and 0 <= member.size and member.offset + member.size <= len(data)
    assert {len(content) for content in contents(path, listing).values()} <= {m.size for _, m in listing.members}
    if not changes and not kind:
        end = max((member.offset + -(-member.size // 512) * 512 for _, member in whole), default=0)
        assert bool(listing.damage) == (len(data) < end + 512)
        found = [(name, member.offset, member.size) for name, member in listing.members]
        assert found == [(name, member.offset, member.size) for name, member in whole][: len(found)]
    assert os.listdir(tmp_path) == ["a.tar"]


def _gzipped(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)
