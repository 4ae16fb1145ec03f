"""Media made for the tests by the real ffmpeg, and shards made of them by the real packer."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import obstore
import pytest

from avcorr.model.embedding.embedder import Embedder, load_embedder
from avcorr.pipeline.decoding.ffmpeg import find_ffmpeg
from avcorr.pipeline.packing.pack import pack
from avcorr.pipeline.settings import ShardSettings
from avcorr.pipeline.sources.find import find_sources
from avcorr.retrieval.embed_dataset import embed_dataset
from avcorr.retrieval.vectors import build_index
from avcorr.shards.exports.dali import write_dali
from avcorr.shards.exports.energon import write_energon
from tests.support.commands import TINY, command
from tests.support.exploring import UPLOAD_MB, Explored, explore, make_dataset
from tests.support.proxy import FaultyProxy
from tests.support.servers import S3Server, s3_server

MakeVideo = Callable[..., Path]
ROOT = Path(__file__).parents[1]
# Processes that tests start import this checkout, too, whatever is installed.
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])])
# A shell that runs the tests in its background ignores Ctrl-C for them, and so would the programs that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
# So does one that ignores a hang-up (nohup) or a quit.
for number in (signal.SIGHUP, signal.SIGQUIT):
    signal.signal(number, signal.SIG_DFL)


@pytest.fixture(scope="session")
def ffmpeg() -> str:
    """The ffmpeg that imageio-ffmpeg ships."""
    return find_ffmpeg()


@pytest.fixture(scope="session")
def make_video(ffmpeg: str) -> MakeVideo:
    """Return a function that makes a small real video with sound: a test picture and a tone."""

    def make(
        path: Path,
        *,
        seconds: float = 3.0,
        rate: int = 10,
        size: str = "128x96",
        tone: int = 440,
        extra: tuple[str, ...] = (),
    ) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        command = [
            ffmpeg, "-v", "error", "-nostdin", "-y",
            "-f", "lavfi", "-i", f"testsrc2=size={size}:rate={rate}:duration={seconds}",
            "-f", "lavfi", "-i", f"sine=frequency={tone}:sample_rate=16000:duration={seconds}",
            "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac", *extra, f"file:{path}",
        ]  # fmt: skip
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        return path

    return make


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory, make_video: MakeVideo) -> Path:
    """A folder of twelve videos of three seconds, in two splits."""
    folder = tmp_path_factory.mktemp("videos")
    for number in range(12):
        split = "test" if number % 3 == 2 else "train"
        make_video(folder / split / f"clip{number:02d}.mp4", tone=200 + 100 * number)
    return folder


SMALL = ShardSettings(short_side=48, clips_per_shard=4, clip_seconds=3.0)
"""Settings of the shards that the tests share."""


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory, videos: Path) -> Path:
    """A dataset of the twelve videos; tests that damage it copy it first."""
    root = tmp_path_factory.mktemp("shards") / "root"
    summary = pack(find_sources(videos), root, SMALL, workers=2)
    assert (summary.inputs, summary.packed, summary.failed) == (12, 12, 0)
    return root


@pytest.fixture(scope="session")
def one_shard(tmp_path_factory: pytest.TempPathFactory, videos: Path) -> Path:
    """A dataset of one split and one shard of four clips, as a first try with a few videos has."""
    folder = tmp_path_factory.mktemp("one_shard")
    shutil.copytree(videos / "test", folder / "videos" / "train")
    summary = pack(find_sources(folder / "videos"), folder / "root", SMALL, workers=1)
    assert (summary.inputs, summary.packed, summary.failed) == (4, 4, 0)
    return folder / "root"


@pytest.fixture(scope="session")
def one_clip(tmp_path_factory: pytest.TempPathFactory, make_video: MakeVideo) -> Path:
    """A dataset of one clip, in the split train."""
    folder = tmp_path_factory.mktemp("one_clip")
    make_video(folder / "videos" / "train" / "clip.mp4")
    summary = pack(find_sources(folder / "videos"), folder / "root", SMALL, workers=1)
    assert (summary.inputs, summary.packed, summary.failed) == (1, 1, 0)
    return folder / "root"


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory, shards: Path) -> Path:
    """The shards with all that other loaders read."""
    root = tmp_path_factory.mktemp("exported") / "root"
    shutil.copytree(shards, root)
    write_energon(root)
    write_dali(root)
    return root


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real S3 server on loopback."""
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(scope="session")
def proxy_of_clips(shards: Path, s3: S3Server) -> Iterator[FaultyProxy]:
    """A proxy before the S3 server, which has the shards at s3://stages/clips."""
    client = s3.make_bucket("stages")
    for path in shards.rglob("*"):
        if path.is_file():
            obstore.put(client, f"clips/{path.relative_to(shards).as_posix()}", path)
    proxy = FaultyProxy(("127.0.0.1", s3.port))
    yield proxy
    proxy.close()


@pytest.fixture
def through(proxy_of_clips: FaultyProxy, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> FaultyProxy:
    """That proxy, doing no harm yet, and what a user sets to go through it."""
    for name, value in s3.environment(proxy_of_clips.url).items():
        monkeypatch.setenv(name, value)
    proxy_of_clips.reset(lambda request: None)
    return proxy_of_clips


@pytest.fixture
def aws(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set what a user sets to reach the S3 server."""
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory, shards: Path) -> Path:
    """A tiny model after six steps on the shards."""
    folder = tmp_path_factory.mktemp("small") / "run"
    assert command("train", "--shards", shards, "--run", folder, settings=TINY) == 0
    return folder


@pytest.fixture(scope="session")
def embedder(small_run: Path) -> Embedder:
    """The tiny model, in use."""
    return load_embedder(small_run, device="cpu")


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory, shards: Path, embedder: Embedder) -> Path:
    """Its embeddings of the shards, three views a clip, with an index."""
    folder = tmp_path_factory.mktemp("embedded")
    assert embed_dataset(shards, embedder, folder, views=3, batch_size=5) == (12, 36)
    build_index(folder)
    return folder


@pytest.fixture(scope="session")
def explored(tmp_path_factory: pytest.TempPathFactory, ffmpeg: str) -> Iterator[Explored]:
    """A real avcorr explore over ten clips that differ; it makes the embeddings first."""
    folder = tmp_path_factory.mktemp("explored")
    root = make_dataset(folder, ffmpeg)
    assert command("train", "--shards", root, "--run", folder / "run", settings=TINY) == 0
    with explore(folder / "run", root, "--shards", str(root), "--upload-mb", str(UPLOAD_MB)) as server:
        yield server
