from __future__ import annotations

import itertools
import random
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from manzar import media
from manzar.curate.duplicates.alignment import align
from manzar.curate.duplicates.films import CELLS, Films, candidates
from manzar.curate.duplicates.find import find_duplicates, signature
from manzar.nouns import Clip, Video

SHARED = Path(__file__).resolve().parents[2] / "shared"
FPS = 25.0


def room(seed: int, height: int = 90, width: int = 160) -> np.ndarray:
    """A still background of smooth texture, float (H, W, 3)."""
    coarse = np.random.default_rng(seed).uniform(20, 220, (7, 10, 3))
    y, x = np.linspace(0, 5.999, height), np.linspace(0, 8.999, width)
    i, j, v, u = y.astype(int), x.astype(int), (y % 1)[:, None, None], (x % 1)[None, :, None]
    top = coarse[i][:, j] * (1 - u) + coarse[i][:, j + 1] * u
    bottom = coarse[i + 1][:, j] * (1 - u) + coarse[i + 1][:, j + 1] * u
    return np.asarray(top * (1 - v) + bottom * v)


def film(place: int, action: int, seconds: float = 6.0, fps: float = FPS, first: float = 0.0) -> Video:
    """Two discs that wander through the room `place` as the seed `action` says, from second `first` on."""
    ground = room(place)
    height, width, _ = ground.shape
    rows, columns = np.mgrid[:height, :width]
    draw = np.random.default_rng(1000 + action)
    rate, phase = draw.uniform(0.5, 2.5, (2, 2, 2)), draw.uniform(0, 6.3, (2, 2, 2))
    frames = []
    for time in first + np.arange(round(seconds * fps)) / fps:
        frame = ground.copy()
        for disc, colour in enumerate(((240, 30, 30), (20, 20, 240))):
            y, x = 0.5 + 0.2 * np.sin(rate[disc] * time + phase[disc]).sum(axis=1)
            frame[(rows - y * height) ** 2 + (columns - x * width) ** 2 < (0.14 * height) ** 2] = colour
        frames.append(frame)
    return Video(np.stack(frames).round().astype(np.uint8), fps)


def clip(video: Video, source: str, start: float = 0.0, **fields: object) -> Clip:
    _, height, width, _ = video.frames.shape
    made = Clip(
        id=f"{source}@{start:g}", path="", source=source, start_s=start, end_s=start + video.seconds,
        width=width, height=height, fps=video.fps, frames=len(video.frames), phash=signature(video),
    )  # fmt: skip
    return replace(made, **fields)  # type: ignore[arg-type]


def grey(video: Video) -> Video:
    luma = (video.frames @ np.array([0.299, 0.587, 0.114])).round().astype(np.uint8)
    return Video(np.repeat(luma[..., None], 3, axis=-1), video.fps)


def sepia(video: Video) -> Video:
    tone = np.array([[0.39, 0.35, 0.27], [0.77, 0.69, 0.53], [0.19, 0.17, 0.13]])
    return Video(np.minimum(video.frames @ tone, 255).astype(np.uint8), video.fps)


def noisy(video: Video) -> Video:
    noise = np.random.default_rng(0).normal(0, 12, video.frames.shape)
    return Video(np.clip(video.frames + noise, 0, 255).astype(np.uint8), video.fps)


def logo(video: Video) -> Video:
    frames = video.frames.copy()
    frames[:, 4:22, 116:154] = (250, 210, 30)
    return Video(frames, video.fps)


