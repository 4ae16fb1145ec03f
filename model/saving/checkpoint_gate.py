"""What the file of a checkpoint holds, judged before it is believed: a plain archive, plain values, dense tensors."""

import os
import pickletools
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from torch import Tensor
from typing_extensions import TypedDict

from avcorr.files import open_file
from avcorr.json_file import first_fault

MOST_STEPS = 10**12
_MOST_PICKLED = 1 << 22
"""Bytes of what describes the tensors; a network of 18 layers and its optimiser take 60,000."""
_MOST_VALUES, _MOST_LEVELS = 10_000, 16
"""Of the configuration, the facts and the optimiser's settings, each."""
_CLASSES = re.compile(r"collections OrderedDict|torch\._utils _rebuild_tensor_v2|torch [A-Za-z0-9]+Storage")


@with_config(ConfigDict(extra="allow"))
class _Shard(TypedDict):
    short_side: Annotated[int, Field(ge=16, le=4096)]


@with_config(ConfigDict(extra="allow"))
class _Pairs(TypedDict):
    frame_size: Annotated[int, Field(ge=16, le=1024)]
    window_seconds: Annotated[float, Field(gt=0, le=60)]


@with_config(ConfigDict(extra="allow"))
class _Train(TypedDict):
    batch_size: int
    learning_rate: float
    seed: int
    objective: Literal["pair", "deranged", "contrastive", "sigmoid"]
    precision: Literal["auto", "fp32", "bf16"]


@with_config(ConfigDict(extra="allow", allow_inf_nan=False))
class RunConfig(TypedDict):
    """What of a run's configuration its readers need; `model` is judged by `ModelSettings`."""

    shard: _Shard
    pairs: _Pairs
    model: dict[str, Any]
    train: _Train


_CONFIG = TypeAdapter(RunConfig)


def read_archive(path: Path) -> Any:
    """Return what torch has saved in a file, on the CPU; nothing is unpickled but tensors and plain values.

    Raises:
        Exception: of many kinds, where it is no such file or damaged.
    """
    with open_file(path) as file, zipfile.ZipFile(file) as archive:
        _require_plain(archive, os.fstat(file.fileno()).st_size)
        broken = archive.testzip()  # torch itself does not compare the checksums
        if broken is not None:
            raise zipfile.BadZipFile(f"wrong checksum of {broken}")
        file.seek(0)
        return torch.load(file, map_location="cpu", weights_only=True)


def check_content(content: Mapping[str, Any]) -> None:
    """Raise ValueError, which names the entry, where a checkpoint's content is not what a training writes."""
    for name in ("step", "model", "optimizer", "config", "facts"):
        if name not in content:
            raise ValueError(f"{name} is not there")
        if name != "step" and not isinstance(content[name], dict):
            raise ValueError(f"{name} is no mapping")
    step = content["step"]
    if type(step) is not int or not 0 <= step <= MOST_STEPS:
        raise ValueError("step is no count of steps")
    for name, value in content["model"].items():
        _require_dense(f"model.{name}", value)
    state, groups = (content["optimizer"].get(name) for name in ("state", "param_groups"))
    if not isinstance(state, dict) or not isinstance(groups, list):
        raise ValueError("optimizer has no state or no param_groups")
    for number, values in state.items():
        if type(number) is not int or not isinstance(values, dict):
            raise ValueError(f"optimizer.state.{number!r:.60} is no state of a weight")
        for name, value in values.items():
            _require_dense(f"optimizer.state.{number}.{name}", value)
    for name, value in (("config", content["config"]), ("facts", content["facts"]), ("param_groups", groups)):
        _require_values(name, value)
    try:
        _CONFIG.validate_python(content["config"], strict=True)
    except ValidationError as error:
        raise ValueError(f"config.{first_fault(error)}") from None
    loss = content["facts"].get("pair_loss")
    if loss is not None and type(loss) is not float:
        raise ValueError("facts.pair_loss is no number")


def _require_plain(archive: zipfile.ZipFile, size: int) -> None:
    """Raise ValueError unless reading it all takes no more than the size of the file, and makes nothing but tensors."""
    members = archive.infolist()
    if any(
        member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size for member in members
    ):
        raise ValueError("its members are packed, and torch packs none")
    if sum(member.file_size for member in members) > size or len({each.filename for each in members}) < len(members):
        raise ValueError("its members are larger than the file, or stand there twice")
    described = [member for member in members if member.filename.endswith("/data.pkl")]
    if len(described) != 1 or described[0].file_size > _MOST_PICKLED:
        raise ValueError("it does not say, or not in few words, what it holds")
    for code, value, _ in pickletools.genops(archive.read(described[0])):
        if code.name in ("STACK_GLOBAL", "INST", "OBJ") or (
            code.name == "GLOBAL" and not _CLASSES.fullmatch(str(value))
        ):
            raise ValueError(f"it holds {str(value)[:60]}, which is no tensor")


def _require_dense(place: str, value: object) -> None:
    """Raise ValueError unless it is a tensor of real numbers all of which lie in memory."""
    if not isinstance(value, Tensor):
        raise ValueError(f"{place} is no tensor")
    if (
        value.layout != torch.strided or value.is_meta or value.is_quantized or value.is_complex()
        or value.numel() * value.element_size() > value.untyped_storage().nbytes()
    ):  # fmt: skip
        raise ValueError(f"{place} is no dense tensor of real numbers")


def _require_values(place: str, value: object) -> None:
    """Raise ValueError unless it is, all through, what JSON knows: few values, shallow, finite."""
    left, found = [(place, value, 0)], 0
    while left:
        place, value, level = left.pop()
        found += 1
        if found > _MOST_VALUES or level > _MOST_LEVELS:
            raise ValueError(f"{place[:200]} holds too many values")
        if isinstance(value, dict) and all(isinstance(name, str) for name in value):
            left += [(f"{place}.{name}", each, level + 1) for name, each in value.items()]
        elif isinstance(value, list | tuple):
            left += [(f"{place}.{number}", each, level + 1) for number, each in enumerate(value)]
        elif not isinstance(value, str | bool | None) and not (isinstance(value, int | float) and abs(value) < 1 << 64):
            raise ValueError(f"{place[:200]} is no text, number, list or mapping")
