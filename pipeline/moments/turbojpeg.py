"""Decode only the part of a JPEG that a crop needs, by libjpeg-turbo's TurboJPEG API (version 3), through ctypes.

Rows above the crop and columns beside it are read but not transformed, rows below it not even read; what is decoded is
what a decode of the whole frame gives there. The library is looked for in the wheel `turbojpeg` and in the system.
API: https://libjpeg-turbo.org/Documentation/Documentation, "TurboJPEG C API", version 3.0.
"""

import ctypes
import ctypes.util
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, files

import numpy as np
from numpy.typing import NDArray

from ..errors import PairError

_DECOMPRESS, _RGB = 1, 0
_STOP_ON_WARNING, _SUBSAMPLING, _WIDTH, _HEIGHT, _FAST_UPSAMPLE, _FAST_DCT = 0, 4, 5, 6, 9, 10
_MCU_WIDTHS = (8, 16, 16, 8, 8, 32, 8)
"""Width of the blocks that chroma is coded in, by subsampling: 4:4:4, 4:2:2, 4:2:0, grey, 4:4:0, 4:1:1, 4:4:1."""


class _Region(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int) for name in ("x", "y", "w", "h")]


class _Factor(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int) for name in ("numerator", "denominator")]


_WHOLE = _Region(0, 0, 0, 0)


def decode_crops(jpegs: Sequence[bytes], crops: NDArray[np.float64], out: NDArray[np.uint8], least: int) -> None:
    """Decode crops of JPEGs; arguments and errors as of `views.decode_frames`, with the same result.

    Args:
        least: shorter side at least of the DCT-scaled frame that the crop is cut from.

    Raises:
        PairError: also when there is no TurboJPEG 3.
    """
    if not hasattr(_mine, "decoder"):
        _mine.decoder = _Decoder()
    for number, (jpeg, (down, right)) in enumerate(zip(jpegs, crops.tolist(), strict=True)):
        try:
            _mine.decoder.decode(jpeg, down, right, out[number], least)
        except ValueError as error:
            raise ValueError(str(error), number) from error


def place_crop(height: int, width: int, size: int, down: float, right: float) -> tuple[int, int]:
    """Return top and left of a square crop; `down` and `right` in [0, 1) say where in what is free.

    Raises:
        PairError: when the frame is smaller than the crop.
    """
    if min(height, width) < size:
        raise PairError(
            f"frames of {width} x {height} pixels are smaller than pairs.frame_size = {size}; "
            "lower it, or make shards with a larger shard.short_side"
        )
    return int(down * (height - size + 1)), int(right * (width - size + 1))


@lru_cache
def load_library() -> ctypes.CDLL:
    """Return TurboJPEG 3. Raises PairError where there is none."""
    for path in _candidates():
        try:
            library = ctypes.CDLL(path)
            _declare(library)
        except (OSError, AttributeError):  # AttributeError: version 2, which cannot crop
            continue
        return library
    raise PairError(
        "pairs.decode: crop needs libjpeg-turbo 3, which is not here; install it with: pip install 'avcorr[crop]'"
    )


def _candidates() -> Iterator[str]:
    try:
        for file in files("turbojpeg") or ():
            if file.name.startswith("libturbojpeg"):
                yield str(file.locate())
    except PackageNotFoundError:
        pass
    if system := ctypes.util.find_library("turbojpeg"):
        yield system


def _declare(library: ctypes.CDLL) -> None:
    """Tell ctypes the types, so that pointers keep 64 bits."""
    handle, number, size = ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t
    library.tj3Init.restype, library.tj3GetErrorStr.restype = handle, ctypes.c_char_p
    library.tj3Init.argtypes, library.tj3GetErrorStr.argtypes = [number], [handle]
    library.tj3Destroy.restype, library.tj3Destroy.argtypes = None, [handle]
    library.tj3Set.argtypes, library.tj3Get.argtypes = [handle, number, number], [handle, number]
    library.tj3DecompressHeader.argtypes = [handle, ctypes.c_char_p, size]
    library.tj3SetScalingFactor.argtypes = [handle, _Factor]
    library.tj3SetCroppingRegion.argtypes = [handle, _Region]
    library.tj3Decompress8.argtypes = [handle, ctypes.c_char_p, size, ctypes.c_void_p, number, number]


class _Decoder:
    """A TurboJPEG handle, for one thread."""

    def __init__(self) -> None:
        self._library = library = load_library()
        self._handle = library.tj3Init(_DECOMPRESS)
        for parameter in (_STOP_ON_WARNING, _FAST_UPSAMPLE, _FAST_DCT):
            self._check(library.tj3Set(self._handle, parameter, 1))
        self._eighths, self._scratch = 8, np.empty((0, 0, 3), np.uint8)

    def decode(self, jpeg: bytes, down: float, right: float, out: NDArray[np.uint8], least: int) -> None:
        """Decode one crop into out (S, S, 3), contiguous."""
        library, handle, size, check = self._library, self._handle, len(out), self._check
        check(library.tj3DecompressHeader(handle, jpeg, len(jpeg)))
        get: Callable[[int, int], int] = library.tj3Get
        width, height, subsampling = get(handle, _WIDTH), get(handle, _HEIGHT), get(handle, _SUBSAMPLING)
        eighths = _scale(width, height, least)
        if eighths != self._eighths:
            check(library.tj3SetCroppingRegion(handle, _WHOLE))  # the old one may not fit the new scale
            common = math.gcd(eighths, 8)
            check(library.tj3SetScalingFactor(handle, _Factor(eighths // common, 8 // common)))
            self._eighths = eighths
        width, height = -(-width * eighths // 8), -(-height * eighths // 8)
        top, left = place_crop(height, width, size, down, right)
        if not 0 <= subsampling < len(_MCU_WIDTHS):
            raise ValueError("its chroma is subsampled in an unusual way")
        spare = left % (-(-_MCU_WIDTHS[subsampling] * eighths // 8))  # a region begins at a block's edge
        check(library.tj3SetCroppingRegion(handle, _Region(left - spare, top, size + spare, size)))
        if not spare:
            check(library.tj3Decompress8(handle, jpeg, len(jpeg), out.ctypes.data, 0, _RGB))
            return
        if self._scratch.shape[0] != size:
            self._scratch = np.empty((size, size + max(_MCU_WIDTHS), 3), np.uint8)
        scratch = self._scratch
        check(library.tj3Decompress8(handle, jpeg, len(jpeg), scratch.ctypes.data, scratch.strides[0], _RGB))
        out[:] = scratch[:, spare : spare + size]

    def _check(self, code: int) -> None:
        if code:
            raise ValueError(self._library.tj3GetErrorStr(self._handle).decode(errors="replace"))

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            self._library.tj3Destroy(self._handle)


@lru_cache(maxsize=256)
def _scale(width: int, height: int, least: int) -> int:
    """Return the least n, up to 8, for which n/8 of the frame is `least` pixels high and wide; 8 where none is."""
    fits = (n for n in range(1, 8) if min(-(-width * n // 8), -(-height * n // 8)) >= least)
    return next(fits, 8)


_mine = threading.local()
