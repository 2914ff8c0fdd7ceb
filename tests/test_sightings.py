"""What detectors and captioners saw: the five rules, the file, who counts as VBench's own, the provided stand-ins."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from manzar.media import write
from manzar.nouns import DataError, ModelError, UsageError, Video
from manzar.score import detect
from manzar.score.bench import Bench
from manzar.score.dimension import Dimension, Measured, Unscored, mean_of_parts
from manzar.score.dimensions import color, multiple_objects, object_class, scene, spatial_relationship
from manzar.score.film import Asked, Film, file_digest
from manzar.score.sampling import middle
from manzar.score.sightings import (
    NAME,
    DenseCaption,
    Detection,
    Maker,
    Sightings,
    append,
    parse,
    provide,
    read,
)
from manzar.score.suite import Relation

Frames = NDArray[np.uint8]
GRIT, TAG2TEXT = Maker("GRiT", "ab" * 32), Maker("Tag2Text", "cd" * 32)
FILM = Film(Path("a red cat-0.mp4"), np.zeros((24, 4, 4, 3), np.uint8), 8.0, "12" * 32)
BOX = (0.0, 0.0, 4.0, 4.0)


def film(dimension: str, details: Any, prompt: str = "a red cat", folder: Path = Path()) -> Film:
    return replace(FILM, path=folder / FILM.path, asked=Asked(prompt, 0, {dimension: details}))


def seen(by: Maker = GRIT, **parts: Any) -> Sightings:
    return Sightings("a red cat-0.mp4", FILM.digest, by, tuple(middle(24, 16)), **parts)


def objects(*frames: Sequence[str]) -> tuple[tuple[Detection, ...], ...]:
    filled = [*frames, *[()] * (16 - len(frames))]
    return tuple(tuple(Detection(name, BOX, 0.9) for name in frame) for frame in filled)


def bench_with(tmp_path: Path, *lines: Sightings) -> Bench:
    for line in lines:
        append(tmp_path / NAME, line)
    bench = Bench()
    provide(bench, [read(tmp_path)])
    return bench


# The rules, by hand


def test_object_class_counts_frames_with_the_exact_name() -> None:
    frames = objects(["dog", "cat"], ["cats"], ["Cat"], ["cat", "cat"])
    measured = object_class.judge(film("object_class", {"object": "cat"}), seen(objects=frames))
    assert measured.value == 2 / 16
    assert measured.parts == (1.0, 0.0, 0.0, 1.0, *[0.0] * 12)


def test_both_of_multiple_objects_must_be_in_one_frame() -> None:
    frames = objects(["cat"], ["dog"], ["dog", "bird", "cat"])
    measured = multiple_objects.judge(film("multiple_objects", {"object": "cat and dog"}), seen(objects=frames))
    assert measured.value == 1 / 16


@pytest.mark.parametrize(
    ("frame", "counts"),
    [
        ([("cat", "a red cat")], (1, 1)),
        ([("cat", "a cat")], (0, 0)),  # no colour was spoken of: the frame does not count
        ([("cat", "a white cat")], (1, 0)),
        ([("dog", "a red cat"), ("cat", "a red cat")], (0, 0)),  # only the frame's first object counts
        ([("cat", "a sofa"), ("dog", "a red ball")], (1, 1)),  # and every caption is taken to be of it
        ([("cat", "a tired, bored cat")], (1, 1)),  # "red" is in both words
        ([("cat", "a white cat"), ("cat", "a red cat")], (1, 1)),
        ([], (0, 0)),
    ],
)
def test_color_of_one_frame(frame: list[tuple[str, str]], counts: tuple[int, int]) -> None:
    assert color.coloured("red", "cat", [[DenseCaption(*one) for one in frame]]) == counts


def test_a_film_whose_object_is_never_seen_with_a_colour_has_no_value() -> None:
    nothing = seen(dense=((DenseCaption("cat", "a cat"),),) * 16)
    with pytest.raises(Unscored, match="no cat with a colour was seen"):
        color.judge(film("color", {"color": "red"}), nothing)


@pytest.mark.parametrize(
    ("where", "a", "b", "score"),
    [
        ("on the left of", (0, 0, 10, 10), (20, 5, 30, 15), 1.0),
        ("on the right of", (0, 0, 10, 10), (20, 5, 30, 15), 1.0),  # which side is not looked at
        ("on the top of", (0, 0, 10, 10), (20, 5, 30, 15), 0.0),
        ("on the top of", (0, 0, 10, 10), (5, 20, 15, 30), 1.0),
        ("on the left of", (0, 0, 10, 10), (20, 20, 30, 30), 0.0),  # as far across as along
        ("on the bottom of", (0, 0, 10, 10), (20, 20, 30, 30), 0.0),
        ("on the left of", (0, 0, 10, 10), (5, 0, 15, 10), 0.1 / (50 / 150)),
        ("on the left of", (0, 0, 11, 10), (9, 0, 20, 10), 0.1 / (20 / 200)),  # an overlap of exactly 0.1
        ("on the left of", (0, 0, 0, 0), (9, 0, 9, 0), 1.0),  # no area at all
        ("beside", (0, 0, 10, 10), (20, 5, 30, 15), 0.0),
    ],
)
def test_a_pair_of_boxes(where: str, a: Any, b: Any, score: float) -> None:
    assert spatial_relationship.pair_score(where, a, b) == pytest.approx(score, abs=1e-15)


def test_boxes_are_cut_to_whole_pixels_towards_zero() -> None:
    # In fractions the second lies 10.4 to the right and 10.2 below; in whole pixels as far one way as the other.
    frame = [Detection("cat", (0.1, -0.9, 10.2, 10.1), 1.0), Detection("dog", (10.9, 10.2, 20.4, 20.0), 1.0)]
    assert spatial_relationship.frame_scores(Relation("cat", "dog", "on the left of"), [frame]) == [0.0]


def test_two_of_a_kind_are_a_pair_and_one_alone_is_none() -> None:
    left, right = Detection("cat", (0, 0, 10, 10), 1.0), Detection("cat", (40, 0, 50, 10), 1.0)
    wanted = Relation("cat", "dog", "on the left of")
    frames = [[left, right], [left], [], [left, replace(right, name="bird")]]
    assert spatial_relationship.frame_scores(wanted, frames) == [1.0, 0.0, 0.0, 0.0]


def test_scene_words_may_be_parts_of_words_in_any_order() -> None:
    captions = ["a park that is amusement", "amusements and carparks", "a park", "Amusement park", ""]
    assert scene.hits(("amusement", "park"), captions) == [True, True, False, False, False]


# The rules against a slow restatement of them


def test_rules_of_detections_on_random_frames() -> None:
    draw = random.Random(0)
    names = ["cat", "dog", "cats", "bird", ""]
    for _ in range(400):
        frames = [[detection(draw, names) for _ in range(draw.randrange(5))] for _ in range(3)]
        for frame, one, both in zip(
            frames, object_class.hits(["cat"], frames), object_class.hits(("cat", "dog"), frames), strict=True
        ):
            here = [found.name for found in frame]
            assert one == (here.count("cat") > 0)
            assert both == (here.count("cat") > 0 and here.count("dog") > 0)
        for where in ("on the left of", "on the top of"):
            got = spatial_relationship.frame_scores(Relation("cat", "dog", where), frames)
            assert got == pytest.approx([slow_best_pair(frame, where) for frame in frames], abs=1e-12)


def detection(draw: random.Random, names: list[str]) -> Detection:
    x, y = draw.choice([0, 5, 10, draw.uniform(0, 40)]), draw.choice([0, 5, 10, draw.uniform(0, 40)])
    width, height = draw.choice([1, 10, draw.uniform(1, 30)]), draw.choice([1, 10, draw.uniform(1, 30)])
    return Detection(draw.choice(names), (x, y, x + width, y + height), 0.5)


def slow_best_pair(frame: list[Detection], where: str) -> float:
    """Overlap counted pixel by pixel, distances in doubled coordinates."""
    boxes = [[int(side) for side in found.box] for found in frame if found.name in ("cat", "dog")]
    pixels = [{(x, y) for x in range(b[0], b[2]) for y in range(b[1], b[3])} for b in boxes]
    best = 0.0
    for i, (x0, y0, x1, y1) in enumerate(boxes):
        for j in range(i):
            across = abs(x0 + x1 - boxes[j][0] - boxes[j][2])
            down = abs(y0 + y1 - boxes[j][1] - boxes[j][3])
            along, aside = (across, down) if where == "on the left of" else (down, across)
            if along <= aside:
                continue
            shared, all_of_them = len(pixels[i] & pixels[j]), len(pixels[i] | pixels[j])
            best = max(best, 1.0 if 10 * shared < all_of_them else 0.1 * all_of_them / shared)
    return best


def test_color_on_random_captions() -> None:
    draw = random.Random(1)
    words = ["red", "cat", "bored", "blue", "greyish", "wood", "silver"]
    for _ in range(400):
        frames = [
            [DenseCaption(draw.choice(["cat", "dog"]), " ".join(draw.choices(words, k=draw.randrange(4))))
             for _ in range(draw.randrange(4))]
            for _ in range(5)
        ]  # fmt: skip
        with_any = with_this = 0
        for frame in frames:
            text = "\n".join(caption.text for caption in frame) if frame and frame[0].name == "cat" else ""
            with_any += any(known in text for known in ("red", "blue", "grey", "silver"))
            with_this += "red" in text
        assert color.coloured("red", "cat", frames) == (with_any, with_this)


# The file


def test_a_line_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    line = seen(
        objects=objects(["cat"]), dense=((DenseCaption("cat", "एक लाल बिल्ली"),),) * 16, scenes=tuple("abcdefghijklmnop")
    )
    append(tmp_path / NAME, line)
    book = read(tmp_path)
    assert book.about(FILM.digest, "objects", "GRiT") == line
    assert book.about(FILM.digest, "objects", "owlv2") is None
    assert book.makers == {("objects", "GRiT"), ("dense", "GRiT"), ("scenes", "GRiT")}


def test_the_later_of_two_lines_counts_and_the_fingerprint_tells(tmp_path: Path) -> None:
    append(tmp_path / NAME, seen(objects=objects(["cat"])))
    before = read(tmp_path).fingerprint(FILM.digest)
    append(tmp_path / NAME, seen(objects=objects(["dog"])))
    after = read(tmp_path)
    assert after.fingerprint(FILM.digest) != before
    assert after.fingerprint("00" * 32) == ""
    found = after.about(FILM.digest, "objects", "GRiT")
    assert found is not None and found.objects == objects(["dog"])


ROW: dict[str, Any] = {
    "video": "x.mp4", "sha256": "12" * 32, "by": {"name": "GRiT", "sha256": "ab" * 32}, "frames": [0, 1],
    "objects": [[{"name": "cat", "box": [0, 0, 1, 1], "score": 0.5}], []],
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sha256": "12"}, "no sha256"),
        ({"by": {"name": "GRiT"}}, "lacks 'sha256'"),
        ({"by": "GRiT"}, "indices"),
        ({"frames": [0, 1.5]}, "1.5 stands where int is needed"),
        ({"frames": [0, 1, 2]}, "2 objects for 3 frames"),
        ({"objects": [[{"name": "cat", "box": [0, 0, 1], "score": 1}], []]}, "not enough values"),
        ({"objects": [[{"name": "cat", "box": [0, 0, 1, float("nan")], "score": 1}], []]}, "is no box"),
        ({"objects": [[{"name": 7, "box": [0, 0, 1, 1], "score": 1}], []]}, "7 stands where str is needed"),
        ({"scenes": ["a", None]}, "None stands where str is needed"),
        ({"dense": [[{"name": "cat"}], []]}, "lacks 'text'"),
    ],
)
def test_a_wrong_line_is_named_with_its_fault(change: dict[str, Any], message: str) -> None:
    assert parse(ROW, "here").objects[0][0].name == "cat"
    with pytest.raises(DataError, match=message):
        parse(ROW | change, "here")


def test_a_damaged_line_costs_its_film_alone_and_a_torn_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / NAME
    path.write_text(json.dumps(ROW | {"frames": "?"}) + "\n" + json.dumps(ROW | {"sha256": "34" * 32}) + "\n\n")
    assert read(path).about("34" * 32, "objects", "GRiT") is not None
    with pytest.raises(DataError, match="stands where int is needed"):
        read(path).about("12" * 32, "objects", "GRiT")
    path.write_text(json.dumps(ROW) + "\n" + json.dumps(ROW)[:50])
    with pytest.raises(DataError, match="line 2 is not JSON"):
        read(path)
    with pytest.raises(UsageError, match="no such file"):
        read(tmp_path / "elsewhere.jsonl")


# Who counts


CASES: list[tuple[Dimension, Any, str, Any, Maker]] = [
    (object_class.DIMENSION, {"object": "cat"}, "objects", objects(["cat"]), GRIT),
    (multiple_objects.DIMENSION, {"object": "cat and dog"}, "objects", objects(["cat", "dog"]), GRIT),
    (color.DIMENSION, {"color": "red"}, "dense", ((DenseCaption("cat", "a red cat"),), *[()] * 15), GRIT),
    (
        spatial_relationship.DIMENSION,
        {"spatial_relationship": {"object_a": "cat", "object_b": "dog", "relationship": "on the left of"}},
        "objects",
        ((Detection("cat", BOX, 1.0), Detection("dog", (9.0, 0.0, 12.0, 4.0), 1.0)), *[()] * 15),
        GRIT,
    ),
    (scene.DIMENSION, {"scene": {"scene": "alley"}}, "scenes", ("an alley", *[""] * 15), TAG2TEXT),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0].name)
def test_only_vbench_s_own_eyes_give_the_official_dimension(case: Any, tmp_path: Path) -> None:
    dimension, details, part, frames, maker = case
    other = Maker("owlv2", "ef" * 32)
    module = {"object_class": object_class, "multiple_objects": multiple_objects, "color": color,
              "spatial_relationship": spatial_relationship, "scene": scene}[dimension.name]  # fmt: skip
    stand_in = module.stand_in("owlv2")
    assert (dimension.kind, dimension.suite_only) == ("official", True)
    assert (stand_in.kind, stand_in.name) == ("stand-in", f"{dimension.name} (stand-in: owlv2)")
    assert module.stand_in(maker.name).kind == "official"  # no maker's name makes a stand-in of VBench's own
    for by, scored, unscored in ((maker, dimension, stand_in), (other, stand_in, dimension)):
        folder = tmp_path / by.name
        folder.mkdir()
        bench = bench_with(folder, seen(by, **{part: frames}))
        measured = scored.measure(film(dimension.name, details), bench)
        assert measured.value == (1.0 if part == "dense" else 1 / 16)
        assert len(measured.parts) == (1 if part == "dense" else 16)
        assert measured.detail["by"] == {"name": by.name, "sha256": by.sha256}
        with pytest.raises(Unscored, match="needs what"):
            unscored.measure(film(dimension.name, details), bench)


def test_official_says_where_its_network_comes_from() -> None:
    with pytest.raises(Unscored, match=r"needs what GRiT \(grit_b_densecap_objectdet.pth from .*sightings.jsonl"):
        object_class.DIMENSION.measure(film("object_class", {"object": "cat"}), Bench())


def test_a_film_s_sightings_are_found_beside_it(tmp_path: Path) -> None:
    append(tmp_path / NAME, seen(objects=objects(["cat"])))
    here = film("object_class", {"object": "cat"}, folder=tmp_path)
    assert object_class.DIMENSION.measure(here, Bench()).value == 1 / 16


def test_what_was_seen_in_another_file_of_that_name_is_refused(tmp_path: Path) -> None:
    stale = replace(seen(objects=objects(["cat"])), digest="99" * 32)
    here = film("object_class", {"object": "cat"})
    with pytest.raises(Unscored, match="speaks of another file of this name"):
        object_class.DIMENSION.measure(here, bench_with(tmp_path, stale))
    # but the same name in another folder, with sightings of its own, is nobody's fault
    (tmp_path / "other").mkdir()
    append(tmp_path / "other" / NAME, seen(objects=objects(["cat"])))
    bench = Bench()
    provide(bench, [read(tmp_path / "other"), read(tmp_path)])
    assert object_class.DIMENSION.measure(here, bench).value == 1 / 16


def test_what_was_seen_in_other_frames_is_refused(tmp_path: Path) -> None:
    other = replace(seen(objects=objects(["cat"])), frames=tuple(range(16)))
    with pytest.raises(Unscored, match=r"GRiT looked at frames 0, 1, 2, 3, … \(16\), where 0, 1, 3, 4, … \(16\)"):
        object_class.DIMENSION.measure(film("object_class", {"object": "cat"}), bench_with(tmp_path, other))


def test_a_film_of_no_suite_prompt_has_no_value(tmp_path: Path) -> None:
    bench = bench_with(tmp_path, seen(objects=objects(["cat"])))
    with pytest.raises(Unscored, match="none of the suite's for object class"):
        object_class.DIMENSION.measure(FILM, bench)


def test_films_are_pooled_by_frames_and_colours_by_films() -> None:
    four = Measured(0.25, (1.0, 0.0, 0.0, 0.0))
    assert object_class.DIMENSION.pool([four, Measured(1.0, (1.0,) * 16)]) == 17 / 20
    assert color.DIMENSION.pool is mean_of_parts


# The provided detector and captioner


class Eyes:
    """Finds what it is told, once a frame."""

    maker = Maker("eyes", "01" * 32)

    def __init__(self, *found: Detection) -> None:
        self.found, self.looked = found, 0

    def __call__(self, frames: Frames, names: Sequence[str]) -> list[list[Detection]]:
        self.looked += len(frames)
        return [[one for one in self.found if one.name in names] for _ in frames]


class Voice:
    """Says how large each picture is."""

    maker = Maker("voice", "02" * 32)

    def __call__(self, pictures: Sequence[Frames]) -> list[str]:
        return [f"{picture.shape[1]}x{picture.shape[0]}" for picture in pictures]


def test_seeing_a_short_film_looks_once_at_each_frame() -> None:
    short = replace(FILM, frames=np.zeros((3, 20, 30, 3), np.uint8))
    eyes = Eyes(
        Detection("cat", (1.5, 2.0, 10.2, 9.0), 0.9), Detection("cat", (-9.0, -9.0, -1.0, -1.0), 0.8),
        Detection("unasked", BOX, 0.7),
    )  # fmt: skip
    found, dense, scenes = detect.see(short, ["cat"], eyes, Voice())
    assert eyes.looked == 3
    assert [one.by.name for one in (found, dense, scenes)] == ["eyes", "eyes+voice", "voice"]
    assert found.frames == dense.frames == (0, 1, *[2] * 14)
    assert found.objects == (eyes.found[:2],) * 16
    assert dense.dense == ((DenseCaption("cat", "10x7"), DenseCaption("cat", "")),) * 16  # nothing is seen outside
    assert scenes.scenes == ("30x20",) * 16
    assert [one.by.name for one in detect.see(short, ["cat"], eyes, None)] == ["eyes"]
    assert [one.by.name for one in detect.see(short, ["cat"], None, Voice())] == ["voice"]


def test_looking_at_a_folder_goes_on_where_it_stopped(tmp_path: Path) -> None:
    good, bad, out = tmp_path / "a cat-0.mp4", tmp_path / "b-0.mp4", tmp_path / NAME
    write(Video(np.full((4, 32, 48, 3), 90, np.uint8), 8.0), good)
    bad.write_bytes(b"no film")
    eyes = Eyes(Detection("cat", BOX, 0.9))
    first = detect.look_at_all([good, bad], out, eyes, Voice())
    assert (first.seen, first.known, list(first.refused)) == ([good], [], [bad])
    again = detect.look_at_all([good, bad], out, eyes, Voice())
    assert (again.seen, again.known, eyes.looked) == ([], [good], 4)
    found = read(out).about(file_digest(good), "objects", "eyes")
    assert found is not None and found.video == good.name and found.objects[0] == eyes.found
    with pytest.raises(UsageError, match="neither a detector nor a captioner"):
        detect.look_at_all([good], out, None, None)


def test_every_object_of_the_suite_is_looked_for() -> None:
    names = detect.suite_objects()
    assert {"person", "traffic light", "bicycle"} <= set(names)
    assert not any(name.startswith(("a ", "an ")) or " and " in name for name in names)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of a tiny OWL-ViT and a tiny BLIP with random weights, as transformers writes them."""
    import torch
    from tokenizers import Tokenizer, models
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import (
        BlipConfig,
        BlipForConditionalGeneration,
        BlipImageProcessor,
        BlipProcessor,
        OwlViTConfig,
        OwlViTForObjectDetection,
        OwlViTImageProcessor,
        OwlViTProcessor,
        PreTrainedTokenizerFast,
    )

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models")
    words = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "cat", "dog", "a", "red"])}
    plain = Tokenizer(models.WordLevel(words, "[UNK]"))
    plain.pre_tokenizer = Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=plain, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        model_max_length=4,
    )  # fmt: skip
    tower = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    owl = OwlViTForObjectDetection(OwlViTConfig(
        text_config=tower | {"vocab_size": 8, "max_position_embeddings": 4},
        vision_config=tower | {"image_size": 32, "patch_size": 16}, projection_dim=16,
    ))  # fmt: skip
    owl.save_pretrained(folder / "owl")
    OwlViTProcessor(OwlViTImageProcessor(size={"height": 32, "width": 32}), tokenizer).save_pretrained(folder / "owl")
    text = tower | {"vocab_size": 8, "max_position_embeddings": 16, "encoder_hidden_size": 16, "bos_token_id": 2,
                    "sep_token_id": 3, "pad_token_id": 0, "eos_token_id": 3}  # fmt: skip
    blip = BlipForConditionalGeneration(BlipConfig(
        text_config=text, vision_config=tower | {"image_size": 32, "patch_size": 16}, projection_dim=16,
    ))  # fmt: skip
    blip.save_pretrained(folder / "blip")
    BlipProcessor(BlipImageProcessor(size={"height": 32, "width": 32}), tokenizer).save_pretrained(folder / "blip")
    return folder