EDITS: dict[str, Callable[[Video], Video]] = {
    "grey": grey,
    "sepia": sepia,
    "noise": noisy,
    "logo": logo,
    "crop": lambda video: Video(video.frames[:, 4:-4, 8:-8], video.fps),
    "half size": lambda video: Video(video.frames[:, ::2, ::2], video.fps),
    "squeezed": lambda video: Video(video.frames[:, :, ::2], video.fps),
    "later": lambda video: Video(video.frames[33:], video.fps),
    "dark": lambda video: Video((video.frames * 0.6).astype(np.uint8), video.fps),
    "30 as 25 a second": lambda video: Video(video.frames, video.fps * 1.2),
    "every other picture": lambda video: Video(video.frames[::2], video.fps / 2),
    "all at once": lambda video: Video(logo(grey(noisy(video))).frames[20:, ::2, ::2], video.fps),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_copy_is_found(edit: str) -> None:
    original = film(1, 1)
    found = find_duplicates([clip(original, "a.mp4"), clip(EDITS[edit](original), "b.webm")])
    assert list(found) == ["b.webm@0"]
    kept, why = found["b.webm@0"]
    assert kept == "a.mp4@0"
    assert "a.mp4" in why and "movement agrees" in why


def test_a_mirrored_film_is_another_film() -> None:
    original = film(1, 1)
    mirrored = Video(np.ascontiguousarray(original.frames[:, :, ::-1]), FPS)
    assert find_duplicates([clip(original, "a.mp4"), clip(mirrored, "b.mp4")]) == {}


def test_other_actions_in_one_room_are_other_films() -> None:
    clips = [clip(film(2, action, seconds=4), f"{action}.mp4") for action in range(12)]
    assert find_duplicates(clips) == {}
    pairs = np.concatenate([np.zeros((0, 2), int), *candidates(Films.read([c.phash for c in clips]))])
    assert len(pairs) > 0, "the room should have made them candidates, or this test shows nothing"


def test_clip_bounds_that_fell_elsewhere_and_previews() -> None:
    whole = [clip(film(3, 3, 8.0, first=start), "film.mp4", start) for start in (0.0, 8.0)]
    shifted = clip(film(3, 3, 8.0, first=3.1), "film_copy.mkv", 3.1)
    preview = clip(film(3, 3, 2.0, first=9.3), "a_preview.gif", width=1280, height=720)
    assert {gone: kept for gone, (kept, _) in find_duplicates([*whole, shifted, preview]).items()} == {
        "film_copy.mkv@3.1": "film.mp4@0",
        "a_preview.gif@0": "film.mp4@8",
    }


def test_pieces_of_one_source_stay_unless_they_move_as_one() -> None:
    ground = Video(np.repeat(room(4).round().astype(np.uint8)[None], 100, axis=0), FPS)
    still = [clip(ground, "still.mp4", start) for start in (0.0, 4.0)]
    moving = [clip(film(4, 4, 4.0, first=start), "walk.mp4", start) for start in (0.0, 4.0)]
    again = [clip(film(5, 5, 4.0), "loop.gif", start) for start in (0.0, 4.0)]
    assert find_duplicates(still) == {}
    assert find_duplicates(moving) == {}
    assert list(find_duplicates(again)) == ["loop.gif@4"]
    assert list(find_duplicates([still[0], clip(noisy(ground), "copy.mp4")])) == ["still.mp4@0"]


def test_still_pictures_need_to_be_the_same() -> None:
    ground = room(6)
    changed = ground.copy()
    changed[40:70, 60:90] = 255 - changed[40:70, 60:90]
    one, two = (clip(Video(g[None].round().astype(np.uint8), FPS), f"{k}.png") for k, g in enumerate((ground, changed)))
    assert find_duplicates([one, two]) == {}
    assert list(find_duplicates([one, replace(one, id="again", source="z.png")])) == ["again"]


def test_the_best_of_a_family_stays_whatever_the_order() -> None:
    original = film(7, 7)
    family = [
        clip(original, "b.mp4", measures={"colour": 40.0}),
        clip(grey(original), "a.mp4", measures={"colour": 0.2}),
        clip(EDITS["half size"](original), "0.mp4", measures={"colour": 40.0}),
        clip(logo(original), "a_logo.mp4", measures={"colour": 40.0}),
        clip(original, "c.mp4", measures={"colour": 40.0}),
        clip(EDITS["later"](original), "1.mp4", measures={"colour": 40.0}),
    ]
    outcomes = []
    for seed in range(5):
        random.Random(seed).shuffle(family)
        outcomes.append(find_duplicates(family))
    assert all(outcome == outcomes[0] for outcome in outcomes)
    assert {kept for kept, _ in outcomes[0].values()} == {"b.mp4@0"}
    assert len(outcomes[0]) == 5
    dull = clip(original, "a.mp4", measures={"colour": 40.0, "sharpness": 0.3})
    crisp = clip(original, "z.mp4", measures={"colour": 40.0, "sharpness": 0.5})
    assert {kept for kept, _ in find_duplicates([dull, crisp]).values()} == {crisp.id}


def test_signature_is_a_grey_film_four_times_a_second() -> None:
    frames = np.zeros((50, 64, 64, 3), dtype=np.uint8)
    frames[25:, 8:16, :8] = 255
    digits = signature(Video(frames, 25.0))
    cells = np.frombuffer(bytes.fromhex(digits), dtype=np.uint8).reshape(-1, 8, 8)
    assert len(cells) == 8
    assert (cells[:4] == 0).all()
    assert (cells[4:, 1, 0] == 255).all()
    assert cells[4:].sum() == 4 * 255
    for shape, rate in (((1, 16, 16, 3), 24.0), ((1, 2, 3, 3), 24.0), ((3, 720, 1280, 3), 0.5), ((7, 6, 640, 3), 60.0)):
        short = Video(np.full(shape, 90, dtype=np.uint8), rate)
        expected = max(1, int(short.seconds * 4))
        assert signature(short) == "5a" * CELLS * expected


def test_what_is_no_signature_is_left_alone() -> None:
    made = clip(film(8, 8, 2.0), "a.mp4")
    flat = clip(Video(np.zeros((50, 16, 16, 3), np.uint8), FPS), "black.mp4")
    texts = ("", "00ff", "a ball", "ff" * 65)
    odd = [replace(made, id=text, source=text, phash=text) for text in texts]
    blacks = [replace(flat, id=f"black {i}", source=f"black {i}") for i in range(2)]
    assert find_duplicates([made, *odd, *blacks]) == {}
    assert find_duplicates([]) == {}


def test_thousands_of_clips_and_the_copies_among_them() -> None:
    """Random walks of 64 cells; every fiftieth has a copy with noise, begun a second later."""
    draw = np.random.default_rng(0)
    count, bins = 4000, 16
    walks = draw.normal(0, 6, (count, bins, CELLS)).cumsum(axis=1) + draw.uniform(60, 190, (count, 1, CELLS))
    copies = walks[::50, 4:] + draw.normal(0, 2, (count // 50, bins - 4, CELLS))
    texts = [np.clip(cells, 0, 255).astype(np.uint8).tobytes().hex() for cells in itertools.chain(walks, copies)]
    clips = [
        Clip(f"{i:05d}", "", f"{i:05d}.mp4", 0.0, len(text) / 512, 320, 180, 25.0, len(text) * 25 // 512, phash=text)
        for i, text in enumerate(texts)
    ]
    found = find_duplicates(clips)
    assert {gone: kept for gone, (kept, _) in found.items()} == {
        f"{count + i:05d}": f"{50 * i:05d}" for i in range(count // 50)
    }


def test_one_long_film_changes_neither_the_pairs_nor_the_memory() -> None:
    """Pieces of one film and the film itself, ten minutes of it."""
    draw = np.random.default_rng(0)
    whole = draw.normal(0, 20, (2400, CELLS)) + draw.uniform(60, 190, CELLS)
    pieces = [np.clip(whole[start : start + 32], 0, 255).astype(np.uint8) for start in range(0, 90, 3)]
    texts = [piece.tobytes().hex() for piece in pieces]
    alone = np.concatenate(list(candidates(Films.read(texts))))
    films = Films.read([*texts, np.clip(whole, 0, 255).astype(np.uint8).tobytes().hex()])
    tracemalloc.start()
    together = np.concatenate(list(candidates(films)))
    matches = align(films, together)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 300e6
    assert np.array_equal(together[together[:, 1] < len(texts)], alone)
    found = {int(a): match for (a, b), match in zip(together, matches, strict=True) if b == len(texts)}
    assert all(match is not None and match.bins == 32 and match.likeness > 0.99 for match in found.values())
    assert len(found) == len(texts)


@pytest.mark.skipif(not SHARED.exists(), reason="needs the shared footage")
def test_real_twins_collapse_and_robot_episodes_stay() -> None:
    good = SHARED / "clips" / "good"
    families = (
        ("mdn_stream_of_water.mp4", "mdn_stream_of_water.webm"),
        ("carphone_pristine.mp4", "carphone_distorted.mp4"),
    )
    names = [name for family in families for name in family]
    names += [f"droid/{path.name}" for path in sorted((good / "droid").glob("droid_bathroom_*.mp4"))[:8]]
    clips = [clip(media.read(good / name, size=(160, 120)), name) for name in names]
    found = find_duplicates(clips)
    assert {frozenset((gone, kept)) for gone, (kept, _) in found.items()} == {
        frozenset(f"{name}@0" for name in family) for family in families
    }
