"""Sharding into a bucket: the same bytes as on a disk, also after kills and faults, and nothing half-made is seen."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import obstore
import pytest

from avcorr.shards.checks.dataset_check import verify
from avcorr.shards.errors import ShardFormatError, StoreError
from avcorr.shards.store import RetryPolicy
from avcorr.shards.stores.bucket import Bucket
from avcorr.shards.stores.open import open_store
from tests.support.commands import command
from tests.support.proxy import Fault, FaultyProxy
from tests.support.servers import S3Server

ROOT = Path(__file__).parents[3]
VARYING = {"seconds": 0, "stderr": ""}
"""What two runs tell differently of one input: ffmpeg's messages have addresses in them."""
HALF_MADE = {"size", "end", "unreadable", "checksum", "record", "count", "table"}
"""Problems that no kill may leave; what is not there yet is another matter."""
SETTINGS = ["shard.short_side=48", "shard.clips_per_shard=2", "shard.clip_seconds=3.0"]


def contents(place: str) -> dict[str, str]:
    """Return the checksum of every file of a dataset that does not tell where and when it was made."""
    store = open_store(place)
    names = [name for name in store.list("") if not name.startswith(".avcorr/")]
    found = dict(zip(names, store.read_all(names, 1 << 23), strict=True))
    rows = [json.loads(line) for line in found.pop("__index__/ledger.jsonl").splitlines()]
    found["ledger"] = json.dumps([{**row, **VARYING} for row in rows]).encode()
    for name in names:
        if name.startswith("__index__/shards/") and name.endswith(".json"):
            record = json.loads(found[name])
            record["ledger"] = [{**row, **VARYING} for row in record["ledger"]]
            found[name] = json.dumps(record).encode()
    return {name: hashlib.sha256(data).hexdigest() for name, data in sorted(found.items())}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory, videos: Path) -> Path:
    folder = tmp_path_factory.mktemp("some")
    for path in sorted(videos.rglob("*.mp4"))[:10]:
        (folder / path.parent.name).mkdir(exist_ok=True)
        (folder / path.parent.name / path.name).symlink_to(path)
    (folder / "train" / "bad.mp4").write_bytes(b"nothing")
    return folder


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory, sources: Path) -> dict[str, str]:
    """The files of a dataset made on a disk."""
    root = tmp_path_factory.mktemp("local") / "root"
    assert command("shard", "--source", sources, "--out", root, "--energon", settings=SETTINGS) == 0
    return contents(str(root))


