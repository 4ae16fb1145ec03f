"""Both decoders, one after the other."""

import pytest

from avcorr.pipeline.decoding.decoded import Backend
from avcorr.pipeline.decoding.ffmpeg import Ffmpeg
from avcorr.pipeline.decoding.pyav import Pyav


@pytest.fixture(params=["ffmpeg", "pyav"])
def backend(request: pytest.FixtureRequest, ffmpeg: str) -> Backend:
    """A decoder."""
    return Ffmpeg(ffmpeg) if request.param == "ffmpeg" else Pyav()
