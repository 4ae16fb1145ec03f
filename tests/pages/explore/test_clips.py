"""The parts behind the page: clips from a bucket, damaged shards, models that localise."""

import io
import json
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from werkzeug.test import Client

from avcorr.model.embedding.embedder import Embedder, load_embedder
from avcorr.pages.explore.clips import Clips
from avcorr.pages.explore.errors import BusyError, ExploreError, UnknownError
from avcorr.pages.explore.explorer import Explorer
from avcorr.pages.explore.serve import address, is_local
from avcorr.pages.explore.uploads import AT_ONCE, KEPT, WAITING, Uploads
from avcorr.pages.explore.web import Application
from avcorr.retrieval.embed_dataset import embed_dataset
from avcorr.retrieval.embeddings import EmbeddingFolder
from avcorr.retrieval.search import Searcher
from avcorr.retrieval.vectors import build_index
from avcorr.shards.errors import ShardTruncatedError
from avcorr.shards.stores.open import open_store
from tests.conftest import MakeVideo
from tests.support.commands import TINY, command
from tests.support.servers import S3Server


@pytest.fixture(scope="module")
def searcher(embedded: Path) -> Searcher:
    return Searcher(EmbeddingFolder(embedded))


def test_only_the_bytes_that_are_asked_for_come_from_a_bucket(
    shards: Path, searcher: Searcher, s3: S3Server, aws: None
) -> None:  # fmt: skip
    bucket = s3.make_bucket("explored")
    for path in shards.rglob("*"):
        if path.is_file():
            bucket.put(path.relative_to(shards).as_posix(), path.read_bytes())
    store = open_store("s3://explored")
    near, far = Clips(open_store(shards), searcher.embeddings), Clips(store, searcher.embeddings)
    for key in searcher.embeddings.keys[::3]:
        far.timeline(key)
        before = store.traffic.bytes
        assert far.frame(key, 3) == near.frame(key, 3)
        np.testing.assert_array_equal(far.sound(key, 8000, 24000), near.sound(key, 8000, 24000))
        assert store.traffic.bytes - before < 40_000  # a JPEG and 32 kB of sound, of a clip of some 150 kB


def test_a_damaged_shard_is_told_and_the_others_are_shown(
    shards: Path, searcher: Searcher, embedder: Embedder, tmp_path: Path
) -> None:  # fmt: skip
    root = tmp_path / "root"
    shutil.copytree(shards, root)
    embeddings = searcher.embeddings
    clips = Clips(open_store(root), embeddings)
    bad = embeddings.parts[0]
    path = next(root.rglob(f"clips-{bad}.tar"))
    path.write_bytes(path.read_bytes()[:-5000])
    broken = embeddings.keys[0]
    with pytest.raises(ShardTruncatedError):
        clips.frame(broken, 0)
    client = Client(Application(Explorer("run", searcher, clips, embedder, 10**6)))
    answer = client.get(f"/clip/{broken}/frame.jpg?time=1")
    assert answer.status_code == 502 and "copy or make it again" in answer.json["error"]
    assert client.get(f"/clip/{embeddings.keys[-1]}/frame.jpg?time=1").status_code == 200
    assert client.get(f"/api/search?query={broken}&to=audio").status_code == 200


def test_the_shards_have_to_be_those_that_were_embedded(
    searcher: Searcher, videos: Path, tmp_path: Path, shards: Path
) -> None:  # fmt: skip
    sizes = ["shard.short_side=40", "shard.clips_per_shard=4", "shard.clip_seconds=3"]
    assert command("shard", "--source", videos, "--out", tmp_path / "other", settings=sizes) == 0
    with pytest.raises(ExploreError, match="is another than was embedded: the embeddings in .* are of other shards"):
        Clips(open_store(tmp_path / "other"), searcher.embeddings)
    clips = Clips(open_store(shards), searcher.embeddings)
    for ask in (lambda: clips.timeline("x"), lambda: clips.frame(searcher.embeddings.keys[0], 99)):
        with pytest.raises(UnknownError):
            ask()


