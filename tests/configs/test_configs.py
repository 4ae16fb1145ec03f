"""Configuration: strict, with messages that name the path, the value and the nearest known key."""

import os
from pathlib import Path

import pytest

from avcorr.configs.load import ConfigError, dump_config, load_config

CONFIGS = Path(__file__).parents[2] / "configs"
NESTED_ALIASES = "&a0 x"
for _level in range(1, 10):
    NESTED_ALIASES = f"&a{_level} [{NESTED_ALIASES}{f', *a{_level - 1}' * 8}]"
NESTED_ALIASES = f"train: {{steps: {NESTED_ALIASES}}}"


def test_the_papers_recipe() -> None:
    config = load_config(CONFIGS / "vggsound.yaml")
    train, pairs = config.train, config.pairs
    assert (train.steps, train.batch_size, train.learning_rate) == (400_000, 256, 1e-3)
    assert (train.objective, train.schedule, train.weight_decay) == ("pair", "constant", 0.0)
    assert (pairs.positive_rate, pairs.frame_size, pairs.window_seconds, pairs.split) == (0.5, 224, 1.0, "train")
    assert (config.model.embedding_size, config.model.width) == (128, 64)
    assert (config.shard.frames_per_second, config.shard.short_side, config.shard.clip_seconds) == (4.0, 256, 10.0)


