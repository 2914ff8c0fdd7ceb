"""Every task from the command line, and every contradiction as one clear line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from giving import footage, model_with

from manzar import cli
from manzar.generate import Generator, save_parts
from manzar.media import probe, read, write
from manzar.nouns import Frames, Video


@pytest.fixture(scope="module")
def model() -> Generator:
    return model_with()

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """`manzar generate …` in this process: exit code, standard output, standard error."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["manzar", "generate", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return (int(stop.value.code or 0), *capfd.readouterr())

    return run


@pytest.fixture(scope="module")
def place(model: Generator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("place")
    save_parts(model.parts, folder / "model")
    blocks = np.random.default_rng(2).integers(0, 256, (13, 3, 4, 3), dtype=np.uint8).repeat(16, 1).repeat(16, 2)
    write(Video(blocks, 8.0), folder / "a.mp4")
    write(footage(6, 48, 64, seed=1), folder / "b.mp4")
    for name, frame in (("a", footage(1, 48, 64).frames[0]), ("b", footage(1, 64, 48).frames[0])):
        write(Video(frame[None], 8.0), folder / f"{name}.png")
    for name, level in (("mask", 255), ("black", 0)):
        picture: Frames = np.zeros((1, 48, 64, 3), np.uint8)
        picture[:, :, 32:] = level
        write(Video(picture, 8.0), folder / f"{name}.png")
    write(Video(np.full((1, 8, 8, 3), 255, np.uint8), 8.0), folder / "small.png")
    return folder


RUNS: dict[str, tuple[str, int]] = {  # flags, frames of the result
    "image": ("--image a.png --frames 5", 5),
    "keyframes": ("--keyframe 0=a.png --keyframe -1=b.png --frames 9", 9),
    "image and last": ("--image a.png --keyframe -1=b.png --frames 9", 9),
    "forward": ("--extend a.mp4 --seconds 1", 13 + 8),
    "long": ("--extend a.mp4 --seconds 4", 13 + 32),
    "backward": ("--extend a.mp4 --direction backward --frames 5", 5 + 13),
    "picture, then clip": ("--extend a.mp4 --direction backward --image a.png --frames 5", 5 + 13),
    "connect": ("--connect a.mp4 b.mp4", 13 + 8 + 6),
    "loop": ("--loop", 17),
    "loop from picture": ("--loop --image a.png", 17),
    "a clip's loop": ("--loop --extend a.mp4", 13 + 8),
    "edit": ("--edit a.mp4 --strength 0.5", 13),
    "masked": ("--edit a.mp4 --mask mask.png --frames 5", 5),
    "picture goes on": ("--extend a.png --frames 8", 1 + 8),
}


@pytest.mark.parametrize("case", RUNS)
def test_every_task_from_the_command_line(call: Call, place: Path, tmp_path: Path, case: str) -> None:
    flags, frames = RUNS[case]
    words = [str(place / word) if "." in word and "=" not in word and word[0].isalpha() else word
             for word in flags.split()]
    words = [word.replace("=", f"={place}/") for word in words]
    out = tmp_path / "o.mp4"
    code, told, err = call("x", "--model", place / "model", "-o", out, "--steps", 1, "--json", *words)
    assert code == 0, err
    (row,) = (said := json.loads(told))["videos"]
    assert said.keys() == {"videos", "steps", "seconds", "seconds_per_step"}
    assert row == {"path": str(out), "frames": frames, "width": 32, "height": 32, "fps": 8.0, "seed": 0, "notes": []}
    assert probe(out).frames == frames
    if case == "masked":
        own = read(place / "a.mp4", size=(43, 32), max_frames=5).frames[:, :, 5:37]
        change = abs(read(out).frames.astype(int) - own).mean((0, 1, 3))
        assert change[:12].mean() < 10 < 40 < change[20:].mean()  # through the codec


def test_many_long_videos_are_written_one_by_one(call: Call, place: Path, tmp_path: Path) -> None:
    words = ["x", "--model", place / "model", "-o", tmp_path / "o.mp4", "--steps", 1, "--frames", 33, "--count", 2]
    code, told, err = call(*words, "--json")
    assert code == 0, err
    rows = json.loads(told)["videos"]
    assert [(row["seed"], row["frames"]) for row in rows] == [(0, 33), (1, 33)]
    assert not np.array_equal(read(rows[0]["path"]).frames, read(rows[1]["path"]).frames)


REFUSED: dict[str, tuple[str, ...]] = {  # flags: what the one line must say
    "--extend {a}.mp4 --edit {a}.mp4": ("--extend", "--edit"),
    "--extend {a}.mp4 --connect {a}.mp4 {b}.mp4": ("--extend", "--connect"),
    "--extend {a}.mp4 --image {a}.png": ("--extend", "--image", "--direction backward"),
    "--connect {a}.mp4 {b}.mp4 --loop": ("--connect", "--loop"),
    "--loop --extend {a}.mp4 --direction backward": ("--loop", "--direction"),
    "--edit {a}.mp4 --keyframe 0={a}.png": ("--edit", "--keyframe"),
    "--direction forward": ("--direction", "--extend"),
    "--strength 0.5": ("--strength", "--edit"),
    "--mask {m}.png": ("--mask", "--edit"),
    "--edit {a}.mp4 --strength 0": ("strength", "0"),
    "--edit {a}.mp4 --strength 1.2": ("strength", "1.2"),
    "--edit {a}.mp4 --mask {s}.png": ("8x8", "64x48"),
    "--edit {a}.mp4 --mask {k}.png": ("all black",),
    "--edit {a}.mp4 --seconds 9": ("72 frames", "13"),
    "--extend {n}.mp4": ("none.mp4", "no such"),
    "--image {n}.png": ("none.png", "no such"),
    "--keyframe 0={n}.png": ("none.png", "no such"),
    "--keyframe 17={a}.png": ("keyframe 17", "0 to 16"),
    "--keyframe first={a}.png": ("first=", "INDEX=PICTURE"),
    "--keyframe 3={a}.png --keyframe 3={b}.png": ("twice",),
    "--image {a}.png --keyframe 0={b}.png": ("--image", "--keyframe 0"),
    "--loop --frames 1": ("loop of 1",),
}


@pytest.mark.parametrize("flags", REFUSED)
def test_what_cannot_be_is_one_clear_line(call: Call, place: Path, tmp_path: Path, flags: str) -> None:
    names = {"a": "a", "b": "b", "m": "mask", "k": "black", "s": "small", "n": "none"}
    words = flags.format(**{key: str(place / name) for key, name in names.items()}).split()
    code, told, err = call("x", "--model", place / "model", "-o", tmp_path / "o.mp4", "--steps", 1, *words)
    line = err.strip().splitlines()[-1]
    assert (code, told) == (2, ""), err
    assert line.startswith("error: ") and all(word in line for word in REFUSED[flags]), line
    assert not list(tmp_path.iterdir())


def test_a_damaged_clip_is_named(call: Call, place: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"not a film")
    code, _, err = call("x", "--model", place / "model", "-o", tmp_path / "o.mp4", "--extend", tmp_path / "bad.mp4")
    assert code == 1 and "bad.mp4" in err.strip().splitlines()[-1]
    assert not (tmp_path / "o.mp4").exists()


def test_the_model_that_ships_is_the_default(
    call: Call, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from manzar.generate import files, generator

    assert generator.load.__defaults__[0] == files.PRETRAINED  # type: ignore[index]
    assert files.PRETRAINED.parts[-2:] == ("manzar", "pretrained")
    monkeypatch.setitem(files.generate_files.__kwdefaults__, "model", place / "model")
    assert call("x", "-o", tmp_path / "o.mp4", "--steps", 1, "--frames", 5)[0] == 0
