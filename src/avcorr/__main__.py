"""Make `python -m avcorr` the command line."""

import sys

from avcorr.commands.main import main

sys.exit(main())
