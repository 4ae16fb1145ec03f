"""Stored frames show the source's colours, however it codes them, by both decoders: round trips of known colours."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
import simplejpeg

from avcorr.pipeline.decoding.decoded import Backend
from avcorr.pipeline.decoding.gamut import map_to_srgb, table_filter
from avcorr.pipeline.settings import ShardSettings
from tests.pipeline.decoding.test_decode import clip_of

COLOURS = np.array([(200, 40, 40), (40, 180, 60), (50, 60, 200), (220, 170, 140), (128, 128, 128), (30, 30, 30)])
FINE = ShardSettings(short_side=64, jpeg_quality=2)
X264 = ("-c:v", "libx264", "-qp", "3")
X265 = ("-c:v", "libx265", "-x265-params", "log-level=error", "-qp", "6")
UNSAID = "setparams=colorspace=unknown:range=unknown:color_primaries=unknown:color_trc=unknown"
SDR_TO_LINEAR = "zscale=min=gbr:tin=iec61966-2-1:pin=bt709:rin=full"


def make(ffmpeg: str, path: Path, filters: str, *encoder: str, lines: int = 96) -> Path:
    """Write a video of stripes in the known colours, and a tone."""
    stripes = [f"color=0x{r:02X}{g:02X}{b:02X}:size=48x{lines}:rate=5:duration=1" for r, g, b in COLOURS]
    graph = ";".join(f"{stripe}[c{number}]" for number, stripe in enumerate(stripes))
    joined = "".join(f"[c{number}]" for number in range(len(stripes))) + f"hstack={len(stripes)},format=gbrp"
    command = [
        ffmpeg, "-v", "error", "-y", "-f", "lavfi", "-i", f"{graph};{joined}", "-f", "lavfi", "-i", "sine=duration=1",
        "-vf", filters, "-c:a", "pcm_s16le" if path.suffix in (".mkv", ".avi") else "aac", *encoder, str(path),
    ]  # fmt: skip
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path


def errors(path: Path, backend: Backend) -> float:
    """Return the largest difference between a stripe's stored colour and the known one, in grey levels."""
    clip = clip_of(path, backend, FINE)
    picture = simplejpeg.decode_jpeg(bytes(clip.frame(0))).astype(float)
    width = picture.shape[1] / len(COLOURS)
    inner = [picture[20:-20, int(width * (n + 0.3)) : int(width * (n + 0.7))] for n in range(len(COLOURS))]
    return float(
        np.abs([part.reshape(-1, 3).mean(axis=0) - known for part, known in zip(inner, COLOURS, strict=True)]).max()
    )


MATRICES = {
    "bt709": "bt709",
    "smpte170m": "smpte170m",
    "bt470bg": "bt601",
    "smpte240m": "smpte240m",
    "bt2020nc": "bt2020",
}


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("extent", ["tv", "pc"])
def test_each_matrix_and_range(tmp_path: Path, ffmpeg: str, backend: Backend, matrix: str, extent: str) -> None:
    filters = f"scale=out_color_matrix={MATRICES[matrix]}:out_range={extent},format=yuv444p"
    path = make(ffmpeg, tmp_path / "a.mp4", filters, *X264, "-colorspace", matrix, "-color_range", extent)
    assert errors(path, backend) <= 3


