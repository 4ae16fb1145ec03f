"""How many pairs a second one core gets from the same clips through our reader, through others', and from mp4.

    taskset -c 0 python benchmarks/readers.py ROOT --videos DIR [--pairs 3000] [--rounds 3]

ROOT is a dataset made of the videos in DIR. All readers give the same pair: a random frame of a random clip decoded and
cropped to 224 pixels, and one second of sound. Others' formats are written to a temporary folder first, from the clips
in ROOT: webdataset's ordinary layout (one JPEG member a frame, FLAC), and our packed layout with FLAC for litdata and
mosaicml-streaming; Megatron Energon reads our shards. What is not installed is left out and named. CPU seconds of this
process, rounds interleaved. `--only` keeps the readers whose names hold a text, beside the floor.
"""

import argparse
import functools
import io
import itertools
import json
import os
import random
import shutil
import statistics
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

import numpy as np
import soundfile
import torch
import webdataset

from avcorr.pipeline.correspondence.pairs import PairDataset
from avcorr.pipeline.moments.loader import MomentLoader
from avcorr.pipeline.moments.views import decode_frame, decode_frames
from avcorr.pipeline.settings import PairSettings
from avcorr.shards.dataset import Dataset
from avcorr.shards.exports.energon import write_energon
from avcorr.shards.format.clip import Clip
from avcorr.shards.reader import read_clips

SIZE, RATE = 224, 16000
FLOOR = "floor: JPEG decode, crop, PCM slice"
Pairs = Iterator[Any]


def crop(jpeg: bytes) -> np.ndarray:
    """Decode a JPEG and cut a random square."""
    image = decode_frame(jpeg, SIZE)
    top, left = (random.randrange(side - SIZE + 1) for side in image.shape[:2])
    return image[top : top + SIZE, left : left + SIZE].copy()


def choose(times: list[float], duration: float) -> int:
    """Return a random frame whose window lies in the sound."""
    return random.choice([number for number, time in enumerate(times) if 0.5 <= time <= duration - 0.5])


def first_sample(time: float, samples: int) -> int:
    return min(max(round((time - 0.5) * RATE), 0), samples - RATE)


