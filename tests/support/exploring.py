"""A real avcorr explore on loopback, over a small dataset of its own, for the tests of it."""

import csv
import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from avcorr.pipeline.packing.pack import pack
from avcorr.pipeline.settings import ShardSettings
from avcorr.pipeline.sources.find import find_sources

ROOT = Path(__file__).parents[2]
HOSTILE_LABEL = "<img src=x onerror=alert(1)>"
PICTURES = ("mandelbrot=size=128x96:rate=10", "testsrc2=size=128x96:rate=10", "smptebars=size=128x96:rate=10",
            "rgbtestsrc=size=128x96:rate=10", "cellauto=size=128x96:rate=10:rule=110",
            "life=size=128x96:rate=10:seed=1",
            "sierpinski=size=128x96:rate=10", "gradients=size=128x96:rate=10:seed=3",
            "testsrc=size=128x96:rate=10", "color=c=teal:size=128x96:rate=10")  # fmt: skip
SOUNDS = ("sine=frequency=300", "anoisesrc=seed=1:amplitude=0.3", "sine=frequency=2500")
UPLOAD_MB = 2


@dataclass(frozen=True)
class Explored:
    """A server that runs, and what it serves."""

    url: str
    process: subprocess.Popen[str]
    run: Path
    shards: Path

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 0

    def send(
        self, place: str, method: str = "GET", body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes, Mapping[str, str]]:
        """Send the path as it stands, and return status, body and headers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=100)
        try:
            connection.request(method, place, body, dict(headers or {}))
            answer = connection.getresponse()
            return answer.status, answer.read(), dict(answer.getheaders())
        finally:
            connection.close()

    def ask(self, place: str, **values: Any) -> Any:
        """Return a good answer."""
        status, body, _ = self.send(f"/api/{place}?{urlencode(values, doseq=True)}")
        assert status == 200, body
        return json.loads(body)

    def upload(self, data: bytes, name: str = "file") -> tuple[int, Any]:
        headers = {"Content-Type": "application/octet-stream"}
        status, body, _ = self.send(f"/api/upload?{urlencode({'name': name})}", "POST", data, headers)
        return status, json.loads(body)


def make_dataset(folder: Path, ffmpeg: str) -> Path:
    """Pack ten labelled videos that neither look nor sound alike; return the root."""
    rows = []
    for number in range(10):
        path = folder / f"video{number}.mp4"
        words = [ffmpeg, "-v", "error", "-nostdin", "-f", "lavfi", "-i", PICTURES[number],
                 "-f", "lavfi", "-i", SOUNDS[number % len(SOUNDS)], "-t", "3", "-c:v", "libx264",
                 "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac", "-ar", "16000", str(path)]  # fmt: skip
        subprocess.run(words, check=True, stdin=subprocess.DEVNULL)
        label = HOSTILE_LABEL if number == 3 else ("tone", "noise", "whistle")[number % 3]
        rows.append([path.name, label, "test" if number % 3 == 2 else "train", 0, 3])
    with (folder / "videos.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "label", "split", "start", "duration"], *rows])
    settings = ShardSettings(short_side=48, clips_per_shard=4, clip_seconds=3.0)
    assert pack(find_sources(folder / "videos.csv"), folder / "shards", settings, workers=2).packed == 10
    return folder / "shards"


@contextmanager
def explore(run: Path, shards: Path, *options: str) -> Iterator[Explored]:
    """Start it on a free port, and end it with Ctrl-C, which it has to obey."""
    words = [sys.executable, "run.py", "explore", "--run", str(run), "--port", "0", *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (run / "explore.log").open("w") as log:
        process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert ": http://" in line, (line, (run / "explore.log").read_text())
        yield Explored(line.rstrip().rpartition(": ")[2], process, run, shards)
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 130
    finally:
        process.kill()
        process.communicate()
