"""A decoder that does to its process what native code may do. Imported by workers, so it imports nothing heavy."""

import mmap
import os
import signal
import time
from multiprocessing.connection import Connection
from pathlib import Path

from avcorr.pipeline.decoding import workers
from avcorr.pipeline.decoding.decoded import Decoded, SoundFile
from avcorr.pipeline.decoding.pyav import Pyav
from avcorr.pipeline.settings import ShardSettings


class Harmful:
    """The file's name says what is done."""

    version = "0"
    pipe: Connection

    def decode(
        self, path: str, settings: ShardSettings, *, seek: float, duration: float, beside: SoundFile | None = None
    ) -> Decoded:
        name = Path(path).stem
        if name == "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        elif name == "exit":
            os._exit(3)
        elif name == "memory":
            return bytearray(8 << 30)
        elif name == "hang":
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
            time.sleep(60)
        elif name == "half":  # an answer of 9 bytes that stops after the first
            os.write(self.pipe.fileno(), b"\0\0\0\x09{")
            time.sleep(60)
        return Pyav().decode(path, settings, seek=seek, duration=duration)


def serve_harm(pipe: Connection, settings: str) -> None:
    """Be the main function of a worker that decodes so, in a program that has mapped more than a clip may need."""
    mapped = mmap.mmap(-1, 5 << 30)  # address space, not memory
    workers.make_backend, Harmful.pipe = Harmful, pipe
    workers._serve(pipe, settings)
    mapped.close()