def test_where_the_sound_is(shards: Path, tmp_path: Path) -> None:
    """A model that localises gives a map over its crop, and neither it nor its search pretends to a shared space."""
    run = tmp_path / "run"
    config = Path(__file__).parents[3] / "configs" / "avenet.yaml"
    kept = ("shard", "pairs", "model.width", "train.batch", "train.device", "train.prec", "train.log", "train.check")
    small = [text for text in TINY if text.startswith(kept)]
    small += [
        "model.localise=true",
        "pairs.aligned=false",
        "train.steps=1",
        "train.warmup_steps=0",
        "pairs.frame_size=48",
    ]
    assert command("train", "--shards", shards, "--run", run, "--config", config, settings=small) == 0
    embedder = load_embedder(run, device="cpu")
    embed_dataset(shards, embedder, run / "embeddings", views=2)
    build_index(run / "embeddings")
    searcher = Searcher(EmbeddingFolder(run / "embeddings"))
    explorer = Explorer("run", searcher, Clips(open_store(shards), searcher.embeddings), embedder, 10**6)
    assert explorer.about["localises"] and not explorer.about["shared_space"]
    a, b = searcher.embeddings.keys[:2]
    found = explorer.pair(a, 4, b, 1.0)
    assert max(map(max, found["map"])) == pytest.approx(found["probability"], abs=1e-3)  # the best place decides
    left, top, width, height = found["crop"]
    assert (width, height) == (48 / 64, 1.0) and top == 0 and 0 < left < 1 - width
    client = Client(Application(explorer))
    assert client.get(f"/api/search?query={a}&by=image&to=audio").status_code == 422
    assert client.get(f"/api/search?query={a}&by=image&to=image").status_code == 200


def memory_files() -> list[str]:
    """Return the files of this process that lie in memory; what else it has open is others' concern."""
    links = []
    for path in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            links.append(os.readlink(path))
    return sorted(link for link in links if "memfd:" in link)


def test_of_uploads_only_vectors_are_kept_and_not_for_ever(embedder: Embedder, make_video: MakeVideo, tmp_path: Path,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr("avcorr.pages.explore.uploads.KEPT", 2)
    video = make_video(tmp_path / "a.mp4").read_bytes()
    uploads = Uploads(embedder, 10**6)
    kept = memory_files()
    first, query = uploads.add(io.BytesIO(video), "a.mp4")
    assert uploads.add(io.BytesIO(video), "b.mp4")[0] == first and query.name == "a.mp4"
    for size in (1, 2):
        uploads.add(io.BytesIO(video + bytes(size)), "c.mp4")
    with pytest.raises(UnknownError, match="drop it again"):
        uploads.get(first)
    assert memory_files() == kept and KEPT > 2
    with pytest.raises(ExploreError, match=r"larger than 1 MB"):
        uploads.add(io.BytesIO(bytes(10**6 + 1)), "d.mp4")
    for _ in range(AT_ONCE + WAITING):
        uploads._places.acquire()
    with pytest.raises(BusyError):
        uploads.add(io.BytesIO(video), "e.mp4")


def test_a_server_that_others_reach_answers_to_any_name(
    searcher: Searcher, shards: Path, embedder: Embedder
) -> None:  # fmt: skip
    clips = Clips(open_store(shards), searcher.embeddings)
    explorer = Explorer("run", searcher, clips, embedder, 10**6)
    elsewhere: Any = {"headers": {"Host": "gpu7.example:7860"}}
    assert Client(Application(explorer)).get("/api/about", **elsewhere).status_code == 403
    assert Client(Application(explorer, ())).get("/api/about", **elsewhere).status_code == 200
    for host, status in (("[::1]:7860", 200), ("LOCALHOST", 200), ("127.0.0.1.evil.example", 403), ("x@localhost", 403),
                         ("[::1", 403), ("evil.example@localhost:80", 403)):  # fmt: skip
        answer = Client(Application(explorer)).get("/api/about", headers={"Host": host})
        assert answer.status_code == status, host
    assert [is_local(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "::", "gpu7")] == [True] * 3 + [
        False
    ] * 3
    assert address("::1", 80) == "http://[::1]:80/" and address("localhost", 7860) == "http://localhost:7860/"


def test_an_error_of_ours_does_not_end_the_server(
    searcher: Searcher, shards: Path, embedder: Embedder, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    explorer = Explorer("run", searcher, Clips(open_store(shards), searcher.embeddings), embedder, 10**6)
    client = Client(Application(explorer))
    monkeypatch.setattr(explorer, "clip", lambda key: 1 / 0)
    answer = client.get("/api/clip/x")
    assert answer.status_code == 500 and json.loads(answer.data)["error"].startswith("this went wrong in the server")
    assert "ZeroDivisionError" in caplog.text and "ZeroDivisionError" not in answer.text
