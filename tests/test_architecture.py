"""Imports run one way, and starting a command is quick."""

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from avcorr.commands.parser import COMMANDS
from avcorr.model.networks.architectures import ARCHITECTURES
from avcorr.model.objectives.objectives import OBJECTIVES

ROOT = Path(__file__).parents[1]
ALLOWED = {
    "shards": set(),
    "model": set(),
    "corpus": {"pipeline"},
    "pipeline": {"shards"},
    "configs": {"pipeline", "model"},
    "retrieval": {"shards", "pipeline", "model"},
    "pages": {"retrieval", "shards", "pipeline", "model"},
    "workflows": {"configs", "retrieval", "pages", "shards", "pipeline", "model"},
    "commands": {"workflows", "configs", "corpus", "retrieval", "pages", "shards", "pipeline", "model"},
}


def imported_modules(path: Path) -> set[str]:
    """Return the names of the modules that a file imports absolutely; `from a import b` gives a and a.b."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def imported_packages(path: Path) -> set[str]:
    """Return the top-level names that a file imports absolutely."""
    return {name.partition(".")[0] for name in imported_modules(path)}


def imported_rooms(path: Path) -> set[str]:
    """Return the rooms that a file imports absolutely."""
    return {name.split(".")[1] for name in imported_modules(path) if name.startswith("avcorr.")} & ALLOWED.keys()


@pytest.mark.parametrize("room", ALLOWED)
def test_imports_run_one_way(room: str) -> None:
    files = list((ROOT / room).rglob("*.py"))
    assert files
    for path in files:
        assert imported_rooms(path) <= ALLOWED[room], path


@pytest.mark.parametrize("folder", [*ALLOWED, "src", "tests", "benchmarks"])
def test_a_room_is_imported_by_its_full_name(folder: str) -> None:
    """`import shards` would work from the root of a checkout, make a second copy of each module, and fail elsewhere."""
    for path in (ROOT / folder).rglob("*.py"):
        assert not imported_packages(path) & ALLOWED.keys(), path


def test_each_room_is_linked_into_the_package() -> None:
    links = {path.name: path for path in (ROOT / "src" / "avcorr").iterdir() if path.is_symlink()}
    assert links.keys() == ALLOWED.keys()
    assert all(path.resolve() == ROOT / name for name, path in links.items())


def test_no_two_files_have_one_name() -> None:
    """Whoever looks for a file by its name finds one; commands are named for what people type."""
    files = [path for room in ALLOWED.keys() - {"commands"} for path in (ROOT / room).rglob("*.py")]
    names = Counter(path.name for path in files)
    twice = {name for name, count in names.items() if count > 1} - {"__init__.py", "errors.py", "settings.py"}
    assert not twice


def test_configs_take_only_settings_from_the_model() -> None:
    for path in (ROOT / "configs").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("avcorr.model"):
                assert node.module == "avcorr.model.settings", path


def test_objectives_and_networks_are_asked_and_not_named() -> None:
    """What depends on the objective or the network is declared in their registries and nowhere compared with a name."""
    names, networks = {*OBJECTIVES, *ARCHITECTURES}, {"TwoTowers", "L3Net", "AveNet", "AvolNet"}
    for room in (*ALLOWED, "benchmarks"):
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                text = ast.unparse(node) if isinstance(node, ast.Compare | ast.Call) else ""
                if isinstance(node, ast.Compare) and ("objective" in text or "architecture" in text):
                    constants = {value.value for value in ast.walk(node) if isinstance(value, ast.Constant)}
                    assert not constants & names, f"{path}:{node.lineno}: {text}"
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "isinstance":
                    assert not {word.id for word in ast.walk(node) if isinstance(word, ast.Name)} & networks, path


def test_only_commands_know_the_words_of_the_command_line() -> None:
    for room in ALLOWED.keys() - {"commands"}:
        for path in (ROOT / room).rglob("*.py"):
            assert "argparse" not in imported_packages(path), path


def test_ffmpeg_is_started_in_one_place_of_the_pipeline() -> None:
    files = (ROOT / "pipeline").rglob("*.py")
    starters = {path.name for path in files if "subprocess" in imported_packages(path)}
    assert starters == {"ffmpeg.py", "probe.py"}


@pytest.mark.parametrize("command", COMMANDS)
def test_help_loads_nothing_heavy(command: str) -> None:
    code = (
        "import sys\nfrom avcorr.commands import main as run\n"
        f"try: run.main([{command!r}, '--help'])\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        "heavy = {'torch', 'numpy', 'pydantic', 'webdataset', 'sklearn', 'obstore', 'faiss', 'waitress'}\n"
        "heavy = (heavy | {'dataclasses', 'webbrowser', 'inspect'}) & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "example: avcorr" in result.stdout


def test_a_search_by_a_key_does_not_wait_for_torch() -> None:
    code = "import sys, avcorr.commands.search; assert not {'torch', 'torchvision'} & set(sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_a_file_of_the_index_is_read_through_its_gate() -> None:
    """Bounded, a regular file, and typed: in shards/ nothing else reads whole files or loads JSON."""
    for path in (ROOT / "shards").glob("**/*.py"):
        text = path.read_text()
        assert ".read_bytes(" not in text and ".read_text(" not in text, path
    loads = {path.stem for path in (ROOT / "shards").glob("**/*.py") if "json.loads(" in path.read_text()}
    assert loads == {
        "clip_check",  # of a clip's metadata that have passed theirs
        "layout",  # whether a file holds what is known
        "ledger",  # what it has sorted itself
        "record",  # the checksum in a record that is damaged
    }


def test_nothing_is_unpickled_or_run_through_a_shell() -> None:
    for package in (*ALLOWED, "src"):
        for path in (ROOT / package).glob("**/*.py"):
            assert not imported_packages(path) & {"pickle", "dill", "shelve", "joblib"}, path
            text = path.read_text()
            assert "shell=True" not in text and "os.system" not in text, path
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                    options = {word.arg: ast.unparse(word.value) for word in node.keywords}
                    assert options.get("weights_only") == "True", path
