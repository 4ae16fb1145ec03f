"""Imports run one way, and starting a command is quick."""

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
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


READERS = {
    "avcorr/files.py": "the gate of all files: regular ones, of a bounded size",
    "avcorr/json_file.py": "the gate of JSON",
    "avcorr/limits.py": "/proc and /sys",
    "avcorr/lock.py": "makes locks, reads none",
    "avcorr/webdataset.py": "members that a loader of tars has in memory",
    "configs/load.py": "the gate of YAML",
    "corpus/encode.py": "what the demo has just written",
    "corpus/render.py": "the demo's own marker",
    "model/device.py": "/proc",
    "model/embedding/picture_file.py": "the gate of pictures",
    "model/embedding/sound_file.py": "the gate of sounds",
    "model/saving/checkpoint_gate.py": "the gate of checkpoints",
    "pages/explore/web.py": "its own style and scripts",
    "pages/inlining.py": "the gate of media of an evaluation, from bytes of a bounded size",
    "pipeline/decoding/pyav.py": "videos, in a worker that may die of them",
    "pipeline/decoding/workers.py": "what its own workers say, and /proc",
    "pipeline/sources/archive.py": "the gate of archives of videos",
    "pipeline/sources/list_file.py": "the gate of lists, Parquet among them",
    "retrieval/vectors.py": "the gate of the index of embeddings",
    "shards/index/clip_table.py": "the gate of tables, from bytes of a bounded size",
    "shards/stores/remote.py": "requests over HTTP",
    "workflows/loading.py": "a frame of a clip that has passed its gate",
}
"""What reads files without `avcorr.files`, or loads what a file holds, and why it may."""
_READS = re.compile(
    r"(open|json\.loads?|(yaml|np|numpy|torch|safetensors|pickle)\.(safe_)?load|.*\.(open|read_bytes|read_text)|"
    r"pq\.(read_table|ParquetFile)|(soundfile|sf)\.(read|SoundFile|info)|np\.(fromfile|memmap|genfromtxt|loadtxt))"
)
_OWN_PARTS = ("Path(__file__)", "HERE", "webbrowser", "self")


def reads(path: Path) -> Iterator[str]:
    """Yield the calls in a file that read others or load what they hold, but for parts of this package."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and _READS.fullmatch(called := ast.unparse(node.func)):
            place = 1 if called == "open" else 0
            mode = node.args[place : place + 1] + [word.value for word in node.keywords if word.arg == "mode"]
            writes = mode and ast.unparse(mode[0]).strip("'\"") in ("wb", "w", "ab", "a", "w+b", "r+b")
            if not writes and not called.lstrip("(").startswith(_OWN_PARTS):
                yield called


def test_files_are_read_through_their_gates() -> None:
    """Bounded, regular, typed: whoever wrote a file, it is told in one line where it is not what it should be."""
    files = {
        f"{room}/{path.relative_to(top).as_posix()}": path
        for room, top in [("avcorr", ROOT / "src" / "avcorr"), *((name, ROOT / name) for name in ALLOWED)]
        for path in (top.glob("*.py") if room == "avcorr" else top.rglob("*.py"))
    }
    found = {name: called for name, path in files.items() if (called := sorted(set(reads(path))))}
    assert {name: called for name, called in found.items() if name not in READERS} == {}
    assert READERS.keys() <= found.keys()


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
