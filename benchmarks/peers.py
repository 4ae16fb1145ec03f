"""What other libraries need to make the same of a clip: its frames as JPEGs and its sound, without times and shards.

Each is given what costs it least: one thread, the size that the frames are to have, approximate seeks, the resize
inside its decoder; the JPEGs are made by simplejpeg.
"""

from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import simplejpeg

from avcorr.pipeline.settings import ShardSettings

Way = Callable[[Path, ShardSettings, tuple[int, int]], None]
QUALITY = 87
"""Gives files about as large as ffmpeg's `-q:v 3`."""


def moments(settings: ShardSettings, seconds: float) -> np.ndarray:
    """Return when a frame is wanted."""
    return np.arange(0, min(settings.clip_seconds, seconds) - 0.05, 1 / settings.frames_per_second)


def torchcodec(path: Path, settings: ShardSettings, size: tuple[int, int]) -> None:
    """Ask for the frames played at the moments."""
    from torchcodec.decoders import AudioDecoder, VideoDecoder
    from torchcodec.transforms import Resize

    width, height = size
    video = VideoDecoder(path, num_ffmpeg_threads=1, seek_mode="approximate", dimension_order="NHWC",
                         transforms=[Resize((height, width))])  # fmt: skip
    times = moments(settings, video.metadata.duration_seconds).tolist()
    for frame in video.get_frames_played_at(times).data.numpy():
        simplejpeg.encode_jpeg(np.ascontiguousarray(frame), quality=QUALITY, colorsubsampling="420")
    AudioDecoder(path, sample_rate=settings.sample_rate, num_channels=1).get_all_samples()


def decord(path: Path, settings: ShardSettings, size: tuple[int, int]) -> None:
    """Choose frames by their times; decord resizes every frame that it decodes."""
    from decord import AudioReader, VideoReader, cpu

    video = VideoReader(str(path), ctx=cpu(0), width=size[0], height=size[1], num_threads=1)
    starts = np.asarray(video.get_frame_timestamp(range(len(video))))[:, 0]
    numbers = np.unique(np.searchsorted(starts, moments(settings, float(starts[-1])) - 1e-6))
    for frame in video.get_batch(numbers.tolist()).asnumpy():
        simplejpeg.encode_jpeg(frame, quality=QUALITY, colorsubsampling="420")
    AudioReader(str(path), ctx=cpu(0), sample_rate=settings.sample_rate, mono=True)[:]


def spdl(path: Path, settings: ShardSettings, size: tuple[int, int]) -> None:
    """Choose and scale in its filter graph; encode from planes, without a way through RGB."""
    import spdl.io

    width, height = size
    rate = f"{settings.frames_per_second:g}"
    chosen = f"select='isnan(prev_selected_t)+gt(floor(t*{rate}+1e-6)\\,floor(prev_selected_t*{rate}+1e-6))'"
    scaled = f"scale={width}:{height}:flags=area:out_range=full,format=yuv420p"
    frames = spdl.io.to_numpy(spdl.io.load_video(str(path), filter_desc=f"{chosen},{scaled}"))
    for frame in frames.reshape(len(frames), -1):
        luma, small = width * height, (width // 2) * (height // 2)
        planes = np.split(frame, [luma, luma + small])
        shapes = ((height, width), (height // 2, width // 2), (height // 2, width // 2))
        y, u, v = (np.ascontiguousarray(plane).reshape(shape) for plane, shape in zip(planes, shapes, strict=True))
        simplejpeg.encode_jpeg_yuv_planes(y, u, v, quality=QUALITY)
    mono = f"aresample={settings.sample_rate},aformat=sample_fmts=s16:channel_layouts=mono"
    spdl.io.to_numpy(spdl.io.load_audio(str(path), filter_desc=mono))


PEERS: dict[str, tuple[Way, str, tuple[str, ...]]] = {
    "torchcodec": (torchcodec, "torchcodec.decoders", ("torchcodec",)),
    "decord": (decord, "decord", ("decord", "decord2", "eva-decord")),
    "SPDL": (spdl, "spdl.io", ("spdl-io",)),
}
"""The way, the module that it needs, and under which names that may be installed."""


def peers() -> Iterator[tuple[str, Way | None]]:
    """Yield every peer with its version, and None where it cannot be imported."""
    for name, (way, module, packages) in PEERS.items():
        try:
            import_module(module)
        except (ImportError, RuntimeError, OSError):
            yield name, None
            continue
        yield f"{name} ({', '.join(filter(None, map(_installed, packages)))})", way


def _installed(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return ""