def test_the_references_recipes() -> None:
    l3net, avenet = load_config(CONFIGS / "l3net.yaml"), load_config(CONFIGS / "avenet.yaml")
    for config in (l3net, avenet):
        spectrogram = config.model.spectrogram
        assert (spectrogram.bins, 1 + (spectrogram.sample_rate - spectrogram.window) // spectrogram.hop) == (257, 199)
        assert (config.train.objective, config.train.weight_decay, config.train.decay) == ("pair", 1e-5, "l2")
    assert l3net.train.steps * l3net.train.batch_size == 60_000_000
    assert (avenet.train.schedule, avenet.train.decay_factor) == ("stepwise", 0.94)


def test_our_recipe_costs_what_the_papers_does() -> None:
    paper, ours = load_config(CONFIGS / "vggsound.yaml"), load_config(CONFIGS / "strong.yaml")
    assert (ours.shard, ours.model) == (paper.shard, paper.model)
    assert (ours.train.steps, ours.train.batch_size) == (paper.train.steps, paper.train.batch_size)
    assert ours.pairs.frame_size == paper.pairs.frame_size


@pytest.mark.parametrize("name", sorted(path.name for path in CONFIGS.glob("*.yaml")))
def test_every_setting_of_a_recipe_is_commented(name: str) -> None:
    for line in (CONFIGS / name).read_text().splitlines():
        if line.startswith("  "):
            assert "# " in line, line


@pytest.mark.parametrize("name", sorted(path.name for path in CONFIGS.glob("*.yaml")))
def test_every_recipe_loads_and_comes_back(tmp_path: Path, name: str) -> None:
    config = load_config(CONFIGS / name)
    saved = tmp_path / "config.yaml"
    saved.write_text(dump_config(config))
    assert load_config(saved) == config


def test_overrides_win(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("train:\n  steps: 7\n  seed: 3\n")
    config = load_config(file, ["train.steps=9", "shard.ffmpeg=/usr/bin/ffmpeg", "model.spectrogram.mel_bins=64"])
    assert (config.train.steps, config.train.seed, config.shard.ffmpeg) == (9, 3, "/usr/bin/ffmpeg")
    assert config.model.spectrogram.mel_bins == 64


@pytest.mark.parametrize("text", ["1e-3", "0.001", "1.0e-3", "1E-3"])
def test_numbers_are_what_they_look_like(text: str) -> None:
    assert load_config(None, [f"train.learning_rate={text}"]).train.learning_rate == 1e-3


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["train.learning_rat=1"], "unknown key train.learning_rat; did you mean 'learning_rate'?"),
        (["trian.steps=3"], "unknown key trian; did you mean 'train'?"),
        (["train.lr=3"], "unknown key train.lr"),
        (["train.steps=many"], "train.steps: input should be a valid integer; found 'many'"),
        (["train.steps=1.5"], "train.steps"),
        (["train.steps=-1"], "train.steps: input should be greater than or equal to 1; found -1"),
        (["train.steps=010"], "found '010'"),
        (["pairs.positive_rate=1.5"], "pairs.positive_rate: input should be less than or equal to 1; found 1.5"),
        (["pairs.aligned=yes"], "pairs.aligned: input should be a valid boolean; found 'yes'"),
        (["train.learning_rate=.nan"], "train.learning_rate"),
        (["train.objective=contrastive"], "needs pairs.aligned: true"),
        (
            ["train.objective=sigmoid", "pairs.aligned=true", "model.architecture=l3net"],
            "architecture l3net does not have",
        ),
        (
            ["train.objective=sigmoid", "pairs.aligned=true", "model.architecture=avenet", "model.localise=true"],
            "localise: true does not have; set train.objective: pair",
        ),
        (["shard.sample_rate=8000"], "they must be equal"),
        (["steps=2"], "expected section.key=value"),
        (["train.steps"], "expected section.key=value"),
        (["train.steps=["], "is not valid YAML"),
        (["train.steps=1", "train.steps.x=1"], "steps is a value, not a section"),
    ],
)
def test_mistakes_are_named(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(None, overrides)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train:\n  steps: 3\n  steps: 4\n", "the key 'steps' is repeated in line 3"),
        ("- a\n- b\n", "holds list; expected sections"),
        ("train: 5\n", "train"),
        ("train: {steps: !!python/object/apply:os.getpid []}\n", "is not valid YAML"),
        ("a: b: c\n", "is not valid YAML"),
        ("[train]: 3\n", "the key in line 1 is a list, not a name"),
        ("? {a: [b]}\n: 3\n", "the key in line 1 is a dict, not a name"),
        ("3: {steps: 3}\n", "the key in line 1 is a int, not a name"),
        ("train: {steps: [" + "[3], " * 9 + "]}\n", "train.steps: input should be a valid integer; found a list"),
        ("train: {steps: {a: 3}}\n", "train.steps: input should be a valid integer; found a mapping"),
        ("train: {steps: " + "x" * 90_000 + "}\n", "found 'xxx"),
        (NESTED_ALIASES, "is not valid YAML: an alias is not read here; write the value itself"),
        ("train: &a {seed: *a}\n", "is not valid YAML: an alias"),
        ("train: {compile: !!bool xyz}\n", "is not valid YAML: the tag tag:yaml.org,2002:bool is not read here"),
        ("train: {steps: !!timestamp x}\n", "is not valid YAML: the tag"),
        ("train: {steps: " + "9" * 5000 + "}\n", "is not valid YAML: Exceeds the limit"),
        ("[" * 2000, "is not valid YAML: there are more than 16 levels"),
        ("[" * 100_000, "is not valid YAML: there are more than 16 levels"),
        ("a: " * 20 + "b", "is not valid YAML"),
        ("".join(f"{' ' * level}a:\n" for level in range(500)), "is not valid YAML: there are more than 16 levels"),
        (b"train: {steps: \xff}\n", "is not valid YAML: byte 15 is not UTF-8; save the file as UTF-8"),
        ("train: {steps: 3}\n".encode("utf-16"), "is not valid YAML: byte 0 is not UTF-8"),
        ("train: {steps: 3}\n".encode("utf-16-le"), "is not valid YAML"),
        ("train: {steps: 3} #" + "x" * (1 << 17), "has 131091 bytes; a file of its kind has at most 131072"),
        ("\n".join(f"a{number}: 3" for number in range(5000)), "has 5000 mistakes; the first 20 are"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, text: str | bytes, message: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(ConfigError, match="bad.yaml") as caught:
        load_config(file)
    assert message in str(caught.value) and len(str(caught.value)) < 4000


@pytest.mark.parametrize(
    "value", [NESTED_ALIASES.partition(": ")[2], "[" * 2000, "!!bool xyz", "{[a]: 3}", "x" * 200_000]
)
def test_a_setting_is_read_as_carefully(value: str) -> None:
    with pytest.raises(ConfigError, match="^--set train.steps=") as caught:
        load_config(None, [f"train.steps={value}"])
    assert len(str(caught.value)) < 1000


def test_a_pipe_is_no_configuration(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    for path in (tmp_path / "pipe.yaml", Path("/dev/zero"), tmp_path):
        with pytest.raises(ConfigError, match=r"cannot be read \(is no regular file\)"):
            load_config(path)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(None, ["train.steps=0", "pairs.workers=-1", "shard.name=A b"])
    assert len(str(caught.value).splitlines()) == 3


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "absent.yaml")


@pytest.mark.parametrize(
    ("text", "overrides", "line"),
    [
        ("train: {steps: 5}", ["train.steps=0"], "--set train.steps=0: train.steps: input should be greater"),
        ("train: {steps: 0}", ["train.seed=1"], "{file}: train.steps: input should be greater"),
        ("train: {steps: 5}", ["train.stepz=5"], "--set train.stepz=5: unknown key train.stepz; did you mean"),
        ("train: {steps: 5}", ["trian.steps=5"], "--set trian.steps=5: unknown key trian"),
        ("train: {steps: 5}", ["train.warmup_steps=9"], "{file} with --set train.warmup_steps=9: train: warmup_steps"),
        ("train: {steps: 5, warmup_steps: 9}", [], "{file}: train: warmup_steps must be less"),
        ("train: {steps: 5}", ["shard.sample_rate=8000"], "{file} with --set shard.sample_rate=8000: shard.sample_"),
    ],
)
def test_a_mistake_is_blamed_on_where_it_was_made(tmp_path: Path, text: str, overrides: list[str], line: str) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(file, overrides)
    assert str(caught.value).startswith(line.format(file=file))


def test_settings_are_given_as_values_too() -> None:
    values = {"train.steps": 90, "eval.gallery": Path("list.txt"), "eval.protocol": "list"}
    config = load_config(load_config("quickstart"), ["train.steps=7", "train.seed=3"], values)
    assert (config.train.steps, config.train.seed, config.eval.gallery) == (90, 3, "list.txt")
    with pytest.raises(ConfigError, match=r"^the setting train.steps=many: train.steps: input should be"):
        load_config(None, {"train.steps": "many"})
    with pytest.raises(ConfigError, match="expected section.key=value"):
        load_config(None, {"steps": 3})


def test_a_recipe_is_named_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_config("quickstart") == load_config(CONFIGS / "quickstart.yaml")
    (tmp_path / "mine").write_text("train: {steps: 3}")
    assert load_config("mine").train.steps == load_config(Path("mine")).train.steps == 3
    with pytest.raises(ConfigError, match="no recipe 'quickstrat'; the recipes are avenet, l3net, quickstart, strong"):
        load_config("quickstrat")
    with pytest.raises(ConfigError, match=r"cannot be read .*or a recipe: avenet"):
        load_config("quickstrat.yaml")
