"""List every setting with its type, default, range and meaning."""

import avcorr

from .options import Parser


def add_options(added: Parser) -> None:
    added.add_argument("names", nargs="*", metavar="NAME", help="only this setting or section; repeatable")
    added.add_argument("--markdown", action="store_true", help="print the page docs/settings.md")


def run(names: list[str], markdown: bool) -> None:
    from avcorr.configs.reference import settings_page, settings_text

    print(settings_page() if markdown else settings_text(avcorr.settings(names)), end="" if markdown else "\n")
