"""Write one self-contained page about a run."""

import argparse

from avcorr.pages.report.report import write_report


def run(arguments: argparse.Namespace) -> int:
    print(write_report(arguments.run))
    return 0
