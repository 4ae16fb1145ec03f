"""List every setting with its type, default, range and meaning."""

import argparse

from avcorr.configs.reference import setting_rows, settings_page, settings_text


def run(arguments: argparse.Namespace) -> int:
    if arguments.markdown:
        print(settings_page(), end="")
    else:
        print(settings_text(setting_rows(arguments.names)))
    return 0