def test_a_stock_detector_and_captioner_are_run(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detect, "LONGEST", 4)
    detector = detect.OpenVocabularyDetector(models / "owl", threshold=0.0)
    captioner = detect.ImageCaptioner(models / "blip")
    assert (detector.maker.name, captioner.maker.name) == ("owlvit", "blip")
    frames = np.random.default_rng(0).integers(0, 256, (2, 24, 40, 3), dtype=np.uint8)
    found = detector(frames, ["cat", "dog"])
    assert len(found) == 2 and len(found[0]) == 4  # one box a patch
    for one in found[0]:
        x0, y0, x1, y1 = one.box
        assert one.name in ("cat", "dog") and 0 <= x0 <= x1 <= 40 and 0 <= y0 <= y1 <= 24
    assert [one.score for one in found[1]] == sorted((one.score for one in found[1]), reverse=True)
    captions = captioner(list(frames))
    assert len(captions) == 2 and all(set(caption.split()) <= {"cat", "dog", "a", "red"} for caption in captions)
    with pytest.raises(ModelError, match="cannot be opened as an open-vocabulary detector"):
        detect.OpenVocabularyDetector(models / "blip")
    with pytest.raises(ModelError, match="cannot be opened as a captioner"):
        detect.ImageCaptioner(models / "owl")