@pytest.fixture
def proxy(s3: S3Server, aws: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    proxy = FaultyProxy(("127.0.0.1", s3.port))
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
    yield proxy
    proxy.close()


@pytest.fixture
def bucket(s3: S3Server, request: pytest.FixtureRequest) -> str:
    name = "w" + hashlib.sha256(request.node.name.encode()).hexdigest()[:12]
    s3.make_bucket(name)
    return f"s3://{name}/a/prefix"


def shard(sources: Path, bucket: str, work: Path, *more: object) -> int:
    return command("shard", "--source", sources, "--out", bucket, "--work", work, "--energon", *more, settings=SETTINGS)


def test_a_bucket_gets_what_a_folder_would(
    sources: Path, local: dict[str, str], bucket: str, aws: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shard(sources, bucket, tmp_path / "work") == 0
    assert "inputs 11 = packed 10 + failed 1" in capsys.readouterr().out
    assert contents(bucket) == local
    assert list(verify(bucket, full=True)) == []
    assert not list((tmp_path / "work").rglob("*.tar"))
    assert not (tmp_path / "work" / ".avcorr").exists()


def test_the_manifest_is_last_and_nothing_is_sent_twice(
    sources: Path, bucket: str, proxy: FaultyProxy, tmp_path: Path
) -> None:
    assert shard(sources, bucket, tmp_path / "work") == 0
    written = [r.path.partition("?")[0] for r in proxy.requests if r.method == "PUT" or "uploadId" in r.path]
    assert written[-1].endswith("/__index__/index.json") and written[0].endswith("/__index__/dataset.json")
    order = [name for name in dict.fromkeys(written) if "train-000000" in name]
    assert [name.rpartition(".")[2] for name in order] == ["tar", "parquet", "json", "idx"]
    for work in ("work", "elsewhere"):  # the second time on a machine that knows nothing of the first
        proxy.reset(lambda request: None)
        assert shard(sources, bucket, tmp_path / work) == 0
        assert [r.path for r in proxy.requests if r.method in ("PUT", "POST", "DELETE")] == []


def test_it_goes_on_after_kills(
    sources: Path, local: dict[str, str], bucket: str, s3: S3Server, aws: None, tmp_path: Path
) -> None:
    """Killed at six moments, half of them with another work folder afterwards, as on another machine."""
    words = ["shard", "--source", sources, "--out", bucket, "--energon", "--workers", 1]
    words += [word for setting in SETTINGS for word in ("--set", setting)]
    for number in range(6):
        work = tmp_path / f"work{number // 2}"
        process = subprocess.Popen(
            [sys.executable, "run.py", *map(str, words), "--work", str(work)], cwd=ROOT, stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        end = time.monotonic() + 20
        while process.poll() is None and time.monotonic() < end and _shards_in(bucket, s3) < number:
            time.sleep(0.01)
        time.sleep(0.02 * number)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for problem in verify(bucket) if _shards_in(bucket, s3) else ():
            assert problem.code not in HALF_MADE, problem
    assert shard(sources, bucket, tmp_path / "work2") == 0
    assert contents(bucket) == local


def _shards_in(bucket: str, s3: S3Server) -> int:
    _, _, name, prefix = bucket.split("/", 3)
    pages = obstore.list(s3.client(name), prefix)
    return sum(meta["path"].endswith(".tar") for page in pages for meta in page)


def test_faults_while_writing_are_outlived(
    sources: Path, local: dict[str, str], bucket: str, proxy: FaultyProxy, tmp_path: Path
) -> None:
    faults = [Fault("status"), None, Fault("rst"), None, None, Fault("status", text="500 Internal Server Error")]
    proxy.reset(lambda request: faults[request.number % len(faults)])
    assert shard(sources, bucket, tmp_path / "work") == 0
    proxy.reset(lambda request: None)
    assert contents(bucket) == local


def test_an_input_that_works_later_is_added_to_its_shard(
    sources: Path, bucket: str, aws: None, tmp_path: Path, videos: Path
) -> None:
    folder = tmp_path / "videos"
    shutil.copytree(sources, folder, symlinks=True)
    assert shard(folder, bucket, tmp_path / "work") == 0
    (folder / "train" / "bad.mp4").unlink()
    shutil.copy(sorted(videos.rglob("*.mp4"))[-1], folder / "train" / "bad.mp4")
    assert shard(folder, bucket, tmp_path / "elsewhere", "--retry", "not_media") == 0
    assert list(verify(bucket, full=True)) == []
    assert command("shard", "--source", folder, "--out", tmp_path / "root", "--energon", settings=SETTINGS) == 0
    made, expected = contents(bucket), contents(str(tmp_path / "root"))
    assert {name for name in made if made[name] != expected[name]} <= {"ledger"} | {
        name for name in made if name.startswith("__index__/shards/") and name.endswith(".json")
    }  # which say that it took two attempts


def test_a_shard_that_is_gone_from_the_bucket_is_made_again(
    sources: Path, local: dict[str, str], bucket: str, s3: S3Server, aws: None, tmp_path: Path
) -> None:
    assert shard(sources, bucket, tmp_path / "work") == 0
    Bucket(bucket).delete("train/clips-train-000001.tar")
    assert shard(sources, bucket, tmp_path / "work") == 0
    assert contents(bucket) == local


def test_another_dataset_is_not_overwritten(
    sources: Path, bucket: str, aws: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shard(sources, bucket, tmp_path / "work") == 0
    before = contents(bucket)
    other = [*SETTINGS, "shard.seed=5"]
    words = ["shard", "--source", sources, "--out", bucket]
    assert command(*words, "--work", tmp_path / "elsewhere", settings=other) == 1
    assert "another configuration" in capsys.readouterr().err
    assert command("shard", "--source", sources, "--out", tmp_path / "mine", settings=other) == 0
    assert command(*words, "--work", tmp_path / "mine", settings=other) == 1
    assert "holds another dataset than the work folder" in capsys.readouterr().err
    Bucket(bucket).put("foreign/train/x.tar", b"x")
    assert command("shard", "--source", sources, "--out", f"{bucket}/foreign", "--work", tmp_path / "new") == 1
    assert "not of this program" in capsys.readouterr().err
    assert contents(bucket).items() >= before.items()


@pytest.mark.parametrize(
    ("out", "said"),
    [
        ("s3://nobucket/x", "there is no bucket 'nobucket'"),
        ("https://127.0.0.1/x", "cannot be written to"),
        ("ftp://x/y", "begins with ftp://"),
    ],
)
def test_a_wrong_out_is_one_line(
    out: str, said: str, sources: Path, aws: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shard(sources, out, tmp_path / "work") == 1
    error = capsys.readouterr().err.splitlines()
    assert said in error[-1] and error[-1].startswith("error: ")


def test_an_object_with_a_wrong_checksum_never_appears(bucket: str, proxy: FaultyProxy, tmp_path: Path) -> None:
    """20 MB in parts; the last byte changed on the disk after the checksum was taken."""
    path = tmp_path / "shard.tar"
    path.write_bytes(os.urandom(20_000_000))
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    with path.open("r+b") as file:
        file.seek(-1, 2)
        last = file.read(1)
        file.seek(-1, 2)
        file.write(bytes([last[0] ^ 1]))
    place = Bucket(bucket, RetryPolicy(attempts=2))
    with pytest.raises(ShardFormatError, match="is not what was packed"):
        place.put_file("shard.tar", path, checksum)
    with pytest.raises(StoreError, match="interrupted"):
        place.put_file("shard.tar", path, checksum, lambda: False)
    assert place.objects() == {}
    sent = [request.method for request in proxy.requests]
    assert sent.count("DELETE") == 2  # whatever parts were sent are dropped
    path.write_bytes(bytes(20_000_000))
    place.put_file("shard.tar", path, hashlib.sha256(bytes(20_000_000)).hexdigest())
    assert place.objects()["shard.tar"][0] == 20_000_000
