"""What can go wrong between a video and a pair; each is a PipelineError."""

from avcorr.errors import Error


class PipelineError(Error):
    """Anything wrong in the data pipeline."""


class SourceError(PipelineError):
    """A source list or folder that cannot be used."""


class ArchiveError(PipelineError):
    """A tar archive that is damaged; the message says at which byte."""


class DecoderError(PipelineError):
    """No ffmpeg that works."""


class PairError(PipelineError):
    """Shards that cannot give the pairs asked for."""


class CorpusError(PipelineError):
    """A corpus that cannot be rendered."""


class MediaError(PipelineError):
    """One video that gives no clip.

    Args:
        code: the reason code that goes into the ledger, one of REASONS.
        message: what was seen, in one line.
        exit_code: ffmpeg's exit code; 0 where it did not run or ended well.
        stderr: the last lines of what ffmpeg said.
    """

    def __init__(self, code: str, message: str, *, exit_code: int = 0, stderr: str = "") -> None:
        super().__init__(message)
        self.code, self.exit_code, self.stderr = code, exit_code, stderr


REASONS = {
    "missing": "the file is not there",
    "unreadable": "the file cannot be opened (permissions, a folder, a loop of links)",
    "empty": "the file has no bytes",
    "not_media": "ffmpeg finds no container it knows, or a damaged one",
    "no_video": "there is no video stream (cover pictures do not count)",
    "no_audio": "there is no audio stream",
    "encrypted": "a stream is encrypted; decoding it would give noise",
    "no_frames": "the video stream gave no frame in the wanted span",
    "no_samples": "the audio stream gave no sample in the wanted span",
    "undecodable": "ffmpeg gave up: a codec it lacks, an encrypted or broken stream",
    "timeout": "decoding took longer than shard.timeout_seconds and was killed",
    "crashed": "the decoder's process died, or needed more memory than it may have",
    "no_duration": "(shard.consecutive) ffmpeg cannot tell how long the video is",
    "archive_damaged": "the archive is damaged in or before this member; or what lies behind the damage is unknown",
    "too_large": "the member of an archive is larger than 1 GiB, or a text or a picture larger than shards take",
}
"""Reason codes of failed inputs. One more, `duplicate`, marks inputs skipped because an earlier row is the same."""
