"""What is served, what is not, and what the server survives, over loopback."""

import io
import json
import random
import socket
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from avcorr.model.embedding.embedder import load_embedder
from avcorr.pipeline.moments.views import decode_frames
from avcorr.shards.dataset import Dataset
from avcorr.shards.reader import read_clips
from tests.conftest import MakeVideo
from tests.support import hostile
from tests.support.commands import command
from tests.support.exploring import HOSTILE_LABEL, UPLOAD_MB, Explored
from tests.support.heic import Heic

Clips = Mapping[str, Any]


@pytest.fixture(scope="module")
def clips(explored: Explored) -> Clips:
    """The clips as they lie in the shards, by key."""
    index = Dataset(explored.shards)
    return {clip.key: clip for record in index.shards for clip in read_clips(explored.shards, record)}


def test_it_listens_on_this_machine_only(explored: Explored) -> None:
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    places = [row[1].split(":") for row in rows if row[3] == "0A"]  # that listen
    listening = {host for host, port in places if int(port, 16) == explored.port}
    assert listening == {"0100007F"} and explored.url == f"http://127.0.0.1:{explored.port}/"
    about = explored.ask("about")
    assert (about["clips"], about["step"], about["limit"]) == (10, 6, UPLOAD_MB * 10**6)
    assert str(explored.shards) not in json.dumps(about)
    assert (explored.run / "embeddings" / "embeddings.json").is_file()  # made because it was not there


@pytest.mark.parametrize("place", [
    "/../../etc/passwd", "/%2e%2e/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd", "/explore.css/../../run.py", "/web.py",
    "/explore.html.jinja", "/parts/page.js", "/config.yaml", "/embeddings/embeddings.json", "/..\\..\\run.py", "/%00",
    "/clip/..%2f..%2f..%2fetc%2fpasswd/frame.jpg", "/clip//etc/passwd/sound.wav", "/clip/../config.yaml/frame.jpg",
    "/clip/nothing/frame.jpg", "/clip/nothing/spectrum.png", "/api/clip/%2fetc%2fpasswd",
    "/api/search?query=/etc/passwd",
    "/api/search?query=~../../etc/passwd", "file:///etc/passwd",
    "/api/pair?image=/etc/passwd&audio=x&frame=0&start=0",
])  # fmt: skip
def test_nothing_but_the_clips_is_served(explored: Explored, place: str) -> None:
    status, body, _ = explored.send(place)
    assert status in (400, 404) and b"root:" not in body and b"import" not in body
    assert "error" in json.loads(body)


def test_pages_of_others_may_not_ask(explored: Explored) -> None:
    port, kind = explored.port, {"Content-Type": "application/octet-stream"}
    for headers, method, status in (
        ({"Host": f"evil.example:{port}"}, "GET", 403), ({"Host": ""}, "GET", 403),
        ({"Host": f"localhost:{port}"}, "GET", 200), ({**kind, "Origin": "http://evil.example"}, "POST", 403),
        ({**kind, "Origin": "null"}, "POST", 403), ({"Content-Type": "text/plain"}, "POST", 415), ({}, "POST", 415),
        (kind, "PUT", 405),
    ):  # fmt: skip
        place = "/api/about" if method == "GET" else "/api/upload"
        found, body, answered = explored.send(place, method, b"x" if method != "GET" else None, headers)
        assert found == status, (headers, body)
    assert answered["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self';")
    assert answered["Cross-Origin-Resource-Policy"] == "same-origin" and answered["X-Content-Type-Options"] == "nosniff"


