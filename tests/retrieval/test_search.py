"""What a search brings back: the nearest, of the labels asked for, each recording once; compared with brute force."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from avcorr.model.evaluation.relevance import SameLabel
from avcorr.model.evaluation.retrieval import retrieval
from avcorr.retrieval.answer import ask
from avcorr.retrieval.embeddings import EmbeddingFolder, Parts
from avcorr.retrieval.errors import RetrievalError
from avcorr.retrieval.query import Query, clip_query
from avcorr.retrieval.search import Searcher
from avcorr.retrieval.vectors import Kind, build_index, clusters_for
from tests.support.embeddings import Made, make_embeddings, unit


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make_embeddings(tmp_path_factory.mktemp("made") / "e")


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """20,000 rows in clusters."""
    return make_embeddings(tmp_path_factory.mktemp("many") / "e", clips=5000, classes=40, kind="ivf")


def brute(made: Made, vector: NDArray[np.float32], modality: str, top: int, keep: NDArray[np.bool_]) -> list[str]:
    """Return the keys of the clips of `keep` by their best view."""
    cosines = ({"image": made.image, "audio": made.audio}[modality] @ vector).reshape(len(made.keys), -1).max(axis=1)
    order = np.argsort(-np.where(keep, cosines, -np.inf), kind="stable")[: min(top, int(keep.sum()))]
    return [made.keys[clip] for clip in order]


def test_exact_search_is_brute_force(made: Made) -> None:
    searcher = made.searcher()
    assert searcher.index.kind == "exact"
    everything = np.ones(60, bool)
    for vector in unit(np.random.default_rng(1).normal(size=(10, 32))):
        for modality in ("image", "audio"):
            for top in (1, 7, 60, 500):
                hits = searcher.search(vector, modality, top=top)
                assert [hit.key for hit in hits] == brute(made, vector, modality, top, everything)
                assert [hit.cosine for hit in hits] == sorted((hit.cosine for hit in hits), reverse=True)


def test_a_hit_names_its_best_view(made: Made) -> None:
    hit = made.searcher().search(made.image[17 * 4 + 2], "image", top=1)[0]
    assert (hit.key, hit.clip, hit.time, hit.label) == (made.keys[17], 17, 2.5, "class 5")
    assert hit.cosine == pytest.approx(1, abs=1e-5)


def test_clusters_lose_few_of_the_neighbours(many: Made) -> None:
    searcher = many.searcher()
    assert searcher.index.kind == "ivf" and clusters_for(len(searcher.embeddings)) == 256
    rng = np.random.default_rng(2)
    found = wanted = 0
    for row in rng.integers(20000, size=50):
        expected = brute(many, many.audio[row], "image", 10, np.ones(5000, bool))
        found += len(set(expected) & {hit.key for hit in searcher.search(many.audio[row], "image", top=10)})
        wanted += 10
    assert found / wanted > 0.95


@pytest.mark.parametrize("label", ["class 3", "class 39"])
def test_a_rare_label_is_found_in_clusters_too(many: Made, label: str) -> None:
    """The query lies elsewhere, so the clusters next to it hold no clip of the label."""
    searcher, keep = many.searcher(), many.labels == label
    for row in (0, 4, 8):
        hits = searcher.search(many.image[row], "image", top=10, labels=[label])
        assert [hit.key for hit in hits] == brute(many, many.image[row], "image", 10, keep)


def test_filters_keep_others_out(made: Made) -> None:
    searcher, vector = made.searcher(), made.audio[0]
    test = np.arange(60) >= 40
    for labels, splits, keep in (
        (["class 2"], [], made.labels == "class 2"),
        (["class 2", "class 4"], ["test"], np.isin(made.labels, ["class 2", "class 4"]) & test),
        ([], ["train"], ~test),
    ):
        hits = searcher.search(vector, "image", top=100, labels=labels, splits=splits)
        assert [hit.key for hit in hits] == brute(made, vector, "image", 100, keep)


def test_a_filter_that_nothing_can_pass_is_an_error(made: Made) -> None:
    searcher = made.searcher()
    with pytest.raises(RetrievalError, match="no clip has the label 'clas 2'; did you mean 'class 2'"):
        searcher.search(made.image[0], "image", labels=["clas 2"])
    with pytest.raises(RetrievalError, match="split 'dev'; there are test, train"):
        searcher.search(made.image[0], "image", splits=["dev"])
    with pytest.raises(RetrievalError, match="31 numbers, the index 32"):
        searcher.search(made.image[0][:31], "image")


def test_clips_of_one_video_are_shown_once(tmp_path: Path) -> None:
    made = make_embeddings(tmp_path, videos=np.arange(60) // 3)
    searcher = made.searcher()
    hits = searcher.search(made.image[0], "image", top=20)
    assert len(hits) == 20 and len({int(key[1:]) // 3 for key in (hit.key for hit in hits)}) == 20
    assert hits[0].key == made.keys[0] and set(hits[0].also) <= set(made.keys[1:3]) and hits[0].also
    again = searcher.search(made.image[0], "image", top=60, duplicates=True)
    assert len(again) == 60 and not any(hit.also for hit in again)


def test_a_copy_is_shown_once_but_not_the_same_picture_with_another_sound(tmp_path: Path) -> None:
    hashes = np.random.default_rng(3).integers(256, size=(60 * 4, 32)).astype(np.uint8)
    plain = make_embeddings(tmp_path / "plain", hashes=hashes)
    best = [hit.clip for hit in plain.searcher().search(plain.image[0], "image", top=3)]
    copy, other = best[1], best[2]
    alike = hashes.copy()
    alike[copy * 4 + 3] = hashes[best[0] * 4 + 1] ^ np.packbits(np.arange(256) < 20)  # 20 bits differ
    alike[other * 4] = hashes[best[0] * 4 + 2]
    made = make_embeddings(tmp_path / "copies", hashes=alike)
    audio = made.audio.copy()
    audio[copy * 4 + 3] = audio[best[0] * 4 + 1]  # sounds the same, too
    rewrite(made, audio)
    hits = made.searcher().search(made.image[0], "image", top=3)
    assert hits[0].also == (made.keys[copy],)
    assert hits[1].key == made.keys[other]


def rewrite(made: Made, audio: NDArray[np.float32]) -> None:
    """Write the same parts with other sounds."""
    folder = EmbeddingFolder(made.folder)
    parts = Parts(made.folder, folder.identity)
    start = 0
    for name in folder.parts:
        columns = {column: file for column in ("image", "time", "hash") for file in [_part(folder, name, column)]}
        count = len(columns["time"])
        lines = (made.folder / f"{name}.jsonl").read_text()
        parts.write(name, "other", columns | {"audio": audio[start : start + count]}, _clips(lines))
        start += count
    parts.finish(folder.parts, {"step": 7, "shared_space": True, "shards": "/nowhere"})
    build_index(made.folder)


def _part(folder: EmbeddingFolder, name: str, column: str) -> NDArray[np.generic]:
    return list(folder.blocks(column))[folder.parts.index(name)]


def _clips(lines: str) -> list:
    import json

    from avcorr.retrieval.embeddings import EmbeddedClip

    return [EmbeddedClip(**json.loads(line)) for line in lines.splitlines()]


def test_a_clip_does_not_find_itself_like_for_like(made: Made) -> None:
    searcher = made.searcher()
    query = clip_query(searcher, made.keys[5])
    for side in ("image", "audio"):
        keys = [hit.key for hit in ask(searcher, query, by=side, to=side, top=60).hits]
        assert made.keys[5] not in keys and len(keys) == 59
    across = ask(searcher, query, top=60)
    assert (across.by, across.to) == ("image", "audio") and made.keys[5] in [hit.key for hit in across.hits]


def test_a_query_is_asked_by_what_it_has(made: Made) -> None:
    picture = Query("a.jpg", "picture", made.image[0], None)
    sound = Query("a.wav", "sound", None, made.audio[0])
    both = Query("a.mp4", "video", made.image[0], made.audio[0])
    assert picture.choose(None, None) == ("image", "audio") and picture.choose(None, "image") == ("image", "image")
    assert sound.choose(None, None) == ("audio", "image") and sound.choose(None, "audio") == ("audio", "audio")
    assert both.choose(None, "image") == ("audio", "image") and both.choose("audio", "audio") == ("audio", "audio")
    with pytest.raises(RetrievalError, match="no audio to ask by; it is a picture"):
        picture.choose("audio", None)


def test_what_shares_no_space_is_not_compared(tmp_path: Path) -> None:
    searcher = make_embeddings(tmp_path, shared_space=False).searcher()
    query = clip_query(searcher, "v000000")
    assert len(ask(searcher, query, by="audio", to="audio").hits) == 10
    with pytest.raises(RetrievalError, match="share no space"):
        ask(searcher, query, by="audio", to="image")


def test_an_index_of_other_embeddings_is_refused(tmp_path: Path, made: Made) -> None:
    folder = tmp_path / "e"
    shutil.copytree(made.folder, folder)
    (folder / "index.json").unlink()
    with pytest.raises(RetrievalError, match="has no index; run the same avcorr embed again"):
        Searcher(EmbeddingFolder(folder))
    build_index(folder)
    assert Searcher(EmbeddingFolder(folder)).search(made.image[0], "image", top=1)[0].key == made.keys[0]
    parts = Parts(folder, EmbeddingFolder(folder).identity)
    parts.finish([], {"step": 8, "shared_space": True, "shards": "/nowhere"})
    Searcher(EmbeddingFolder(folder))  # the same parts
    (folder / "part-000001.jsonl").write_text((folder / "part-000001.jsonl").read_text().replace("class 2", "class 9"))
    parts.finish([], {"step": 8, "shared_space": True, "shards": "/nowhere"})
    with pytest.raises(RetrievalError, match="an index of other embeddings"):
        Searcher(EmbeddingFolder(folder))


@pytest.mark.parametrize("kind", ["exact", "ivf"])
@pytest.mark.parametrize("name", ["image.faiss", "audio.faiss", "hashes.npy", "times.npy"])
def test_a_damaged_index_is_a_known_error(tmp_path: Path, made: Made, kind: Kind, name: str) -> None:
    folder = tmp_path / "e"
    shutil.copytree(made.folder, folder)
    assert build_index(folder, kind) == kind
    data = (folder / name).read_bytes()
    for damaged in (data[:-1], data[: len(data) // 2], b"", b"nonsense".ljust(len(data), b"!")):
        (folder / name).write_bytes(damaged)
        with pytest.raises(RetrievalError, match=r"damaged|cut or missing"):
            Searcher(EmbeddingFolder(folder))
    if name.endswith("faiss"):  # the same length, which nobody can tell
        build_index(folder, "ivf" if kind == "exact" else "exact")
    else:
        (folder / name).unlink()
        build_index(folder, kind)
    assert Searcher(EmbeddingFolder(folder)).search(made.image[0], "image", top=1)[0].key == made.keys[0]


def first_hits(made: Made) -> float:
    """Return how often a sound's first image is of its class, by the searches of `avcorr search`."""
    searcher = made.searcher()
    hits = [searcher.search(vector, "image", top=1, duplicates=True)[0] for vector in made.audio]
    return float(np.mean([hit.label == label for hit, label in zip(hits, made.labels, strict=True)]))


