"""Galleries by name: which clips are evaluated, by which views, and what is said where they differ from the name."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
import torch
from pydantic import ValidationError

import run as program
from avcorr.model.evaluation.evaluation_folder import find_evaluation
from avcorr.model.settings import EvalSettings
from avcorr.pipeline.errors import PairError
from avcorr.pipeline.galleries.gallery import Gallery, GalleryClip
from avcorr.pipeline.galleries.protocols import (
    PUBLISHED,
    Protocol,
    hash_of,
    listed,
    names_of,
    one_of_each_video,
    read_ids,
)
from avcorr.pipeline.packing.pack import pack
from avcorr.pipeline.sources.find import find_sources
from tests.conftest import SMALL, MakeVideo

IDS = ("AbCdEfGhIjK_000001", "AbCdEfGhIjK_000011", "--bCdEfGhI0_000030", "Zz345678901_000150")


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory, make_video: MakeVideo) -> Path:
    """Shards of four test clips with VGGSound's names, two of one video, and two train clips."""
    folder = tmp_path_factory.mktemp("named")
    rows = []
    for number, name in enumerate([*IDS, "Tr045678901_000000", "Tr145678901_000000"]):
        make_video(folder / "videos" / f"{name}.mp4", tone=300 + 150 * number)
        rows.append(f"{name[:11]},{int(name[12:])},label {number % 2},{'test' if name in IDS else 'train'}")
    (folder / "vggsound.csv").write_text("\n".join(rows))
    sources = find_sources(folder / "vggsound.csv", videos=folder / "videos")
    assert pack(sources, folder / "shards", SMALL, workers=2).packed == 6
    return folder / "shards"


def gallery_of(root: Path, name: str = "full/center", path: str = "") -> tuple[Gallery, Protocol]:
    protocol = Protocol(name, path, 0)
    gallery = Gallery(
        root, "test", views_per_clip=3, seed=0, frame_size=32, window_seconds=1.0,
        pooling=protocol.pooling, choose=protocol.choose,
    )  # fmt: skip
    return gallery, protocol


def test_a_list_is_read_and_hashed_whatever_its_order(tmp_path: Path) -> None:
    path = tmp_path / "ids.txt"
    path.write_text("b_000001  # a comment\n\n# another\na_000000\nb_000001\n")
    assert read_ids(path) == ("b_000001", "a_000000")
    assert hash_of(["b", "a"]) == hash_of(["a", "b"]) != hash_of(["a"])
    path.write_text("# nothing\n")
    with pytest.raises(PairError, match="names no clip"):
        read_ids(path)
    with pytest.raises(PairError, match="cannot be read"):
        read_ids(tmp_path / "absent")


def test_a_clip_is_named_by_its_key_or_by_what_that_was_made_of() -> None:
    assert names_of("v--bCdEfGhI0_000030") == ("v--bCdEfGhI0_000030", *("--bCdEfGhI0_000030",) * 2)
    assert "AbCdEfGhIjK_000001" in names_of("vAbCdEfGhIjK_000001-0123456789ab")
    clips = [GalleryClip(f"v{name}", number, "") for number, name in enumerate(IDS)]
    assert listed(clips, [IDS[2], "v" + IDS[0], "absent"]).tolist() == [0, 2]


