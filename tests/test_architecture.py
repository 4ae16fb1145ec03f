"""Imports run one way, and starting a command is quick."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from commands.parser import COMMANDS

ROOT = Path(__file__).parents[1]
ALLOWED = {
    "shards": set(),
    "model": set(),
    "pipeline": {"shards"},
    "configs": {"pipeline", "model"},
    "finding": {"shards", "pipeline", "model"},
    "explore": {"finding", "shards", "pipeline", "model"},
    "commands": {"configs", "finding", "explore", "shards", "pipeline", "model"},
}


def imported_packages(path: Path) -> set[str]:
    """Return the top-level names that a file imports absolutely."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("package", ALLOWED)
def test_imports_run_one_way(package: str) -> None:
    files = list((ROOT / package).rglob("*.py"))
    assert files
    for path in files:
        ours = imported_packages(path) & {*ALLOWED, "run"}
        assert ours - {package} <= ALLOWED[package], path
        assert package not in ours, f"{path} imports its own package absolutely"


def test_configs_take_only_settings_from_the_model() -> None:
    for path in (ROOT / "configs").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("model"):
                assert node.module == "model.settings", path


def test_ffmpeg_is_started_in_one_place_of_the_pipeline() -> None:
    files = (ROOT / "pipeline").rglob("*.py")
    starters = {path.name for path in files if "corpus" not in path.parts and "subprocess" in imported_packages(path)}
    assert starters == {"ffmpeg.py", "probe.py"}


@pytest.mark.parametrize("command", COMMANDS)
def test_help_loads_nothing_heavy(command: str) -> None:
    code = (
        "import sys, run\n"
        f"try: run.main([{command!r}, '--help'])\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        "heavy = {'torch', 'numpy', 'pydantic', 'webdataset', 'sklearn', 'obstore', 'faiss', 'waitress'}\n"
        "heavy &= set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "example: run.py" in result.stdout


def test_a_search_by_a_key_does_not_wait_for_torch() -> None:
    code = "import sys, commands.search; assert not {'torch', 'torchvision'} & set(sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_nothing_is_unpickled_or_run_through_a_shell() -> None:
    for package in (*ALLOWED, "."):
        pattern = "*.py" if package == "." else "**/*.py"
        for path in (ROOT / package).glob(pattern):
            assert not imported_packages(path) & {"pickle", "dill", "shelve", "joblib"}, path
            text = path.read_text()
            assert "shell=True" not in text and "os.system" not in text, path
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                    options = {word.arg: ast.unparse(word.value) for word in node.keywords}
                    assert options.get("weights_only") == "True", path
