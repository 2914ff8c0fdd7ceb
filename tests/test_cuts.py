"""Hard cuts, dissolves and fades are found where they are; flashes, motion and exposure are none of them."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from manzar import media
from manzar.curate.cuts.find import Cut, cuts_of, find_cuts
from manzar.curate.cuts.scan import Scan, scan
from manzar.nouns import DataError, MediaError, UsageError, Video

SHARED = Path(__file__).resolve().parents[2] / "shared" / "clips" / "good"
Pictures = NDArray[np.float32]  # (T, 36, 64, 3) of full scale


def shot(seed: int, length: int = 40, *, drift: float = 0.03, depth: float = 0.35) -> Pictures:
    """A textured scene that slides `drift` pixels per picture. `depth` 0.03 is a night scene."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:36, :64].astype(np.float32)
    picture = np.zeros((length, 36, 64, 3), np.float32)
    t = drift * np.arange(length, dtype=np.float32)[:, None, None]
    for _ in range(20):
        angle, wave, phase = rng.uniform(0, 2 * np.pi), rng.uniform(8, 40), rng.uniform(0, 2 * np.pi)
        swing = np.cos((np.cos(angle) * (x + t) + np.sin(angle) * y) * 2 * np.pi / wave + phase)
        picture += swing[..., None] * rng.uniform(-1, 1, 3).astype(np.float32)
    return np.clip(depth + depth * picture / 4, 0, 1).astype(np.float32)


def dissolved(a: Pictures, b: Pictures, n: int) -> Pictures:
    share = (np.arange(1, n + 1, dtype=np.float32) / (n + 1))[:, None, None, None]
    return np.concatenate([a[:-n], (1 - share) * a[-n:] + share * b[:n], b[n:]])


def faded(a: Pictures, b: Pictures, n: int, hold: int = 0, ground: float = 0.0) -> Pictures:
    share = (np.arange(1, n + 1, dtype=np.float32) / n)[:, None, None, None]
    out = a[-n:] + share * (ground - a[-n:])
    into = b[:n] + share[::-1] * (ground - b[:n])
    return np.concatenate([a[:-n], out, np.full((hold, 36, 64, 3), ground, np.float32), into, b[n:]])


def scanned(pictures: Pictures, fps: float = 25.0) -> Scan:
    """The scan that a file of these pictures leaves, without a codec in between."""
    film = np.round(255 * pictures).astype(np.uint8)
    steps = np.abs(np.diff(film.astype(np.int16), axis=0)).mean(axis=(1, 2, 3)) / 255
    small = film.reshape(-1, 9, 4, 16, 4, 3).mean(axis=(2, 4)).round().astype(np.uint8)
    return Scan(np.arange(len(film)) / fps, np.concatenate([[0], steps]).astype(np.float32), small)


def found(pictures: Pictures, fps: float = 25.0) -> list[Cut]:
    return cuts_of(scanned(pictures, fps))


def test_a_hard_cut_is_its_own_start_and_end() -> None:
    film = np.concatenate([shot(1), shot(2, 11), shot(3)])
    assert found(film) == [Cut(40, 1.6, "cut", 40, 40), Cut(51, 2.04, "cut", 51, 51)]


def test_a_cut_between_dark_shots_is_found() -> None:
    film = np.concatenate([shot(1, depth=0.04), shot(2, depth=0.04)])
    assert [cut.frame for cut in found(film)] == [40]


def test_a_cut_amid_motion_is_found_and_the_motion_is_not() -> None:
    film = np.concatenate([shot(4, drift=1.2), shot(5, drift=1.2)])
    assert [(cut.frame, cut.kind) for cut in found(film)] == [(40, "cut")]


@pytest.mark.parametrize("length", [6, 12, 30])
def test_a_dissolve_is_found_with_its_bounds(length: int) -> None:
    cuts = found(dissolved(shot(1, 60), shot(2, 60), length))
    assert [cut.kind for cut in cuts] == ["dissolve"]
    assert abs(cuts[0].start - (60 - length)) <= 1
    assert abs(cuts[0].end - 60) <= 1
    assert abs(cuts[0].frame - (60 - length / 2)) <= 1
    assert cuts[0].seconds == pytest.approx(cuts[0].frame / 25)


def test_a_dissolve_lasts_as_long_in_a_fast_film() -> None:
    cuts = found(dissolved(shot(1, 120, drift=0.05), shot(2, 120, drift=0.05), 60), fps=60.0)
    assert [cut.kind for cut in cuts] == ["dissolve"]
    assert abs(cuts[0].start - 60) <= 2
    assert abs(cuts[0].end - 120) <= 2


