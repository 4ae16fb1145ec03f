"""Frames that travel as JPEGs and are decoded on the device that trains.

    worker ──> JpegFrames: bytes, sizes, boxes ──> training process: torchvision decodes on its device

A worker then only reads; on a GPU nvJPEG decodes. The moments and the crops are those of the other ways to decode, and
the pixels are those of the same JPEG, but by another decoder: it interpolates chroma, and a frame that is to be smaller
than it is stored is decoded whole and scaled down with antialiasing instead of by its DCT.
"""

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import simplejpeg
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from avcorr.shards.errors import ShardFormatError

from .views import BadFrameError, least_side, place_crop


class JpegFrames(NamedTuple):
    """F frames that are not decoded yet; they can be joined column by column."""

    jpegs: Tensor
    """uint8 (bytes of all F): one JPEG behind the other."""
    lengths: Tensor
    """int64 (F,): bytes of each."""
    sizes: Tensor
    """int64 (F, 2): height and width to which the frame is scaled; its own where it is not."""
    boxes: Tensor
    """int64 (F, 3): top, left and side of the crop in the scaled frame, pixels."""

    def decode(self, device: torch.device) -> Tensor:
        """Return the frames, uint8 (F, S, S, 3), RGB, decoded and cropped on a device.

        Raises:
            ShardFormatError: when a frame cannot be decoded.
        """
        try:
            images = _decode(torch.split(self.jpegs, self.lengths.tolist()), device)
        except RuntimeError as error:
            if isinstance(error, torch.OutOfMemoryError):
                raise
            raise ShardFormatError(
                f"a stored frame is no JPEG ({str(error).splitlines()[0]}); avcorr verify --full says where"
            ) from error
        rows = zip(images, self.sizes.tolist(), self.boxes.tolist(), strict=True)
        return torch.stack([_cut(image, size, box).permute(1, 2, 0) for image, size, box in rows])


def _decode(jpegs: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    """Return images (3, H, W), RGB, of JPEGs in the memory of the CPU."""
    from torchvision.io import ImageReadMode, decode_jpeg

    with warnings.catch_warnings():  # torchvision 0.29 announces that TorchCodec, which needs FFmpeg, takes this over
        warnings.simplefilter("ignore", DeprecationWarning)
        images: list[Tensor] = decode_jpeg(list(jpegs), ImageReadMode.RGB, device=device)
    return images


def _cut(image: Tensor, size: list[int], box: list[int]) -> Tensor:
    """Return the crop (3, S, S) of an image (3, H, W)."""
    if list(image.shape[1:]) != size:
        smaller = functional.interpolate(image[None].float(), size, mode="bilinear", antialias=True)[0]
        image = smaller.round_().clamp_(0, 255).to(torch.uint8)
    top, left, side = box
    return image[:, top : top + side, left : left + side]


def place_crops(jpegs: Sequence[bytes], crops: NDArray[np.float64], frame_size: int) -> JpegFrames:
    """Place crops in JPEGs of which only the headers are read; arguments and errors as of `views.decode_frames`."""
    least, sizes, boxes = least_side(frame_size), [], []
    for number, (jpeg, (down, right)) in enumerate(zip(jpegs, crops.tolist(), strict=True)):
        try:
            height, width, _, _ = simplejpeg.decode_jpeg_header(jpeg, min_height=least, min_width=least, min_factor=1)
        except ValueError as error:
            raise BadFrameError(number, str(error)) from error
        sizes.append((height, width))
        boxes.append((*place_crop(height, width, frame_size, down, right), frame_size))
    data = torch.frombuffer(bytearray(b"".join(jpegs)), dtype=torch.uint8)
    return JpegFrames(data, torch.tensor([*map(len, jpegs)]), torch.tensor(sizes), torch.tensor(boxes))
