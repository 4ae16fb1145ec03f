"""`import avcorr`: lazy, typed, and its examples run."""

import doctest
import inspect
import pkgutil
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import avcorr
from avcorr.configs.load import dump_config, load_config
from tests.support.commands import TINY
from tests.support.esc50 import write_esc50

ROOT = Path(__file__).parents[1]
FUNCTIONS = sorted(set(avcorr.__all__) - {"Error", "__version__"})


@pytest.fixture(scope="module")
def folder(
    tmp_path_factory: pytest.TempPathFactory, videos: Path, shards: Path, embedded: Path, small_run: Path
) -> Path:
    """A folder with the names that the examples use."""
    folder = tmp_path_factory.mktemp("api")
    (folder / "data").mkdir()
    (folder / "videos").symlink_to(videos)
    shutil.copytree(shards, folder / "data" / "lost", ignore=shutil.ignore_patterns("__index__"))
    (folder / "data" / "shards").symlink_to(shards)
    (folder / "data" / "embeddings").symlink_to(embedded)
    shutil.copytree(small_run, folder / "runs" / "a")
    (folder / "tiny.yaml").write_text(dump_config(load_config(None, TINY)))
    rows = ["path,label,split"]
    for number, path in enumerate(sorted(videos.glob("*/*"))):
        rows.append(f"{path},{'even' if number % 2 else 'odd'},{path.parent.name}")
    (folder / "labels.csv").write_text("\n".join(rows))
    avcorr.shard(folder / "labels.csv", folder / "data" / "labelled", settings={"shard.short_side": 48})
    write_esc50(folder / "esc50")
    return folder


def test_import_loads_nothing_heavy() -> None:
    code = (
        "import sys, avcorr\n"
        "assert set(avcorr.__all__) <= set(dir(avcorr))\n"
        "heavy = {'torch', 'numpy', 'pydantic', 'yaml', 'pyarrow', 'tqdm'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_a_search_by_a_key_does_not_load_torch() -> None:
    code = "import sys, avcorr; avcorr.search; assert 'torch' not in sys.modules"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_no_module_hides_a_function() -> None:
    """`import avcorr.x` sets the attribute x of avcorr, so no module at its top may have a function's name."""
    modules = {module.name for module in pkgutil.iter_modules(avcorr.__path__)}
    assert not modules & set(avcorr.__all__)
    for name in FUNCTIONS:
        assert inspect.isfunction(getattr(avcorr, name)), name
    import_module("avcorr.workflows.searching")
    assert inspect.isfunction(avcorr.search)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'serach'"):
        _ = avcorr.serach  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_example_runs(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    example = doctest.DocTestParser().get_doctest(
        getattr(avcorr, name).__doc__ or "", {"avcorr": avcorr}, name, None, None
    )
    assert example.examples
    said: list[str] = []
    result = doctest.DocTestRunner(verbose=False).run(example, out=said.append)
    assert not result.failed, "".join(said)


def test_a_type_checker_sees_the_types(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    lines = [f"reveal_type(avcorr.{name})" for name in FUNCTIONS]
    script.write_text("\n".join(["import avcorr", *lines, "avcorr.search(1, 'key')", ""]))
    words = [sys.executable, "-m", "mypy", "--strict", "--config-file", "", "--follow-imports", "silent",
             "--ignore-missing-imports", "--cache-dir", str(tmp_path / "cache"), str(script)]  # fmt: skip
    result = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, env={"MYPYPATH": str(ROOT / "src")})
    revealed = [line for line in result.stdout.splitlines() if "Revealed type" in line]
    assert len(revealed) == len(FUNCTIONS), result.stdout + result.stderr
    assert not any('is "Any"' in line for line in revealed), result.stdout
    assert 'Argument 1 to "search" has incompatible type "int"' in result.stdout
