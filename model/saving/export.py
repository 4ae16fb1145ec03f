"""The model for other programs: ONNX and torch.export, spectrogram and normalisation inside."""

import copy
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import ModelError
from ..networks.network import CorrespondenceModel
from ..networks.spectrogram import ProductSpectrogram

TOLERANCE = 1e-3
"""Largest difference from torch that is let pass, of an embedding's number or a probability, in float32."""


class Part(NamedTuple):
    """A piece of a model that is exported on its own."""

    name: str
    module: nn.Module
    inputs: dict[str, Tensor]
    output: str


class _Images(nn.Module):
    def __init__(self, model: CorrespondenceModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, frames: Tensor) -> Tensor:
        return self.model.embed_images(frames)


class _Sounds(nn.Module):
    def __init__(self, model: CorrespondenceModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, audio: Tensor) -> Tensor:
        return self.model.embed_audio(audio)


class _Pairs(nn.Module):
    def __init__(self, model: CorrespondenceModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, frames: Tensor, audio: Tensor) -> Tensor:
        return self.model.logits(self.model.image_features(frames), self.model.audio_features(audio)).sigmoid()


def parts(model: CorrespondenceModel, frames: Tensor, audio: Tensor) -> list[Part]:
    """Return what is exported: both towers, and the probability of pairs.

    frames uint8 (B, S, S, 3) and audio int16 (B, N), two at least, are examples; B stays open, S and N do not.
    """
    return [
        Part("image", _Images(model), {"frames": frames}, "embedding"),
        Part("audio", _Sounds(model), {"audio": audio}, "embedding"),
        Part("pair", _Pairs(model), {"frames": frames, "audio": audio}, "probability"),
    ]


def export_onnx(model: CorrespondenceModel, folder: Path, frames: Tensor, audio: Tensor) -> dict[str, float]:
    """Write image.onnx, audio.onnx and pair.onnx and run each on the examples by onnxruntime.

    Returns for each the largest difference from torch. Raises ModelError if onnx, onnxscript or onnxruntime are not
    installed, or if a difference exceeds TOLERANCE.
    """
    try:
        import onnxruntime
        import onnxscript  # noqa: F401 - torch needs it
    except ImportError as error:
        raise ModelError(f"ONNX needs more packages ({error}); install them: pip install 'avcorr[export]'") from error
    folder.mkdir(parents=True, exist_ok=True)
    differences = {}
    for part, program in _programs(model, frames, audio):
        path, partial = folder / f"{part.name}.onnx", folder / f"{part.name}.onnx.partial"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter warns about itself
            converted = torch.onnx.export(
                program, input_names=list(part.inputs), output_names=[part.output], dynamo=True, verbose=False
            )
            assert converted is not None
            converted.save(partial, external_data=False)
        session = onnxruntime.InferenceSession(partial, providers=["CPUExecutionProvider"])
        # All but one, so that the number of items is another than at the export.
        inputs = {name: value[1:] for name, value in part.inputs.items()}
        found = session.run(None, {name: value.numpy() for name, value in inputs.items()})[0]
        differences[part.name] = _keep(partial, path, part, inputs, torch.from_numpy(np.asarray(found)))
    return differences


def export_programs(model: CorrespondenceModel, folder: Path, frames: Tensor, audio: Tensor) -> dict[str, float]:
    """Write image.pt2, audio.pt2 and pair.pt2 for torch.export.load; return the differences, as `export_onnx` does."""
    folder.mkdir(parents=True, exist_ok=True)
    differences = {}
    for part, program in _programs(model, frames, audio):
        path, partial = folder / f"{part.name}.pt2", folder / f"{part.name}.partial.pt2"
        inputs = {name: value[1:] for name, value in part.inputs.items()}
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of weights in an order of its own, which the comparison covers
            torch.export.save(program, partial)
            found = torch.export.load(partial).module()(*inputs.values())
        differences[part.name] = _keep(partial, path, part, inputs, found)
    return differences


def _programs(
    model: CorrespondenceModel, frames: Tensor, audio: Tensor
) -> Iterator[tuple[Part, torch.export.ExportedProgram]]:
    if len(frames) < 3 or len(frames) != len(audio):
        raise ModelError(f"an export needs three examples of pairs or more; found {len(frames)} and {len(audio)}")
    batch = torch.export.Dim("batch", min=1)
    exported = copy.deepcopy(model).eval().cpu()
    exported.spectrogram = ProductSpectrogram(exported.spectrogram)
    # Compared is with the model as it is, its own transform included.
    for reference, part in zip(parts(model.eval().cpu(), frames, audio), parts(exported, frames, audio), strict=True):
        shapes = {name: {0: batch} for name in part.inputs}
        with torch.no_grad():
            yield reference, torch.export.export(part.module, tuple(part.inputs.values()), dynamic_shapes=shapes)


def _keep(partial: Path, path: Path, part: Part, inputs: dict[str, Tensor], found: Tensor) -> float:
    """Rename the file if what it gave is what the model gives, and return the largest difference; else remove it."""
    with torch.no_grad():
        expected = part.module(*inputs.values())
    difference: float = (found - expected).abs().max().item()
    if not difference <= TOLERANCE:
        partial.unlink()
        raise ModelError(
            f"{path} would differ from the model by {difference:.2g}, more than {TOLERANCE:g}, and was not kept; "
            "report the versions of torch, onnx and onnxruntime"
        )
    partial.replace(path)
    return difference
