"""Versions of the packages that a figure depends on."""

from importlib.metadata import PackageNotFoundError, version


def version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