@pytest.mark.parametrize(("length", "hold", "ground"), [(3, 0, 0.0), (8, 0, 0.0), (8, 60, 0.0), (12, 5, 1.0)])
def test_a_fade_is_one_transition_with_all_that_is_flat(length: int, hold: int, ground: float) -> None:
    cuts = found(faded(shot(1, 60), shot(2, 60), length, hold, ground))
    assert [cut.kind for cut in cuts] == ["fade"]
    assert abs(cuts[0].start - (60 - length)) <= 1
    assert abs(cuts[0].end - (60 + hold + length)) <= 1
    assert abs(cuts[0].frame - (60 + hold / 2)) <= 1


@pytest.mark.parametrize("side", ["into", "out of"])
def test_a_fade_that_meets_a_cut_is_reported_at_the_cut(side: Literal["into", "out of"]) -> None:
    a, b, black = shot(1), shot(2), np.zeros((1, 36, 64, 3), np.float32)
    whole = faded(a, b, 8, hold=6)  # 40 - 8 + 8 + 6 + 8 + 40 - 8
    if side == "into":
        cuts = found(np.concatenate([a, np.repeat(black, 6, axis=0), whole[46:]]))
        assert [(cut.kind, cut.frame, cut.start) for cut in cuts] == [("fade", 40, 40)]
        assert abs(cuts[0].end - 54) <= 1
    else:
        cuts = found(np.concatenate([whole[:46], b]))
        assert [(cut.kind, cut.frame, cut.end) for cut in cuts] == [("fade", 46, 46)]
        assert abs(cuts[0].start - 32) <= 1


def ramp(first: float, last: float, length: int) -> Pictures:
    levels = np.linspace(first, last, length, dtype=np.float32)[:, None, None, None]
    return np.broadcast_to(levels, (length, 36, 64, 3))


def test_a_fade_by_way_of_black_and_white_is_one_transition() -> None:
    a, b = shot(1, 60), shot(2, 60)
    out, into = faded(a, a, 15)[:60], faded(b, b, 15, ground=1.0)[60:]
    film = np.concatenate([out, ramp(0, 0, 5), ramp(0, 1, 20), ramp(1, 1, 5), into])
    cuts = found(film)
    assert [cut.kind for cut in cuts] == ["fade"]
    assert (cuts[0].start, cuts[0].end) == (pytest.approx(45, abs=1), pytest.approx(105, abs=1))
    cut_to = np.concatenate([a, ramp(0, 0, 5), ramp(0, 1, 20), ramp(1, 1, 5), b])
    assert [(cut.kind, cut.start, cut.end) for cut in found(cut_to)] == [("fade", 60, 90)]
    assert found(film[:88]) == []  # ends white


def test_a_film_that_begins_and_ends_black_is_one_shot() -> None:
    a = shot(1, 60)
    assert found(faded(np.zeros_like(a), faded(a, np.zeros_like(a), 10), 10)) == []


@pytest.mark.parametrize("length", [1, 2, 4])
def test_a_flash_is_no_cut(length: int) -> None:
    film = shot(1, 60)
    film[30 : 30 + length] = np.clip(0.2 * film[30 : 30 + length] + 0.9, 0, 1)
    assert found(film) == []


def test_a_blinding_flash_that_dies_away_is_no_cut() -> None:
    film = shot(1, 60)
    share = np.linspace(1, 0, 8, dtype=np.float32)[:, None, None, None]
    film[30:38] += share * (1 - film[30:38])
    assert found(film) == []


def test_neither_exposure_nor_panning_nor_a_passing_object_is_a_cut() -> None:
    brighter = shot(1, 60) * np.where(np.arange(60) < 30, 0.5, 1.0).astype(np.float32)[:, None, None, None]
    assert found(brighter) == []
    dimmed = shot(1, 60) * np.linspace(0.3, 1.0, 60, dtype=np.float32)[:, None, None, None]
    assert found(dimmed) == []
    for drift in (0.1, 0.3, 1.0, 2.0):
        assert found(shot(2, 60, drift=drift)) == []
    mist, lighter_mist = 0.3 + 0.2 * shot(6, 60), 0.5 + 0.2 * shot(7, 60)
    assert found(dissolved(mist, lighter_mist, 16)) == []
    passing = shot(3, 60)
    for t in range(60):
        passing[t, :, max(0, 3 * t - 60) : max(0, 3 * t - 30)] = 0.95
    assert found(passing) == []