def test_the_frames_and_sounds_are_those_of_the_shards(explored: Explored, clips: Clips) -> None:
    for key, clip in clips.items():
        known = explored.ask(f"clip/{key}")
        assert (known["label"], known["split"]) == (clip.metadata.label, clip.metadata.split)
        assert known["times"] == clip.metadata.frame_times and known["duration"] == clip.metadata.duration
        time = known["times"][4]
        assert explored.send(f"/clip/{key}/frame.jpg?time={time + 0.01}")[1] == bytes(clip.frame(4))
        wave, rate = soundfile.read(io.BytesIO(explored.send(f"/clip/{key}/sound.wav?start=0.5")[1]), dtype="int16")
        assert rate == 16000 and wave.tobytes() == bytes(clip.samples(8000, 24000))
    whole = explored.send(f"/clip/{key}/sound.wav")[1]
    assert soundfile.info(io.BytesIO(whole)).frames == clip.metadata.sample_count
    status, part, headers = explored.send(f"/clip/{key}/sound.wav", headers={"Range": "bytes=100-199"})
    assert (status, part, headers["Content-Range"]) == (206, whole[100:200], f"bytes 100-199/{len(whole)}")
    with Image.open(io.BytesIO(explored.send(f"/clip/{key}/spectrum.png")[1])) as picture:
        assert picture.size == (960, 160) and len(picture.getcolors(10**6)) > 20
    assert HOSTILE_LABEL in {clip.metadata.label for clip in clips.values()}


def test_the_probability_is_the_models(explored: Explored, clips: Clips) -> None:
    embedder = load_embedder(explored.run, device="cpu")
    a, b = sorted(clips)[:2]
    for image, audio, frame, start in ((a, a, 3, 0.4), (a, b, 7, 1.25), (b, a, 0, 0.0), (b, b, 5, 99.0)):
        found = explored.ask("pair", image=image, audio=audio, frame=frame, start=start)
        first = min(round(16000 * start), clips[audio].metadata.sample_count - 16000)
        picture = np.empty((1, 32, 32, 3), np.uint8)
        decode_frames([bytes(clips[image].frame(frame))], np.full((1, 2), 0.5), picture)
        sound = np.frombuffer(bytes(clips[audio].samples(first, first + 16000)), "<i2")
        assert found["probability"] == pytest.approx(float(embedder.probability(picture, sound)[0]), abs=1e-4)
        assert found["map"] is None and found["start"] == first / 16000
        curve = explored.ask("curve", image=image, audio=audio, frame=frame)
        assert len(curve["starts"]) == 9 and curve["starts"][-1] == 2.0
        same = explored.ask("pair", image=image, audio=audio, frame=frame, start=curve["starts"][2])
        assert same["probability"] == pytest.approx(curve["probabilities"][2], abs=1e-4)


def test_whether_a_pair_belongs_together_is_known(explored: Explored, clips: Clips) -> None:
    by_label: dict[str, list[str]] = {}
    for key, clip in sorted(clips.items()):
        by_label.setdefault(clip.metadata.label, []).append(key)
    one, other = by_label["noise"][:2]
    time = clips[one].metadata.frame_times
    for image, audio, frame, start, truth in (
        (one, one, 6, time[6] - 0.5, "match"), (one, one, 0, 2.0, "same_clip"), (one, other, 6, 1.0, "same_class"),
        (one, by_label["tone"][0], 6, 1.0, "other_video"),
    ):  # fmt: skip
        assert explored.ask("pair", image=image, audio=audio, frame=frame, start=start)["truth"] == truth


@pytest.mark.parametrize("place", ["pair?image={key}&audio={key}&frame=999&start=0", "clip/x"])
def test_what_is_not_there_is_not_found(explored: Explored, clips: Clips, place: str) -> None:
    status, body, _ = explored.send("/api/" + place.format(key=next(iter(clips))))
    assert status == 404 and json.loads(body)["error"]


@pytest.mark.parametrize(("place", "status"), [
    ("search", 400), ("search?query={key}&to=smell", 400), ("search?query={key}&top=nan", 400),
    ("search?query={key}&top=-1", 400), ("search?query={key}&label=cat", 422), ("search?query={key}&split=dev", 422),
    ("pair?image={key}&audio={key}&frame=x&start=0", 400), ("pair?image={key}&audio={key}&frame=1&start=1e999", 400),
])  # fmt: skip
def test_questions_without_sense_are_answered(explored: Explored, clips: Clips, place: str, status: int) -> None:
    found, body, _ = explored.send("/api/" + place.format(key=next(iter(clips))))
    assert found == status and json.loads(body)["error"]