def test_one_clip_of_each_video_is_drawn_by_keys_alone() -> None:
    clips = [GalleryClip(f"v{number}", number // 3, "") for number in range(60)]
    chosen = one_of_each_video(clips, 0)
    assert [clips[number].video for number in chosen] == list(range(20))
    turned = one_of_each_video(clips[::-1], 0)
    assert {clips[::-1][number].key for number in turned} == {clips[number].key for number in chosen}
    assert len(set(chosen.tolist()) & set(one_of_each_video(clips, 1).tolist())) < 15


@pytest.mark.parametrize(("pooling", "views"), [("center", 1), ("mean10", 10), ("random", 1)])
def test_the_views_that_stand_for_a_clip(named: Path, pooling: str, views: int) -> None:
    """Clips of three seconds, frames from 0.5 to 2.5 s."""
    name = "avenet/random" if pooling == "random" else f"full/{pooling}"
    gallery, _ = gallery_of(named, name)
    batches = list(gallery.batches(4))
    clips, times = (torch.cat([getattr(batch, column) for batch in batches]).numpy() for column in ("clips", "times"))
    assert len(times) == len(gallery) and len(set(zip(clips, times, strict=True))) == len(times)  # none twice
    assert gallery.drawn.shape == (len(gallery.clips), 3) and gallery.pooled.shape == (len(gallery.clips), views)
    for number in range(len(gallery.clips)):
        assert set(clips[gallery.drawn[number]]) == set(clips[gallery.pooled[number]]) == {number}
        own = times[gallery.pooled[number]]
        if pooling == "center":
            assert abs(own[0] - 1.5) <= 0.15
        elif pooling == "random":
            assert own[0] == times[gallery.drawn[number, 0]]
        else:
            assert (np.diff(own) >= 0).all() and own[0] < 0.8 and own[-1] > 2.2 and abs(own.mean() - 1.5) < 0.2


def test_a_clip_of_few_frames_repeats_its_views(named: Path) -> None:
    gallery = Gallery(named, "test", views_per_clip=40, seed=0, frame_size=32, window_seconds=1.0)
    few = len(set(gallery.drawn[0].tolist()))
    assert few < 40 and gallery.drawn[0].tolist() == [number % few for number in range(40)]


def test_a_gallery_by_list_holds_these_clips_and_their_media(named: Path, tmp_path: Path) -> None:
    path = tmp_path / "ids.txt"
    path.write_text(f"{IDS[3]}\n{IDS[1]}\nNotHere0000_000000\n")
    gallery, protocol = gallery_of(named, "list/center", str(path))
    assert {clip.key for clip in gallery.clips} == {f"v{IDS[1]}", f"v{IDS[3]}"}
    assert protocol.notes == ["1 of 3 ids are not in the shards, NotHere0000_000000 for one"]
    whole, _ = gallery_of(named)
    for batch in gallery.batches(64):
        for row, clip in enumerate(batch.clips.tolist()):
            (number,) = [place for place, other in enumerate(whole.clips) if other.key == gallery.clips[clip].key]
            time = float(batch.times[row])
            sound = whole.media([(number, time)])[number, time][1]
            assert sound[44:] == batch.audio[row].numpy().astype("<i2").tobytes()
            assert gallery.media([(clip, time)])[clip, time][1] == sound
            seen = simplejpeg.decode_jpeg(gallery.crops([(clip, time)])[clip, time])
            assert np.abs(seen.astype(float) - batch.frames[row].numpy()).mean() < 6
    assert gallery.media([]) == gallery.crops([]) == {}
    path.write_text("NotHere0000_000000\n")
    with pytest.raises(PairError, match="none of the 4 clips is in the gallery of the protocol list"):
        gallery_of(named, "list/center", str(path))


def test_another_list_than_the_published_one_is_said(named: Path, tmp_path: Path) -> None:
    path = tmp_path / "ids.txt"
    path.write_text("\n".join(IDS))
    _, protocol = gallery_of(named, "cavmae-1545/center", str(path))
    count, digest = PUBLISHED["cavmae-1545"]
    assert protocol.notes == [
        f"the list has 4 ids; the published one has {count}",
        f"the list's hash is {hash_of(IDS)[:12]}; the published one's is {digest[:12]}",
    ]


def test_avenet_takes_one_clip_of_each_video(named: Path) -> None:
    gallery, protocol = gallery_of(named, "avenet/random")
    assert len({clip.video for clip in gallery.clips}) == len(gallery.clips) == 3 and protocol.notes == []


def test_vggsounder_labels_clips_by_modality(tmp_path: Path, make_video: MakeVideo) -> None:
    package = pytest.importorskip("vggsounder", reason="the labels come with the package vggsounder")
    labels = package.VGGSounder(background_music=None)
    entries = [labels[place] for place in range(3)]
    for entry in entries:
        make_video(tmp_path / "videos" / "test" / f"{entry.video_id}.mp4")
    make_video(tmp_path / "videos" / "test" / "Unknown0000_000000.mp4")
    pack(find_sources(tmp_path / "videos"), tmp_path / "shards", SMALL, workers=2)
    gallery, protocol = gallery_of(tmp_path / "shards", "vggsounder/center")
    assert "3 of 4 clips have some" in protocol.notes[0]
    audible, visible, source = protocol.perceived(gallery.clips)
    assert source.startswith("VGGSounder ") and audible.shape == visible.shape == (3, len(labels.get_all_labels()))
    by_key = {f"v{entry.video_id}": entry for entry in entries}
    for row, clip in enumerate(gallery.clips):
        modalities = by_key[clip.key].modalities
        assert audible[row].sum() == sum("A" in text for text in modalities)
        assert visible[row].sum() == sum("V" in text for text in modalities)


def test_without_its_package_vggsounder_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vggsounder", None)  # what makes an import fail
    with pytest.raises(PairError, match=r"pip install 'avcorr\[vggsounder\]'"):
        Protocol("vggsounder/center", "", 0)


@pytest.mark.parametrize(
    ("given", "name"),
    [("full", "full/center"), ("avenet", "avenet/random"), ("vggsounder/mean10", "vggsounder/mean10")],
)
def test_a_name_is_completed(given: str, name: str) -> None:
    assert EvalSettings(protocol=given).protocol == name


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"protocol": "ful"}, "there is no protocol 'ful'"),
        ({"protocol": "avenet/mean10"}, "has the pooling random"),
        ({"protocol": "full/random"}, "has the pooling center or mean10"),
        ({"protocol": "cavmae-1545"}, "needs a gallery"),
        ({"protocol": "full", "gallery": "ids.txt"}, "chooses its gallery itself"),
    ],
)
def test_a_protocol_that_cannot_be_is_refused(values: dict[str, str], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        EvalSettings.model_validate(values)


def test_eval_by_list_and_by_ontology_and_in_any_batches(
    named: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def command(*words: str | Path) -> int:
        return program.main([str(word) for word in words])

    run, ids = tmp_path / "run", tmp_path / "my clips.txt"
    small = [
        "pairs.frame_size=32", "pairs.workers=0", "pairs.aligned=true", "train.objective=contrastive", "model.width=8",
        "model.spectrogram.mel_bins=16", "train.steps=1", "train.batch_size=8", "eval.views_per_clip=2",
        "eval.bootstrap=20", "pairs.block_clips=0", "train.device=cpu",
    ]  # fmt: skip
    settings = [word for text in small for word in ("--set", text)]
    assert command("train", "--shards", named, "--run", run, *settings) == 0
    ids.write_text("\n".join(IDS[1:]))
    evaluate = ["eval", "--run", run, "--shards", named]
    results = []
    for batch_size in (1, 64):
        assert command(*evaluate, "--gallery", ids, "--set", f"eval.batch_size={batch_size}") == 0
        results.append(json.loads((find_evaluation(run) / "metrics.json").read_text()))
    assert results[0] == results[1]
    assert results[0]["protocol"]["name"] == "list/center" and results[0]["clips"] == 3
    assert "protocol list/center" in capsys.readouterr().out
    assert command(*evaluate, "--protocol", "cavmae-1545/mean10", "--gallery", ids) == 0
    text = capsys.readouterr().out
    assert "note: the list has 3 ids; the published one has 1545" in text and "cavmae-1545/mean10" in text
    assert command(*evaluate, "--protocol", "cavmae-1545") == 1
    assert "needs a gallery" in capsys.readouterr().err
    ontology = tmp_path / "ontology.json"
    ontology.write_text('[{"id": "/m/1", "name": "Wind", "child_ids": []}]')
    assert command(*evaluate, "--ontology", ontology) == 1
    assert "lacks 2 of the labels, 'label 0' for one" in capsys.readouterr().err
    ids.write_text("\n".join([*IDS, "Tr045678901_000000"]))
    assert command(*evaluate, "--gallery", ids, "--set", "eval.split=train") == 1
    assert "1 source videos of the split 'train'" in capsys.readouterr().err