def test_shots_lie_between_the_transitions_whatever_is_joined() -> None:
    rng = np.random.default_rng(0)
    film = shot(100, 50)
    for seed in range(1, 20):
        following, n = shot(100 + seed, 50), int(rng.integers(6, 20))
        film = [
            lambda a, b, _: np.concatenate([a, b]),
            dissolved,
            lambda a, b, n: faded(a, b, n // 2, n % 5),
        ][seed % 3](film, following, n)
    cuts = found(film)
    bounds = [0] + [bound for cut in cuts for bound in (cut.start, cut.end)] + [len(film)]
    assert bounds == sorted(bounds)
    assert all(cut.start <= cut.frame <= cut.end for cut in cuts)
    assert [cut.kind for cut in cuts] == [("cut", "dissolve", "fade")[seed % 3] for seed in range(1, 20)]


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """250 pictures of 128×72 at 25 per second: a cut, a dissolve and a fade."""
    a, b, c, d = (shot(seed, 70) for seed in (1, 2, 3, 4))
    pictures = np.concatenate([a, faded(dissolved(b, c, 12), d, 8)])[:250]
    large = np.round(255 * pictures).astype(np.uint8).repeat(2, axis=1).repeat(2, axis=2)
    return media.write(Video(large, 25.0), tmp_path_factory.mktemp("film") / "film.mp4")


def test_cuts_of_a_file(film: Path) -> None:
    cuts = find_cuts(film)
    assert [cut.kind for cut in cuts] == ["cut", "dissolve", "fade"]
    assert [cut.frame for cut in cuts] == pytest.approx([70, 134, 198], abs=1)


def test_a_scan_measures_every_picture_and_reports_as_it_goes(film: Path) -> None:
    told: list[int] = []
    result = scan(film, told.append)
    thumbnails = np.stack([picture for _, picture in media.frames(film, size=(64, 36))]).astype(np.float64)
    assert told == [100, 200, 250]
    assert result.times == pytest.approx(np.arange(250) / 25)
    assert result.steps[0] == 0
    assert result.steps[1:] == pytest.approx(np.abs(np.diff(thumbnails, axis=0)).mean(axis=(1, 2, 3)) / 255)
    cells = thumbnails.reshape(250, 9, 4, 16, 4, 3).mean(axis=(2, 4))
    assert np.abs(result.miniatures - cells).max() <= 0.5
    assert result.damage == ""


def test_a_scan_is_saved_and_loaded_whole(film: Path, tmp_path: Path) -> None:
    before = scan(film)
    before.save(tmp_path / "scan.npz")
    after = Scan.load(tmp_path / "scan.npz")
    assert after.damage == before.damage
    for name in ("times", "steps", "miniatures"):
        assert np.array_equal(getattr(after, name), getattr(before, name))
        assert getattr(after, name).dtype == getattr(before, name).dtype
    whole = (tmp_path / "scan.npz").read_bytes()
    for spoilt in (b"", b"not a scan", whole[: len(whole) // 2]):
        (tmp_path / "scan.npz").write_bytes(spoilt)
        with pytest.raises(DataError, match=r"scan\.npz"):
            Scan.load(tmp_path / "scan.npz")


def test_a_scan_spoilt_anywhere_is_whole_or_a_data_error(tmp_path: Path) -> None:
    path = tmp_path / "scan.npz"
    before = scanned(shot(1, 12))
    before.save(path)
    whole, rng, refused = path.read_bytes(), np.random.default_rng(0), 0
    for place in rng.integers(0, len(whole), 300):
        path.write_bytes(whole[:place] + bytes(rng.integers(0, 256, 8, dtype=np.uint8)) + whole[place + 8 :])
        try:
            after = Scan.load(path)
        except DataError:
            refused += 1
        else:
            assert np.array_equal(after.miniatures, before.miniatures)
    assert refused > 200


def test_damage_ends_a_scan_and_is_told(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (40, 72, 128, 3), dtype=np.uint8)
    whole = media.write(Video(noise, 25.0), tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    result = scan(tmp_path / "cut.mp4")
    assert 0 < len(result.times) < 40
    assert "cut.mp4" in result.damage
    with pytest.raises(MediaError, match=r"cut\.mp4"):
        find_cuts(tmp_path / "cut.mp4")
    (tmp_path / "none.mp4").write_bytes(b"no film")
    with pytest.raises(MediaError, match=r"none\.mp4"):
        scan(tmp_path / "none.mp4")
    with pytest.raises(UsageError, match=r"absent\.mp4"):
        scan(tmp_path / "absent.mp4")


def test_one_picture_has_no_cut(tmp_path: Path) -> None:
    still = np.full((1, 72, 128, 3), 90, np.uint8)
    assert find_cuts(media.write(Video(still, 25.0), tmp_path / "still.mp4")) == []


@pytest.mark.skipif(not SHARED.exists(), reason="needs the shared footage")
@pytest.mark.parametrize(
    ("name", "least"), [("montage_droid_200", 0.99), ("montage_mixed_hard", 0.99), ("montage_mixed_soft", 0.97)]
)
def test_cuts_of_montages_of_real_footage(name: str, least: float) -> None:
    with open(SHARED / f"{name}.cuts.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] != "start"]
    frames = [cut.frame for cut in find_cuts(SHARED / f"{name}.mp4")]
    unused = set(frames)
    for row in rows:
        first, last = int(row["first_frame_of_transition"]), int(row["first_frame_of_new_shot"])
        unused -= set(sorted(frame for frame in unused if first - 2 <= frame <= last + 2)[:1])
    hits = len(frames) - len(unused)
    assert 2 * hits / (len(rows) + len(frames)) >= least
