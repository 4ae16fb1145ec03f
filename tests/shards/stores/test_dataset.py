"""A whole dataset in S3 and behind HTTP: read, verified, trained on and evaluated as from a folder."""

import json
import shutil
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import obstore
import pytest

import run as program
from avcorr.pipeline.correspondence.pairs import PairDataset
from avcorr.pipeline.moments.loader import MomentLoader
from avcorr.pipeline.packing.pack import pack
from avcorr.pipeline.settings import PairSettings
from avcorr.pipeline.sources.find import find_sources
from avcorr.shards.checks.dataset_check import verify
from avcorr.shards.dataset import Dataset
from avcorr.shards.errors import ShardError, ShardTruncatedError, StoreUnreachableError
from avcorr.shards.format.tar import BLOCK
from avcorr.shards.index.record import ShardEntry
from avcorr.shards.reader import iter_clips, read_clips
from avcorr.shards.store import RetryPolicy, Root
from avcorr.shards.stores.open import open_store
from avcorr.shards.summary import summarise
from tests.conftest import SMALL
from tests.support.cases import CASES
from tests.support.commands import TINY, command
from tests.support.proxy import Fault, FaultyProxy, Request
from tests.support.servers import S3Server, http_server
from tests.support.tables import offsets_of

HASTY = RetryPolicy(attempts=4, first_wait=0.01, longest_wait=0.05, stall_seconds=1, outage_seconds=0.5)
NAME = "train/clips-train-000000.tar"


def upload(folder: Path, client: obstore.store.ObjectStore, prefix: str) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            obstore.put(client, f"{prefix}/{path.relative_to(folder).as_posix()}", path)


def contents(root: Root, record: ShardEntry) -> list[tuple[object, ...]]:
    return [(clip.metadata, clip.wav, clip.mjpg) for clip in read_clips(root, record)]


@pytest.fixture(scope="module")
def places(shards: Path, s3: S3Server) -> Iterator[dict[str, str]]:
    """The same dataset in three places."""
    upload(shards, s3.make_bucket("dataset"), "clips")
    with http_server(shards) as address:
        yield {"path": str(shards), "s3": "s3://dataset/clips", "http": address}


@pytest.fixture(params=["s3", "http"])
def place(request: pytest.FixtureRequest, places: dict[str, str], aws: None) -> str:
    return places[request.param]


def test_the_index_is_the_same_from_everywhere(place: str, shards: Path) -> None:
    here, there = Dataset(shards), Dataset(place)
    assert there.records == here.records and there.facts == here.facts
    assert list(there.ledger()) == list(here.ledger())
    assert {**summarise(place), "root": ""} == {**summarise(shards), "root": ""}
    assert there.splits == here.splits and there.shards == here.shards
    assert [clip.key for clip in there.clips()] == here.clips().texts("key")
    ranges = [clip.frame(3) for clip in here.clips()]
    assert there.store.read_ranges(ranges) == here.store.read_ranges(ranges)


def test_clips_are_the_same_from_everywhere(place: str, shards: Path) -> None:
    for record in Dataset(shards).records:
        assert contents(place, record) == contents(shards, record)


def test_a_sound_dataset_verifies_from_everywhere(place: str) -> None:
    assert list(verify(place)) == []
    assert list(verify(place, full=True, workers=2)) == []


@pytest.mark.parametrize(
    "name", ["table with a flipped bit", "manifest with another count", "wids missing", "energon offset",
             "energon database with another row", "DALI index missing"]
)  # fmt: skip
def test_what_is_derived_is_checked_in_a_bucket(
    exported: Path, tmp_path: Path, s3: S3Server, aws: None, name: str
) -> None:
    root = tmp_path / "root"
    shutil.copytree(exported, root)
    bucket = f"derived-{len(name)}"
    client = s3.make_bucket(bucket)
    upload(root, client, "whole")
    assert list(verify(f"s3://{bucket}/whole", full=True)) == []
    CASES[name].damage(root)
    upload(root, client, "damaged")
    assert {problem.code for problem in verify(f"s3://{bucket}/damaged", full=True)} == CASES[name].full


