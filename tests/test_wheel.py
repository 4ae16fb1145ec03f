"""The wheel holds all that is needed, is the same by way of the sdist, and works where nothing of the checkout is."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from tests.conftest import MakeVideo

ROOT = Path(__file__).parents[1]
BUILD = "import sys; from setuptools import build_meta; print(getattr(build_meta, sys.argv[1])(sys.argv[2]))"
UNWANTED = (".*", "data", "build", "dist", "*.egg-info", "__pycache__")


def build(kind: str, source: Path, out: Path) -> Path:
    """Build `sdist` or `wheel` of a source tree into a folder; return the file."""
    out.mkdir(parents=True)
    words = [sys.executable, "-c", BUILD, f"build_{kind}", str(out)]
    run = subprocess.run(words, cwd=source, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return out / run.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    shutil.copytree(ROOT, folder / "tree", symlinks=True, ignore=shutil.ignore_patterns(*UNWANTED))
    return build("sdist", folder / "tree", folder / "out")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT, folder / "tree", symlinks=True, ignore=shutil.ignore_patterns(*UNWANTED))
    return build("wheel", folder / "tree", folder / "out")


def read_wheel(path: Path) -> dict[str, bytes]:
    """Return the files of a wheel, but for those about itself."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist() if ".dist-info/" not in name}


def test_a_wheel_holds_every_file_of_the_rooms(wheel: Path) -> None:
    found = read_wheel(wheel)
    expected = {"avcorr/py.typed"}
    expected |= {f"avcorr/{path.name}" for path in (ROOT / "src" / "avcorr").glob("*.py")}
    for room in (path for path in (ROOT / "src" / "avcorr").iterdir() if path.is_symlink()):
        files = (path for path in (ROOT / room.name).rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        expected |= {f"avcorr/{path.relative_to(ROOT).as_posix()}" for path in files if path.suffix != ".md"}
    assert found.keys() == expected


def test_a_wheel_of_the_sdist_is_the_same(sdist: Path, wheel: Path, tmp_path: Path) -> None:
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (tree,) = tmp_path.iterdir()
    assert read_wheel(build("wheel", tree, tmp_path / "out")) == read_wheel(wheel)


def test_a_wheel_works_in_an_environment_of_its_own(wheel: Path, tmp_path: Path, make_video: MakeVideo) -> None:
    """Its dependencies come from the environment of the tests by a .pth, which leaves out our own editable install."""
    home = tmp_path / "venv"
    venv.create(home, symlinks=True)
    python = home / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-deps", "--no-index"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    subprocess.run([*install, str(wheel)], check=True, env=environment)
    (packages,) = home.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    empty = tmp_path / "empty"
    empty.mkdir()
    video = make_video(tmp_path / "videos" / "clip.mp4")

    def run(*words: object) -> str:
        result = subprocess.run(list(map(str, words)), cwd=empty, env=environment, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        return result.stdout

    imported = run(python, "-c", "import avcorr, avcorr.shards.reader as room; print(avcorr.__file__, room.__file__)")
    assert all(Path(path).is_relative_to(packages) for path in imported.split())
    assert run(python, "-m", "avcorr", "--help")
    assert run(home / "bin" / "avcorr", "shard", "--source", video.parent, "--out", "shards", "--set",
               "shard.clip_seconds=3.0")  # fmt: skip
    assert "all well" in run(home / "bin" / "avcorr", "verify", "shards", "--full")
