"""The model for other programs: ONNX and torch.export, spectrogram and normalisation inside."""

import copy
import io
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from avcorr.files import write_atomically

from ..errors import ModelError
from ..networks.network import CorrespondenceModel
from ..networks.spectrogram import ProductSpectrogram

TOLERANCE = 1e-3
"""Largest difference from torch that is let pass, of an embedding's number or a probability, in float32."""


class _Part(nn.Module):
    """A piece of a model that is exported on its own; `inputs` are the parameters of its `forward`."""

    inputs: tuple[str, ...]
    output = "embedding"

    def __init__(self, model: CorrespondenceModel) -> None:
        super().__init__()
        self.model = model


class _Image(_Part):
    inputs = ("frames",)

    def forward(self, frames: Tensor) -> Tensor:
        return self.model.embed_images(frames)


class _Audio(_Part):
    inputs = ("audio",)

    def forward(self, audio: Tensor) -> Tensor:
        return self.model.embed_audio(audio)


class _Pair(_Part):
    inputs = ("frames", "audio")
    output = "probability"

    def forward(self, frames: Tensor, audio: Tensor) -> Tensor:
        return self.model.logits(self.model.image_features(frames), self.model.audio_features(audio)).sigmoid()


PARTS = {"image": _Image, "audio": _Audio, "pair": _Pair}
Encode = Callable[[torch.export.ExportedProgram, _Part, dict[str, Tensor]], tuple[bytes, Tensor]]
"""Returns the file of a part's program, and what it gives on inputs."""


def export_onnx(model: CorrespondenceModel, folder: Path, frames: Tensor, audio: Tensor) -> dict[str, float]:
    """Write image.onnx, audio.onnx and pair.onnx and run each on the examples by onnxruntime.

    frames uint8 (B, S, S, 3) and audio int16 (B, N), three at least, are examples; B stays open, S and N do not.
    Returns for each the largest difference from torch. Raises ModelError if onnx, onnxscript or onnxruntime are not
    installed, or if a difference exceeds TOLERANCE.
    """
    try:
        import onnxruntime
        import onnxscript  # noqa: F401 - torch needs it
    except ImportError as error:
        raise ModelError(f"ONNX needs more packages ({error}); install them: pip install 'avcorr[export]'") from error

    def encode(program: torch.export.ExportedProgram, part: _Part, inputs: dict[str, Tensor]) -> tuple[bytes, Tensor]:
        converted = torch.onnx.export(
            program, input_names=list(inputs), output_names=[part.output], dynamo=True, verbose=False
        )
        assert converted is not None
        data = converted.model_proto.SerializeToString()
        session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
        found = session.run(None, {name: value.numpy() for name, value in inputs.items()})[0]
        return data, torch.from_numpy(np.asarray(found))

    return _export(model, folder, ".onnx", {"frames": frames, "audio": audio}, encode)


def export_programs(model: CorrespondenceModel, folder: Path, frames: Tensor, audio: Tensor) -> dict[str, float]:
    """Write image.pt2, audio.pt2 and pair.pt2 for torch.export.load; the rest is as of `export_onnx`."""

    def encode(program: torch.export.ExportedProgram, part: _Part, inputs: dict[str, Tensor]) -> tuple[bytes, Tensor]:
        file = io.BytesIO()
        torch.export.save(program, file)
        file.seek(0)
        return file.getvalue(), torch.export.load(file).module()(*inputs.values())

    return _export(model, folder, ".pt2", {"frames": frames, "audio": audio}, encode)


def _export(
    model: CorrespondenceModel, folder: Path, suffix: str, examples: dict[str, Tensor], encode: Encode
) -> dict[str, float]:
    """Write each part; keep a file if what it gives is what the model gives, and return the largest differences."""
    counts = [len(value) for value in examples.values()]
    if min(counts) < 3 or len(set(counts)) > 1:
        raise ModelError(f"an export needs three examples of pairs or more; found {counts[0]} and {counts[1]}")
    # Compared is with the model as it is, its own transform included.
    exported = copy.deepcopy(model.eval().cpu())
    exported.spectrogram = ProductSpectrogram(exported.spectrogram)
    batch, differences = torch.export.Dim("batch", min=1), {}
    for name, kind in PARTS.items():
        path = folder / f"{name}{suffix}"
        inputs = {key: examples[key] for key in kind.inputs}
        # All but one, so that the number of items is another than at the export.
        fewer = {key: value[1:] for key, value in inputs.items()}
        with torch.no_grad():
            shapes = {key: {0: batch} for key in inputs}
            program = torch.export.export(kind(exported), tuple(inputs.values()), dynamic_shapes=shapes)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the exporters about themselves; the comparison covers them
                data, found = encode(program, kind(model), fewer)
            difference = (found - kind(model)(*fewer.values())).abs().max().item()
        if not difference <= TOLERANCE:
            raise ModelError(
                f"{path} would differ from the model by {difference:.2g}, more than {TOLERANCE:g}, and was not kept; "
                "report the versions of torch, onnx and onnxruntime"
            )
        write_atomically(path, data)
        differences[name] = difference
    return differences