def test_shards_without_clips_are_found_without_a_listing(
    tmp_path: Path, videos: Path, s3: S3Server, aws: None
) -> None:
    """They have a record only: between two others, at the end, and in a split of their own."""
    folder = tmp_path / "videos"
    folder.mkdir()
    for number, source in enumerate(sorted(videos.glob("train/*.mp4"))[:3]):
        shutil.copy(source, folder / f"good{number}.mp4")
    for number in range(9):
        (folder / f"bad{number}.mp4").write_bytes(b"nothing")
    settings = SMALL.model_copy(update={"clips_per_shard": 1, "test_fraction": 0.0})
    pack(find_sources(folder), tmp_path / "root", settings, workers=2)
    records = Dataset(tmp_path / "root").records
    assert len(records) == 12 and sum(bool(record.clips) for record in records) == 3
    with http_server(tmp_path / "root") as address:
        assert Dataset(address).records == records
        assert list(verify(address)) == []


def test_a_quick_look_asks_little_of_each_shard(
    places: dict[str, str], s3: S3Server, aws: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = FaultyProxy(("127.0.0.1", s3.port))
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
    assert list(verify(places["s3"])) == []
    asked = [(request.method, request.headers.get("range")) for request in proxy.requests if NAME in request.path]
    size = Dataset(places["path"]).of_split("train")[0].size
    assert sorted(asked) == [("GET", f"bytes={size - 2 * BLOCK}-{size - 1}"), ("HEAD", None)]
    proxy.close()


def cut_to(size: Callable[[bytes, list[int]], int]) -> Callable[[bytes, list[int]], bytes]:
    return lambda data, clips: data[: size(data, clips)]


CUTS = {
    "at a sample's edge": cut_to(lambda data, clips: clips[2]),
    "inside a sample, behind its first member": cut_to(lambda data, clips: clips[2] + BLOCK * 4),
    "inside a header": cut_to(lambda data, clips: clips[2] + 100),
    "inside data": cut_to(lambda data, clips: clips[3] + 5000),
    "closing blocks missing": cut_to(lambda data, clips: len(data.rstrip(b"\0")) // BLOCK * BLOCK + BLOCK),
    "empty": cut_to(lambda data, clips: 0),
    "a block changed to zeros": lambda data, clips: data[: clips[1]] + bytes(BLOCK) + data[clips[1] + BLOCK :],
    "an error page": lambda data, clips: b"<Error><Code>AccessDenied</Code></Error>",
}


@pytest.mark.parametrize("name", CUTS)
def test_every_cut_raises_with_and_without_an_index(name: str, place: str, shards: Path, s3: S3Server) -> None:
    """The rows of a table in which every other reader loses clips without a word."""
    record = Dataset(shards).of_split("train")[0]
    data = CUTS[name]((shards / NAME).read_bytes(), offsets_of(shards, record))
    obstore.put(s3.client("dataset"), f"cut/{NAME}", data)
    store = open_store("s3://dataset/cut")
    with pytest.raises(ShardError, match=r"clips-train-000000\.tar"):
        list(read_clips(store, record))
    with pytest.raises(ShardError, match=r"clips-train-000000\.tar"):
        with open_store("s3://dataset/cut").stream(NAME, 0, len(data)) as file:
            list(iter_clips(file, NAME))


@pytest.mark.parametrize("where", ["sample", "header", "data"])
@pytest.mark.parametrize("kind", ["fin", "rst"])
def test_a_server_that_hangs_up_early_loses_nothing(
    where: str, kind: str, places: dict[str, str], shards: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server promises all and hangs up, once or always, at an edge or not."""
    for variable, value in s3.environment().items():
        monkeypatch.setenv(variable, value)
    record = Dataset(shards).of_split("train")[0]
    after = offsets_of(shards, record)[2] + {"sample": 0, "header": 100, "data": 2000}[where]
    proxy = FaultyProxy(("127.0.0.1", s3.port))
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
    store = open_store(places["s3"], retry=HASTY)

    def once(request: Request) -> Fault | None:
        return Fault(kind, after) if NAME in request.path and "=0-" in request.headers.get("range", "") else None

    proxy.reset(once)
    assert contents(store, record) == contents(shards, record)
    proxy.reset(lambda request: Fault(kind, 3) if "range" in request.headers else None)
    found = []
    with pytest.raises(StoreUnreachableError, match="gave up"):
        found += read_clips(store, record)
    proxy.close()
    assert not found


def test_a_shard_that_is_gone_raises(place: str, places: dict[str, str], s3: S3Server) -> None:
    record = Dataset(places["path"]).of_split("test")[0]
    with pytest.raises(ShardTruncatedError, match="is missing; its index says"):
        next(read_clips("s3://dataset/cut", record))


def test_verify_finds_damage_in_a_bucket(shards: Path, s3: S3Server, aws: None, tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(shards, root)
    (root / NAME).write_bytes((root / NAME).read_bytes()[:-10240])
    (root / "test/clips-test-000000.tar").unlink()
    shutil.copy(root / "train/clips-train-000001.tar", root / "train/x.tar")
    (root / "__index__/shards/train-000001.json").write_text("{")
    (root / ".avcorr/work").mkdir(parents=True)
    (root / ".avcorr/work/train-000009.tar").write_bytes(b"123")
    upload(root, s3.make_bucket("damaged"), "clips")

    def codes(place: Root, full: bool) -> list[tuple[str, str, str]]:
        return sorted((p.path, p.code, p.key) for p in verify(place, full=full, workers=2))

    for full in (False, True):
        found = codes("s3://damaged/clips", full)
        assert found == codes(root, full)
        assert {"size", "missing_shard", "extra_shard", "record", "work"} <= {code for _, code, _ in found}


def test_the_commands_run_from_a_bucket(
    place: str, places: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("verify", place, "--full", "--workers", 1) == 0
    assert "all well: 3 shards, 12 clips (every byte)" in capsys.readouterr().out
    assert command("info", place, "--json") == 0
    assert json.loads(capsys.readouterr().out)["root"] == place
    losses = []
    for root in (place, places["path"]):
        run = tmp_path / f"run{len(losses)}"
        assert command("train", "--shards", root, "--run", run, settings=TINY) == 0
        assert command("eval", "--run", run, "--shards", root) == 0
        lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
        losses.append([(line["step"], line["loss"]) for line in lines])
    assert losses[0] == losses[1]
    assert command("report", "--run", tmp_path / "run0") == 0


def test_workers_draw_the_same_pairs_from_a_bucket(places: dict[str, str], aws: None) -> None:
    """By default they are not forked from this process, which has read the index from the bucket."""
    settings = PairSettings(frame_size=32, workers=2)
    batches = {}
    for name in ("path", "s3"):
        dataset = PairDataset(places[name], settings, batch_size=8, seed=1)
        batches[name] = [[column.tolist() for column in batch] for batch in islice(MomentLoader(dataset), 4)]
    assert batches["path"] == batches["s3"]


@pytest.mark.parametrize("words", [["verify"], ["info"], ["train", "--run", "r", "--shards"]])
def test_a_wrong_place_is_one_line(words: list[str], aws: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(*words, "s3://nobucket/x") == 1
    said = capsys.readouterr().err
    assert said.startswith("error: there is no bucket 'nobucket'") and len(said.splitlines()) == 1
    assert command(*words, "ftp://nobucket/x") == 1
    assert "begins with ftp://" in capsys.readouterr().err


def test_repair_wants_a_folder() -> None:
    with pytest.raises(SystemExit) as stop:
        program.main(["repair", "s3://dataset/clips"])
    assert stop.value.code == 2