def test_an_upload_finds_its_own_clip(explored: Explored, clips: Clips) -> None:
    key = sorted(clips)[0]
    status, known = explored.upload(bytes(clips[key].frame(6)), "frame.jpg")
    assert status == 200 and known["name"] == "frame.jpg" and (known["image"], known["audio"]) == (True, False)
    found = explored.ask("search", query=known["id"], to="image", top=3)
    assert found["hits"][0]["key"] == key and found["query"]["kind"] == "picture"
    only = explored.ask("search", query=known["id"], to="audio", split="test", duplicates=1)
    assert {hit["split"] for hit in only["hits"]} == {"test"}
    assert not explored.ask("search", query=key, to="image", by="image")["hits"][0]["own"]
    own = explored.ask("search", query=key, to="audio", by="image", top=48, duplicates=1)["hits"]
    assert [hit["key"] for hit in own if hit["own"]] == [key]


def test_uploads_are_limited(explored: Explored) -> None:
    much, kind = bytes(UPLOAD_MB * 10**6 + 1), "Content-Type: application/octet-stream"
    assert explored.upload(much[:-1])[0] == 422  # read, and no picture
    status, answer = explored.upload(b"")
    assert status == 422 and answer["error"] == "the file is empty"
    answers = []
    for headers in (f"Content-Length: {len(much)}", "Content-Length: 99999999999999", "Transfer-Encoding: chunked"):
        with socket.create_connection(("127.0.0.1", explored.port), timeout=60) as connection:
            head = f"POST /api/upload HTTP/1.1\r\nHost: localhost\r\n{kind}\r\n{headers}\r\n\r\n"
            connection.sendall(head.encode())
            with suppress(ConnectionError):  # it may have heard enough before all is sent
                for _ in range(60 if "chunked" in headers else 0):
                    connection.sendall(b"10000\r\n" + bytes(0x10000) + b"\r\n")
                answers.append(connection.recv(100))
    assert len(answers) >= 2 and all(b" 413 " in answer for answer in answers)
    assert explored.ask("about")["clips"] == 10


def test_hostile_files_are_refused_by_their_names(explored: Explored, tmp_path: Path, make_video: MakeVideo) -> None:
    video, chance = make_video(tmp_path / "good.mp4").read_bytes(), random.Random(0)
    wide = io.BytesIO()
    Image.new("1", (20000, 20000)).save(wide, "PNG")
    bad = {
        "text.txt": b"hello", "list.m3u8": b"#EXTM3U\nfile:///etc/passwd\n", "picture.jpg": b"\xff\xd8\xff",
        "concat.txt": b"ffconcat version 1.0\nfile /etc/passwd\n", "bomb.png": wide.getvalue(),
        "drawing.svg": b"<svg xmlns='http://www.w3.org/2000/svg'><image href='/etc/passwd'/></svg>",
        "header.mp4": video[:100], "noise.bin": chance.randbytes(100_000),
        "vast.mp4": hostile.widen(video, 65536, 65536), "../../etc/passwd": b"\0" * 64, "<b>\r\n\0.png": b"\x89PNG",
    }  # fmt: skip
    for name, data in bad.items():
        status, answer = explored.upload(data, name)
        shown = "".join(letter for letter in name if letter.isprintable())
        assert status == 422 and shown in answer["error"] and "/proc/" not in answer["error"], (name, answer)
        assert "root:" not in answer["error"]
    for _ in range(6):
        for harm in (hostile.cut, lambda data, chance: hostile.flip(data, chance, 50)):
            assert explored.upload(harm(video, chance), "harmed.mp4")[0] in (200, 422)
    assert explored.upload(hostile.claim(video, 10**6), "long.mp4")[0] in (200, 422)
    status, known = explored.upload(video, "good.mp4")
    assert status == 200 and known["kind"] == "video" and explored.process.poll() is None


