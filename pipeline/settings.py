"""Settings of the data pipeline: what is sharded and how pairs are drawn."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

STRICT = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class ShardSettings(BaseModel):
    """How videos become shards. Part of a dataset's identity, but for what only changes the speed."""

    model_config = STRICT

    name: str = Field("clips", pattern=r"^[a-z][a-z0-9_-]{0,30}$", description="first part of the shards' file names")
    frames_per_second: float = Field(4.0, gt=0, le=120, description="frames kept a second: the first of each 1/n s")
    short_side: int = Field(256, ge=16, le=4096, description="shorter side of the stored frames, pixels")
    jpeg_quality: int = Field(3, ge=2, le=31, description="ffmpeg's MJPEG quantiser: 2 is best, 3 is about JPEG 90")
    clip_seconds: float = Field(10.0, gt=0, le=3600, description="longest clip; what is longer is cut, seconds")
    consecutive: bool = Field(False, description="cut each video into clips of clip_seconds that follow each other")
    stride_seconds: float = Field(
        0.0, ge=0, le=3600,
        description="(consecutive) from one clip's start to the next one's; less than clip_seconds: they overlap, "
        "more: they leave gaps; 0: clip_seconds",
    )  # fmt: skip
    sample_rate: int = Field(16000, ge=4000, le=192000, description="sample rate of the stored mono sound, Hz")
    audio_stream: str = Field(
        "default", pattern=r"^(default|\d{1,3}|[a-z]{2,8})$",
        description="which stream of sound: the one that players take, a number from 0, or a language such as eng",
    )  # fmt: skip
    clips_per_shard: int = Field(256, ge=1, le=100000, description="inputs planned for each shard")
    test_fraction: float = Field(
        0.1, ge=0, lt=1, description="share of source videos put in `test` where the source names no split"
    )
    group_by: str = Field(
        "", description="clips of one source video: number of a folder on their path, or a regular expression; "
        "empty: by the names of VGGSound, Kinetics, VoxCeleb, scene cutters and cameras"
    )  # fmt: skip
    folder_labels: bool = Field(True, description="take labels from a layout of one folder a class")
    seed: int = Field(0, ge=0, description="seed of the order of clips and of the split")
    decoder: Literal["ffmpeg", "pyav"] = Field(
        "ffmpeg", description="ffmpeg: a process a clip; pyav: FFmpeg's libraries in worker processes, faster"
    )
    skip_nonref: bool = Field(
        False, description="decode reference frames only (pyav): faster, but the frames of each interval come later"
    )
    ffmpeg: str = Field("", description="path of the ffmpeg to use; empty: the one that imageio-ffmpeg ships")
    timeout_seconds: float = Field(120.0, gt=0, description="longest time for one video before ffmpeg is killed")

    @model_validator(mode="after")
    def _options_fit(self) -> "ShardSettings":
        if self.skip_nonref and self.decoder != "pyav":
            raise ValueError("skip_nonref: true needs decoder: pyav")
        if self.stride_seconds and not self.consecutive:
            raise ValueError("stride_seconds needs consecutive: true")
        return self


class StreamSettings(BaseModel):
    """How moments of clips are read, whatever the task."""

    model_config = STRICT

    split: str = Field("train", min_length=1, description="split of the shards that pairs are drawn from")
    per_clip: int = Field(4, ge=1, le=64, description="samples of each clip in an epoch")
    block_clips: int = Field(
        64, ge=0, le=1000000,
        description="clips that are read together and mixed; 0: all, a global shuffle for disks that read at random",
    )  # fmt: skip
    frame_size: int = Field(224, ge=16, le=1024, description="side of the square crop, pixels")
    decode: Literal["frame", "device"] = Field(
        "frame", description="frame: in the workers; device: in the training process on its device (nvJPEG)"
    )
    window_seconds: float = Field(1.0, gt=0, le=60, description="length of the sound, centred on the frame, seconds")
    max_bad_shards: int = Field(0, ge=0, description="shards that may be short, altered or gone before it is an error")
    workers: int = Field(2, ge=0, le=256, description="processes that read and decode; 0: the training process itself")
    timeout_seconds: float = Field(
        600.0, gt=0, description="how long workers may give nothing before they are killed and, once, replaced"
    )

    @model_validator(mode="before")
    @classmethod
    def _name_the_way_out(cls, values: object) -> object:
        if isinstance(values, dict) and "window_clips" in values:
            raise ValueError("window_clips is called block_clips now")
        if isinstance(values, dict) and values.get("decode") == "crop":
            raise ValueError("decode: crop is gone, for it failed on sound shards; decode: frame gives the same pixels")
        return values


class PairSettings(StreamSettings):
    """How pairs are drawn from shards."""

    positive_rate: float = Field(0.5, ge=0, le=1, description="share of drawn pairs whose sound belongs to the frame")
    aligned: bool = Field(
        False, description="yield only matching pairs; the objective makes its negatives inside the batch"
    )
    hard_negative_fraction: float = Field(
        0.0, ge=0, le=1, description="share of negatives whose sound is of the same clip at another time"
    )
    min_offset_seconds: float = Field(
        2.0, gt=0, le=3600, description="least distance of such a sound from the frame's own, seconds"
    )
    crop: Literal["random", "center"] = Field("random", description="where the crop lies in the frame")