@pytest.mark.parametrize(
    ("name", "filters", "encoder", "lines"),
    [
        ("untagged.mp4", f"scale=out_color_matrix=bt601:out_range=tv,format=yuv420p,{UNSAID}", X264, 96),
        ("untagged hd.mp4", f"scale=out_color_matrix=bt709:out_range=tv,format=yuv420p,{UNSAID}", X264, 720),
        ("untagged hd.ts", f"scale=out_color_matrix=bt709:out_range=tv,format=yuv420p,{UNSAID}", X264, 720),
        ("rgb.mkv", "format=gbrp", ("-c:v", "libx264rgb", "-qp", "0"), 96),
        ("alpha.mkv", "format=rgba", ("-c:v", "png"), 96),
        ("yuva.mkv", "scale=out_color_matrix=bt601:out_range=tv,format=yuva420p", ("-c:v", "ffv1"), 96),
        (
            "mjpeg hd.avi",
            "scale=out_color_matrix=bt601:out_range=pc,format=yuvj444p",
            ("-c:v", "mjpeg", "-q:v", "1"),
            720,
        ),
    ],
)
def test_what_says_little_or_has_no_matrix(
    tmp_path: Path,
    ffmpeg: str,
    backend: Backend,
    name: str,
    filters: str,
    encoder: tuple[str, ...],
    lines: int,
) -> None:
    assert errors(make(ffmpeg, tmp_path / name, filters, *encoder, lines=lines), backend) <= 4


def test_grey_stays_grey(tmp_path: Path, ffmpeg: str, backend: Backend) -> None:
    path = make(ffmpeg, tmp_path / "a.mkv", "format=gray", "-c:v", "ffv1")
    picture = simplejpeg.decode_jpeg(bytes(clip_of(path, backend, FINE).frame(0))).astype(int)
    assert np.ptp(picture, axis=2).max() <= 1
    width = picture.shape[1] / len(COLOURS)
    assert abs(picture[30:60, int(width * 4.4) : int(width * 4.6)].mean() - 128) <= 3


@pytest.mark.parametrize(
    ("name", "filters", "transfer"),
    [
        ("PQ", f"{SDR_TO_LINEAR}:t=smpte2084:p=bt2020:m=bt2020nc:r=limited:npl=203", "smpte2084"),
        ("HLG", "setparams=color_primaries=bt709:color_trc=iec61966-2-1,scale=out_transfer=arib-std-b67:"
                "out_primaries=bt2020:out_color_matrix=bt2020:out_range=tv", "arib-std-b67"),
        ("BT.2020", f"{SDR_TO_LINEAR}:t=2020_10:p=bt2020:m=bt2020nc:r=limited", "bt2020-10"),
    ],
)  # fmt: skip
def test_wide_colours_are_mapped_to_srgb(
    tmp_path: Path,
    ffmpeg: str,
    backend: Backend,
    name: str,
    filters: str,
    transfer: str,
) -> None:
    path = make(
        ffmpeg, tmp_path / "a.mp4", f"{filters},format=yuv420p10le", *X265, "-color_primaries", "bt2020",
        "-colorspace", "bt2020nc", "-color_range", "tv", "-color_trc", transfer,
    )  # fmt: skip
    assert errors(path, backend) <= 15
    assert clip_of(path, backend).metadata.hdr == (name != "BT.2020")


def test_highlights_are_compressed_and_not_cut_off() -> None:
    """PQ's code of 203 nits is nearly white, and brighter ones come nearer to it, in order."""
    codes = np.array([0.0, 0.5807, 0.65, 0.70, 0.7518])  # 0, 203, 400, 620, 1000 nits
    shown = map_to_srgb(np.repeat(codes[:, None], 3, axis=1), "pq")[:, 0]
    assert shown[0] == 0 and 0.96 < shown[1] < shown[2] < shown[3] < shown[4] <= 1


def test_the_name_of_a_table_is_escaped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ffmpeg: str) -> None:
    from avcorr.pipeline.decoding import gamut

    odd = tmp_path / "it's, [odd]; a:b"
    odd.mkdir()
    (odd / "pq.cube").write_bytes(gamut._table_path("pq").read_bytes())
    monkeypatch.setattr(gamut, "_table_path", lambda name: odd / f"{name}.cube")
    graph = f"format=gbrp16le,lut3d={table_filter('pq', in_graph=True)}"
    command = [
        ffmpeg,
        "-v",
        "error",
        "-f",
        "lavfi",
        "-i",
        "color=size=16x16:duration=0.1",
        "-vf",
        graph,
        "-f",
        "null",
        "-",
    ]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