def floor(clips: list[Clip]) -> Pairs:
    """Decode, crop and slice what is in memory already."""
    views = []
    for clip in clips * (1 + 256 // len(clips)):
        number = choose(clip.metadata.frame_times, clip.metadata.duration)
        start = first_sample(clip.metadata.frame_times[number], clip.metadata.sample_count)
        views.append((bytes(clip.frame(number)), bytes(clip.samples(start, start + RATE))))
    rng = np.random.default_rng(0)
    while True:
        batch = random.sample(views, 256)
        frames, audio = np.empty((256, SIZE, SIZE, 3), np.uint8), np.empty((256, RATE), np.int16)
        decode_frames([jpeg for jpeg, _ in batch], rng.random((256, 2)), frames)
        audio[:] = np.frombuffer(b"".join(pcm for _, pcm in batch), "<i2").reshape(audio.shape)
        yield from range(256)


def ours(root: Path, per_clip: int, block_clips: int) -> Pairs:
    """Our loader in this process."""
    settings = PairSettings(per_clip=per_clip, block_clips=block_clips, workers=0)
    for batch in MomentLoader(PairDataset(root, settings, batch_size=256, seed=0)):
        yield from range(len(batch.frames))


def packed(sample: dict[str, Any], per_clip: int) -> Pairs:
    """Draw pairs from a clip of our layout, by its JSON."""
    facts = json.loads(sample["json"])
    for _ in range(per_clip):
        number = choose(facts["frame_times"], facts["duration"])
        start = first_sample(facts["frame_times"][number], facts["sample_count"])
        offsets = facts["frame_offsets"]
        if "wav" in sample:
            sound = np.frombuffer(sample["wav"], "<i2", RATE, 44 + 2 * start).copy()
        else:
            sound, _ = soundfile.read(io.BytesIO(sample["flac"]), RATE, start, dtype="int16")
        yield crop(bytes(sample["mjpg"][offsets[number] : offsets[number + 1]])), sound


def wds_packed(tars: list[str], per_clip: int) -> Pairs:
    """Plain webdataset on our shards."""
    while True:
        for sample in webdataset.WebDataset(tars, shardshuffle=False, empty_check=False):
            yield from packed(sample, per_clip)


def wds_ordinary(tars: list[str], per_clip: int) -> Pairs:
    """Plain webdataset on one JPEG member a frame."""
    while True:
        for sample in webdataset.WebDataset(tars, shardshuffle=False, empty_check=False):
            facts = json.loads(sample["json"])
            for _ in range(per_clip):
                number = choose(facts["frame_times"], facts["duration"])
                start = first_sample(facts["frame_times"][number], facts["sample_count"])
                sound, _ = soundfile.read(io.BytesIO(sample["flac"]), RATE, start, dtype="int16")
                yield crop(sample[f"{number:03d}.jpg"]), sound


def from_samples(read: Callable[[], Any], per_clip: int) -> Pairs:
    """A map-style reader of others, random access."""
    dataset = read()
    while True:
        for number in random.sample(range(len(dataset)), len(dataset)):
            yield from packed(dataset[number], per_clip)


def energon(root: Path, folder: Path, per_clip: int) -> Pairs:
    """Megatron Energon on our shards, one clip behind the other; the pairs are drawn where it cooks a sample."""
    from megatron.energon import (
        Cooker,
        DefaultTaskEncoder,
        TextSample,
        WorkerConfig,
        basic_sample_keys,
        get_loader,
        get_train_dataset,
        stateless,
    )

    target = folder / "energon"
    if not target.exists():
        shutil.copytree(root, target, copy_function=os.link)
        write_energon(target)

    @stateless
    def cook(sample: dict[str, Any]) -> Any:
        for _ in packed(sample, per_clip):
            pass
        return TextSample(**basic_sample_keys(sample), text="")

    class Encoder(DefaultTaskEncoder):
        cookers = (Cooker(cook),)
        decoder = None

    workers = WorkerConfig(rank=0, world_size=1, num_workers=0)
    dataset = get_train_dataset(
        target, split_part="train", worker_config=workers, batch_size=1, task_encoder=Encoder(),
        shuffle_buffer_size=None, max_samples_per_sequence=None,
    )  # fmt: skip
    samples = iter(get_loader(dataset))  # without end
    next(samples)  # what is not installed shows here
    return (number for _ in samples for number in range(per_clip))


def from_mp4(videos: list[Path], decode: Callable[[Path], Any]) -> Pairs:
    """Random access into the source videos."""
    while True:
        for path in random.sample(videos, len(videos)):
            yield decode(path)


def pyav(path: Path) -> Any:
    """Seek to a random time and decode one frame and a second of sound with PyAV."""
    import av

    with av.open(str(path)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        time = random.uniform(1, max(1.1, float(container.duration) / 1e6 - 1))
        container.seek(int(1e6 * time))
        frame = next(frame for frame in container.decode(video) if frame.time is None or frame.time >= time - 0.1)
        container.seek(int(1e6 * (time - 0.5)))
        resampler = av.AudioResampler("s16", "mono", RATE)
        sound: list[np.ndarray] = []
        for decoded in container.decode(audio):
            sound += [part.to_ndarray() for part in resampler.resample(decoded)]
            if sum(part.shape[1] for part in sound) >= RATE:
                break
        scale = 256 / min(frame.width, frame.height)
        small = frame.reformat(round(frame.width * scale), round(frame.height * scale), "rgb24").to_ndarray()
        return small[:SIZE, :SIZE], np.concatenate(sound, axis=1)


def torchcodec_(path: Path) -> Any:
    """The same with torchcodec."""
    from torchcodec.decoders import AudioDecoder, VideoDecoder

    video = VideoDecoder(str(path), num_ffmpeg_threads=1)
    end = video.metadata.end_stream_seconds or 10.0
    time = random.uniform(1, max(1.1, end - 1))
    frame = video.get_frame_played_at(time).data
    sound = AudioDecoder(str(path), sample_rate=RATE, num_channels=1).get_samples_played_in_range(
        time - 0.5, time + 0.5
    )
    return torch.nn.functional.interpolate(frame[None].float(), scale_factor=256 / min(frame.shape[1:])), sound.data


def decord_(path: Path) -> Any:
    """The same with decord."""
    import decord

    video = decord.VideoReader(str(path), num_threads=1)
    times = video.get_frame_timestamp(range(len(video)))[:, 0]
    number = random.choice(np.flatnonzero((times >= 0.5) & (times <= times[-1] - 0.5)).tolist() or [0])
    frame = torch.from_numpy(video[number].asnumpy()).permute(2, 0, 1)
    sound = decord.AudioReader(str(path), sample_rate=RATE, mono=True)
    start = first_sample(float(times[number]), sound.shape[1])
    samples = sound[start : start + RATE].asnumpy()
    return torch.nn.functional.interpolate(frame[None].float(), scale_factor=256 / min(frame.shape[1:])), samples


def write_ordinary(clips: list[Clip], folder: Path) -> list[str]:
    """Write webdataset's ordinary layout: a JPEG member a frame, FLAC."""
    path = folder / "ordinary.tar"
    with tarfile.open(path, "w") as tar:
        for clip in clips:
            members = {"json": clip.metadata.to_json(), "flac": flac(clip)}
            members |= {f"{number:03d}.jpg": bytes(clip.frame(number)) for number in range(clip.metadata.frame_count)}
            for suffix, data in members.items():
                header = tarfile.TarInfo(f"{clip.key}.{suffix}")
                header.size = len(data)
                tar.addfile(header, io.BytesIO(data))
    return [str(path)]


def flac(clip: Clip) -> bytes:
    """Encode a clip's sound."""
    file = io.BytesIO()
    samples = np.frombuffer(clip.samples(0, clip.metadata.sample_count), "<i2")
    soundfile.write(file, samples, RATE, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def write_litdata(clips: list[Clip], folder: Path) -> Callable[[], Any]:
    """Write our packed layout, with FLAC, by litdata."""
    from litdata import StreamingDataset
    from litdata.streaming.writer import BinaryWriter

    target = folder / "litdata"
    writer = BinaryWriter(str(target), chunk_bytes=1 << 26)
    for number, clip in enumerate(clips):
        writer[number] = {"json": clip.metadata.to_json(), "flac": flac(clip), "mjpg": bytes(clip.mjpg)}
    writer.done()
    writer.merge(1)
    return functools.partial(StreamingDataset, str(target), max_cache_size="4GB")


def write_mosaic(clips: list[Clip], folder: Path) -> Callable[[], Any]:
    """Write our packed layout, with FLAC, by mosaicml-streaming."""
    from streaming import LocalDataset, MDSWriter

    target = folder / "mosaic"
    with MDSWriter(out=str(target), columns={"json": "bytes", "flac": "bytes", "mjpg": "bytes"}) as writer:
        for clip in clips:
            writer.write({"json": clip.metadata.to_json(), "flac": flac(clip), "mjpg": bytes(clip.mjpg)})
    return functools.partial(LocalDataset, str(target))


def find_readers(root: Path, clips: list[Clip], videos: list[Path], folder: Path) -> dict[str, Pairs]:
    """Return every reader that can run here; name the others."""
    tars = [str(root / record.path) for record in Dataset(root).of_split("train")]
    plain = write_ordinary(clips, folder)
    readers: dict[str, Pairs] = {FLOOR: floor(clips)}
    for count in (1, 4, 8):
        readers[f"avcorr, blocks of 64 clips, {count} a clip"] = ours(root, count, 64)
    readers["avcorr, global shuffle"] = ours(root, 1, 0)
    for count in (1, 4, 8):
        readers[f"webdataset, our shards, {count} a clip"] = wds_packed(tars, count)
    for count in (1, 4):
        readers[f"webdataset, a JPEG member a frame, FLAC, {count} a clip"] = wds_ordinary(plain, count)
    for name, write in (("litdata", write_litdata), ("mosaicml-streaming", write_mosaic)):
        try:
            read = write(clips, folder)
            len(read())
        except Exception as error:  # others' packages fail in their own ways
            print(f"left out: {name}: {type(error).__name__}: {str(error).splitlines()[0][:120]}")
            continue
        for count in (1, 8):
            readers[f"{name}, packed JPEG + FLAC, {count} a clip"] = from_samples(read, count)
    for count in (1, 8):
        try:
            readers[f"Megatron Energon, our shards, {count} a clip"] = energon(root, folder, count)
        except Exception as error:
            print(f"left out: Megatron Energon: {type(error).__name__}: {str(error).splitlines()[0][:120]}")
            break
    for name, decode in (("PyAV", pyav), ("torchcodec", torchcodec_), ("decord", decord_)):
        try:
            good = [path for path in videos if works(decode, path)]
            readers[f"mp4, {name}"] = from_mp4(good, decode)
            print(f"mp4, {name}: {len(good)} of {len(videos)} videos")
        except Exception as error:
            print(f"left out: {name}: {type(error).__name__}: {str(error).splitlines()[0][:120]}")
    return readers


def works(decode: Callable[[Path], Any], path: Path) -> bool:
    """Return whether one video gives a pair; raise where the package itself is not there."""
    try:
        decode(path)
    except ImportError:
        raise
    except Exception:
        return False
    return True


def main() -> None:
    """Print pairs a second of CPU time, and the ratio to the floor."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("--videos", type=Path, required=True)
    parser.add_argument("--pairs", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="part of the readers' names")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    records = Dataset(arguments.root).of_split("train")
    clips = [clip for record in records for clip in read_clips(arguments.root, record)]
    if min(clip.metadata.duration for clip in clips) < 2:
        sys.exit(f"{arguments.root} has clips shorter than 2 s, from which others' readers cannot draw: leave them out")
    folder = Path(tempfile.mkdtemp(prefix="readers-"))
    for name in ("DATA_OPTIMIZER_CACHE_FOLDER", "DATA_OPTIMIZER_DATA_CACHE_FOLDER"):
        os.environ[name] = str(folder / "litdata-cache")  # litdata empties its default, a folder of the system's
    try:
        readers = find_readers(arguments.root, clips, sorted(arguments.videos.glob("*.mp4")), folder)
        readers = {name: read for name, read in readers.items() if arguments.only in name or name == FLOOR}
        rates: dict[str, list[float]] = {name: [] for name in readers}
        for slow in (False, True):  # last: threads of others' decoders go on for a while, and would be counted
            for turn, (name, pairs) in itertools.product(range(arguments.rounds + 1), readers.items()):
                if name.startswith("mp4") == slow:
                    count = max(20, arguments.pairs // 60) if slow else arguments.pairs
                    began = time.process_time()
                    for _ in itertools.islice(pairs, count):
                        pass
                    if turn:
                        rates[name].append(count / (time.process_time() - began))
    finally:
        shutil.rmtree(folder)
    base = statistics.median(rates[FLOOR])
    print(f"{len(clips)} clips, {arguments.rounds} rounds of {arguments.pairs} pairs, one core\n")
    print("| reader | pairs/s | of the floor |\n|---|---|---|")
    for name, values in rates.items():
        print(f"| {name} | {statistics.median(values):,.0f} | {100 * statistics.median(values) / base:.1f} % |")


if __name__ == "__main__":
    main()