def test_search_finds_the_class_as_often_as_the_evaluation_says(tmp_path: Path) -> None:
    """The two are written independently: one asks the index, the other sorts all distances."""
    made = make_embeddings(tmp_path, clips=300, views=1, noise=2.0)
    expected = retrieval(made.image, made.audio, made.videos, [SameLabel(made.labels)], 30, 0, 10)["audio_to_image"]
    found = first_hits(made)
    assert found == pytest.approx(expected["recall_at_1"])
    assert expected["chance"]["recall_at_1"] == pytest.approx(1 / 6) and found > 2 / 6


def test_without_correspondence_search_is_at_chance(tmp_path: Path) -> None:
    made = make_embeddings(tmp_path, clips=900, views=1, noise=2.0)
    rng = np.random.default_rng(5)
    rewrite(made, made.audio[rng.permutation(900)])
    folder = EmbeddingFolder(made.folder)
    shuffled = Made(made.folder, made.image, np.concatenate(list(folder.blocks("audio"))), made.labels, made.videos,
                    made.keys, 1)  # fmt: skip
    assert first_hits(shuffled) == pytest.approx(1 / 6, abs=5 * (5 / 36 / 900) ** 0.5)


def test_filters_that_let_many_pass_use_the_clusters(many: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """What millions of rows meet: more rows pass than are compared one by one."""
    monkeypatch.setattr("avcorr.retrieval.vectors.FEW_ROWS", 100)
    searcher = many.searcher()
    keep = np.arange(5000) < 3334
    found = wanted = 0
    for row in range(0, 20000, 1000):
        expected = brute(many, many.audio[row], "image", 10, keep)
        hits = searcher.search(many.audio[row], "image", top=10, splits=["train"])
        assert {hit.split for hit in hits} == {"train"} and len(hits) == 10
        found += len(set(expected) & {hit.key for hit in hits})
        wanted += 10
    assert found / wanted > 0.95
    hits = searcher.search(many.audio[0], "image", top=300, labels=["class 7"])
    assert {hit.label for hit in hits} == {"class 7"} and len(hits) == 125
