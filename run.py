"""The command line without an install: `python run.py COMMAND` is `avcorr COMMAND`, from any folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "src"))

from avcorr.commands.main import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
