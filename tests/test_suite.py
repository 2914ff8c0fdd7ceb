"""The prompt suite: names, seeds, what a folder answers and what prompts say; digests were made with VBench's code."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from manzar.nouns import UsageError
from manzar.score import suite
from manzar.score.totals import DIMENSIONS

COUNTS = {
    "subject_consistency": 72, "background_consistency": 86, "temporal_flickering": 75, "motion_smoothness": 72,
    "dynamic_degree": 72, "aesthetic_quality": 93, "imaging_quality": 93, "object_class": 79, "multiple_objects": 82,
    "human_action": 100, "color": 85, "spatial_relationship": 84, "scene": 86, "appearance_style": 90,
    "temporal_style": 100, "overall_consistency": 93,
}  # fmt: skip
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "black", "white")
SEEDS = "b133b89f9e1910dde192777e0a2f38ba73f1f9a75b3887004a92eeb1abef43ab"
FACADES = "A tranquil tableau of at the edge of the Arabian Desert, the ancient city of Petra beckoned with its " \
          "enigmatic rock-carved façades"
UKIYO = "A beautiful coastal beach in spring, waves lapping on sand by Hokusai, in the style of Ukiyo"


def digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()


def make(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()


# Entries, names, seeds

def test_the_entries_are_all_there() -> None:
    assert len(suite.ENTRIES) == 946
    assert len({entry.prompt for entry in suite.ENTRIES}) == 944
    assert {name: len(suite.entries(name)) for name in DIMENSIONS} == COUNTS
    assert suite.entries("Human Action") == suite.entries("human_action")
    for name in DIMENSIONS:
        prompts = [entry.prompt for entry in suite.entries(name)]
        assert len(set(prompts)) == len(prompts), f"{name}: one film would count twice"


def test_the_licence_is_beside_the_file() -> None:
    licence = Path(suite.__file__).parent / "vbench" / "LICENCE.txt"
    assert "Apache License" in licence.read_text(encoding="utf-8")


def test_names_are_vbenchs() -> None:
    names = (f"{suite.stem(entry.prompt, sample)}.mp4" for entry in suite.ENTRIES for sample in range(5))
    assert digest(names) == "2837b39206f4b1189d71a69a5cbf4e03bbdc7c3f9be8410fc1d1b3d7f8cdbce4"


def test_every_name_fits_on_a_disk_and_comes_back_as_its_prompt() -> None:
    for slot in suite.slots():
        assert len(slot.name.encode()) <= suite.LONGEST_STEM
        assert not set(slot.name) & set('/\\:*?"<>|'), slot.name
        assert suite.prompt_of(Path(f"{slot.name}.mp4")) == slot.prompt


@pytest.mark.parametrize("prompt", ["a road/a river", "a\0b", "long " * 60])
def test_a_prompt_that_makes_no_file_name_is_refused(prompt: str) -> None:
    with pytest.raises(UsageError):
        suite.stem(prompt, 0)


def test_slots_count_a_prompt_in_two_entries_once_and_name_both() -> None:
    every = suite.slots()
    assert len(every) == 944 * 5 + 75 * 20
    assert len({slot.name for slot in every}) == len(every)
    assert len(suite.slots(flickering=5)) == 944 * 5
    shared = next(slot for slot in every if slot.prompt == UKIYO)
    assert set(shared.dimensions) == {"appearance_style", "overall_consistency", "aesthetic_quality", "imaging_quality"}
    assert [slot.dimensions for slot in suite.slots(["appearance_style"]) if slot.prompt == UKIYO] == [
        ("appearance_style",)
    ] * 5
    assert len(suite.slots(["motion_smoothness", "dynamic_degree"], samples=2)) == 72 * 2
    assert Counter(len(slot.dimensions) for slot in every)[1] > 3000


def test_seeds_are_those_of_always_and_differ() -> None:
    every = suite.slots()
    assert digest(f"{slot.name} {slot.seed}" for slot in every) == SEEDS
    assert len({slot.seed for slot in every}) == len(every)
    assert all(0 <= slot.seed < 2**31 for slot in every)
    alone = {slot.name: slot.seed for slot in suite.slots(["color"], samples=3)}
    assert alone.items() <= {slot.name: slot.seed for slot in every}.items()


def test_an_unknown_dimension_names_the_nearest() -> None:
    with pytest.raises(UsageError, match='"color"'):
        suite.slots(["colour"])


# Matching a folder

def test_a_full_folder_answers_everything(tmp_path: Path) -> None:
    make(tmp_path, *(f"{slot.name}.mp4" for slot in suite.slots(flickering=5)))
    found = suite.match(tmp_path)
    assert (found.missing, found.spare, found.strangers, found.notes) == ([], [], [], [])
    assert Counter(name for asked in found.asked.values() for name in asked) == {n: c * 5 for n, c in COUNTS.items()}
    shared = found.asked[tmp_path / f"{UKIYO}-3.mp4"]
    assert set(shared) == {"appearance_style", "overall_consistency", "aesthetic_quality", "imaging_quality"}
    assert shared["appearance_style"].details == {
        "appearance_style": {"appearance_style": "by Hokusai, in the style of Ukiyo"}
    }
    assert (shared["imaging_quality"].details, shared["imaging_quality"].sample) == ({}, 3)


def test_the_missing_the_spare_and_the_strangers_are_all_named(tmp_path: Path) -> None:
    make(tmp_path, "a red bicycle-0.mp4", "a red bicycle-7.webm", "A person is riding a bike-0.mp4", "holiday.mov",
         "a red bicycle.mp4", "notes.txt")
    found = suite.match(tmp_path, ["color"])
    assert {path.name: set(asked) for path, asked in found.asked.items()} == {"a red bicycle-0.mp4": {"color"}}
    assert len(found.missing) == 85 * 5 - 1
    assert [slot.name for slot in found.missing if slot.prompt == "a red bicycle"] == [
        f"a red bicycle-{sample}" for sample in range(1, 5)
    ]
    assert [path.name for path in found.spare] == ["A person is riding a bike-0.mp4", "a red bicycle-7.webm"]
    assert [path.name for path in found.strangers] == ["a red bicycle.mp4", "holiday.mov"]


def test_any_extension_is_taken_and_mp4_first(tmp_path: Path) -> None:
    make(tmp_path, "a red bicycle-0.gif", "a red bicycle-0.mp4", "a red bicycle-1.WEBM")
    found = suite.match(tmp_path, ["color"])
    assert {path.name for path in found.asked} == {"a red bicycle-0.mp4", "a red bicycle-1.WEBM"}
    assert [path.name for path in found.strangers] == ["a red bicycle-0.gif"]
    assert "a red bicycle-0.gif" in found.notes[0]


def test_an_image_folder_is_a_film_though_its_name_has_a_full_stop(tmp_path: Path) -> None:
    make(tmp_path / "Fireworks.-0", "0001.png", "0002.png")
    found = suite.match(tmp_path, ["imaging_quality"])
    assert found.asked[tmp_path / "Fireworks.-0"]["imaging_quality"].prompt == "Fireworks."


def test_a_disk_that_decomposes_letters(tmp_path: Path) -> None:
    make(tmp_path, unicodedata.normalize("NFD", f"{FACADES}-2.mp4"))
    found = suite.match(tmp_path, ["temporal_flickering"])
    assert [asked["temporal_flickering"].prompt for asked in found.asked.values()] == [FACADES]


def test_two_prompts_that_differ_in_case_only(tmp_path: Path) -> None:
    make(tmp_path, *(f"a fantasy landscape-{sample}.mp4" for sample in range(5)))
    found = suite.match(tmp_path, ["overall_consistency"])
    assert len(found.asked) == 5
    assert "5 missing films have a namesake" in found.notes[0]
    assert sum(slot.prompt == "A fantasy landscape" for slot in found.missing) == 5


def test_a_folder_for_each_prompt_list(tmp_path: Path) -> None:
    make(tmp_path, f"{UKIYO}-0.mp4", "alley-0.mp4")
    make(tmp_path / "appearance_style", f"{UKIYO}-0.mp4", "stray.mp4")
    make(tmp_path / "elsewhere", "alley-1.mp4")
    found = suite.match(tmp_path, ["appearance_style", "imaging_quality", "scene", "background_consistency"])
    assert {str(path.relative_to(tmp_path)): set(asked) for path, asked in found.asked.items()} == {
        f"{UKIYO}-0.mp4": {"imaging_quality"},
        f"appearance_style/{UKIYO}-0.mp4": {"appearance_style"},
        "alley-0.mp4": {"scene", "background_consistency"},
    }
    assert [path.name for path in found.strangers] == ["stray.mp4"]


def test_films_that_the_static_filter_has_not_seen_are_spoken_of(tmp_path: Path) -> None:
    own = [slot for slot in suite.slots(["temporal_flickering"]) if slot.prompt == "In a still frame, a stop sign"]
    assert len(own) == 25
    make(tmp_path, *(f"{slot.name}.mp4" for slot in own))
    found = suite.match(tmp_path, ["temporal_flickering"])
    assert len(found.asked) == 5
    assert len(found.spare) == 20
    assert found.notes[0].startswith("20 films of temporal flickering are numbered 5 or above")
    assert suite.match(tmp_path, ["color"]).notes == []


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such"):
        suite.match(tmp_path / "none")


# Films of one's own

def test_films_of_ones_own(tmp_path: Path) -> None:
    make(tmp_path, "a dog runs-2.mp4", "walk-1-12.mp4", "sea.webm", "readme.md")
    found = suite.match_custom(tmp_path, ["scene", "human_action", "imaging_quality", "color"])
    assert found.refused == ("scene", "color")
    assert {path.name: (asked["human_action"].prompt, asked["imaging_quality"].sample)
            for path, asked in found.asked.items()} == {
        "a dog runs-2.mp4": ("a dog runs", 2), "walk-1-12.mp4": ("walk-1", 12), "sea.webm": ("sea", 0),
    }  # fmt: skip
    assert all(set(asked) == {"human_action", "imaging_quality"} for asked in found.asked.values())
    assert set(suite.match_custom(tmp_path / "sea.webm").refused) == suite.SUITE_ONLY


def test_prompts_from_a_list(tmp_path: Path) -> None:
    make(tmp_path, "a.mp4", "b-1.mp4")
    found = suite.match_custom(tmp_path, ["temporal_style"], {"a.mp4": "a storm", "b-1.mp4": "rain"})
    assert [asked["temporal_style"].prompt for asked in found.asked.values()] == ["a storm", "rain"]
    with pytest.raises(UsageError, match=r"b-1\.mp4"):
        suite.match_custom(tmp_path, ["temporal_style"], {"a.mp4": "a storm"})


# What prompts say

def test_action_labels_are_vbenchs_on_every_entry() -> None:
    labels = (suite.action_label(suite.stem(entry.prompt, 24)) for entry in suite.ENTRIES)
    assert digest(labels) == "f6646d324df192353a6dff933d05a796a9f3be935f783b3119d244ca71700911"


@pytest.mark.parametrize(("stem", "label"), [
    ("A person is riding a bike-0", "riding a bike"),
    ("A person is push up-ups-3", "push up"),
    ("A Person Is Clapping-0", "clapping"),
    ("a person is told a person is eating_late-1", "eating"),
    ("A cat-0", "a cat"),
    ("no number", "no number"),
])  # fmt: skip
def test_action_labels_by_hand(stem: str, label: str) -> None:
    assert suite.action_label(stem) == label


def test_colour_objects_are_vbenchs_on_every_entry_and_colour() -> None:
    objects = (suite.colour_object(entry.prompt, colour) for entry in suite.ENTRIES for colour in COLOURS)
    assert digest(objects) == "d0eade139b008a8424aef9397799e10bdb8f65d55de713b2f03f0d5479d0c351"
    own = (suite.colour_object(entry.prompt, entry.details["color"]["color"]) for entry in suite.entries("color"))
    assert digest(own) == "f17dd12ee520b9752212cae7e7c42df8e2d730904f7fa944197ba1df552a6fcf"


@pytest.mark.parametrize(("prompt", "colour", "thing"), [
    ("a red bicycle", "red", "bicycle"),
    ("an orange suitcase", "orange", "suitcase"),
    ("a pizza plate an hour", "red", "pizzplate hour"),  # VBench strikes "a " out of words too
    ("a red reddish cup", "red", "dish cup"),
])  # fmt: skip
def test_colour_objects_by_hand(prompt: str, colour: str, thing: str) -> None:
    assert suite.colour_object(prompt, colour) == thing


def test_scenes_pairs_and_relations_are_vbenchs() -> None:
    lines = []
    for entry in suite.ENTRIES:
        if "scene" in entry.details:
            lines.append("|".join(suite.scene_words(entry.details["scene"]["scene"]["scene"])))
        if "multiple_objects" in entry.details:
            lines.append("|".join(suite.both_objects(entry.details["multiple_objects"]["object"])))
        if "spatial_relationship" in entry.details:
            found = suite.relation(entry.details)
            lines.append(f"{found.first}|{found.second}|{found.where}")
    assert len(lines) == 86 + 82 + 84
    assert digest(lines) == "8df0612338670a5b7ef9b1e999f0c013a60d1911decbb7f876748674a78c840a"
    assert suite.both_objects("traffic light and bus ") == ("traffic light", "bus")
    assert suite.scene_words("train station platform") == ("train", "station", "platform")