def test_a_short_upload_is_filled_up(explored: Explored, tmp_path: Path, make_video: MakeVideo) -> None:
    status, known = explored.upload(_wav(0.6), "short.wav")
    assert status == 200 and (known["kind"], known["filled"]) == ("sound", 0.4)
    assert explored.ask("search", query=known["id"])["query"]["filled"] == 0.4
    status, known = explored.upload(make_video(tmp_path / "short.mp4", seconds=0.9).read_bytes(), "short.mp4")
    assert status == 200 and known["image"] and known["audio"] and 0 < known["filled"] < 0.15
    assert explored.upload(_wav(1.5), "long.wav")[1]["filled"] == 0


def test_a_phones_picture_may_be_dropped(explored: Explored, ffmpeg: str) -> None:
    heic = Heic(ffmpeg)
    data = heic.file(heic.add_grid(Image.effect_mandelbrot((200, 120), (-3, -2.5, 2, 2.5), 90).convert("RGB"), 64))
    status, known = explored.upload(data, "IMG_0001.HEIC")
    assert status == 200 and (known["kind"], known["filled"]) == ("picture", 0)
    status, answer = explored.upload(data[:700], "IMG_0002.HEIC")
    assert status == 422 and answer["error"].startswith("IMG_0002.HEIC cannot be read as a picture")


def _wav(seconds: float) -> bytes:
    data = io.BytesIO()
    soundfile.write(data, np.sin(np.arange(round(16000 * seconds)) / 5), 16000, format="WAV")
    return data.getvalue()


def test_many_ask_at_once(explored: Explored, clips: Clips) -> None:
    """Whoever asks beside others gets the same answer; uploads beyond what is let in are turned away, nothing else."""
    keys = sorted(clips)
    questions: list[tuple[str, dict[str, Any]]] = [
        question for number, key in enumerate(keys) for question in (
            ("search", {"query": key, "to": "audio"}), ("clip/" + key, {}),
            ("pair", {"image": key, "audio": keys[number - 1], "frame": 2, "start": 0.5}),
            ("curve", {"image": key, "audio": keys[number - 1], "frame": 1}),
        )
    ]  # fmt: skip
    alone = [explored.ask(place, **values) for place, values in questions]
    uploads: list[int] = []

    def upload(number: int) -> None:
        uploads.append(explored.upload(_wav(1.5 + number / 100), "sound.wav")[0])

    threads = [threading.Thread(target=upload, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    with ThreadPoolExecutor(6) as executor:  # with the uploads fewer than one address may have
        together = list(executor.map(lambda question: explored.ask(question[0], **question[1]), questions))
    for thread in threads:
        thread.join()
    assert together == alone
    assert len(uploads) == 12 and set(uploads) <= {200, 503} and uploads.count(200) >= 6


def test_what_cannot_be_explored_is_said_in_a_line(
    explored: Explored, small_run: Path, shards: Path, embedded: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    folder, made = explored.run, explored.run / "embeddings"
    for words, message in (
        (["--run", small_run], f"{small_run}/embeddings holds no embeddings yet; say of which dataset"),
        (["--run", small_run, "--index", made], "was made by another model than"),
        (["--run", folder, "--shards", shards], "the embeddings in"),
        (["--run", folder, "--port", explored.port], f"cannot listen on port {explored.port} of 127.0.0.1"),
        (["--run", tmp_path], "no checkpoint"),
    ):
        assert command("explore", *words) == 1
        error = capsys.readouterr().err.splitlines()
        assert error[-1].startswith("error: ") and message in error[-1], error
    with pytest.raises(SystemExit) as usage:
        command("explore", "--run", folder, "--port", 70000)
    assert usage.value.code == 2
