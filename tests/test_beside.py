"""What stands beside VBench: closed forms, films made here, and what is refused."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from manzar.score.bench import Bench
from manzar.score.beside import BESIDE, SETS, Features, SetMeasure
from manzar.score.beside.diversity import angle, colour_apart, diversity
from manzar.score.beside.dynamics import wasserstein
from manzar.score.beside.features import MOMENTS, moments
from manzar.score.beside.frechet import compare, distance
from manzar.score.beside.sharpness import of_frame
from manzar.score.dimension import Unscored
from manzar.score.film import Film


def film(frames: np.ndarray, fps: float = 8.0) -> Film:
    return Film(Path("film.mp4"), np.ascontiguousarray(frames, dtype=np.uint8), fps, "")


def value(name: str, one: Film) -> float:
    return float(BESIDE[name].measure(one, Bench()).value)


def texture(side: int = 160, seed: int = 0) -> np.ndarray:
    """A smooth random picture (side, side, 3)."""
    noise = np.random.default_rng(seed).normal(0, 1, (side, side, 3)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), 2.5)
    return ((soft - soft.min()) / np.ptp(soft) * 255).astype(np.uint8)


def panned(step: int, frames: int = 9, side: int = 96) -> np.ndarray:
    picture = texture()
    return np.stack([picture[:side, step * t : step * t + side] for t in range(frames)])


def row(values: np.ndarray, prompt: str | None = "a") -> Features:
    return Features(Path("film.mp4"), prompt, np.asarray(values, np.float64))


# ---- Fréchet distance ------------------------------------------------------------------------------------------------


def drawn_from(mean: np.ndarray, covariance: np.ndarray, n: int = 400, seed: int = 0) -> np.ndarray:
    """Rows whose mean and covariance are exactly these."""
    rows = np.random.default_rng(seed).normal(size=(n, len(mean)))
    rows -= rows.mean(axis=0)
    white = np.linalg.solve(np.linalg.cholesky(np.cov(rows, rowvar=False)), rows.T)
    return (np.linalg.cholesky(covariance) @ white).T + mean


def test_frechet_distance_of_gaussians_whose_covariances_commute():
    first, second = np.array([4.0, 1.0, 0.25]), np.array([1.0, 1.0, 2.25])
    turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
    gap = np.array([1.0, -2.0, 0.5])
    one = drawn_from(np.zeros(3), turn @ np.diag(first) @ turn.T)
    other = drawn_from(gap, turn @ np.diag(second) @ turn.T, seed=2)
    expected = gap @ gap + ((np.sqrt(first) - np.sqrt(second)) ** 2).sum()
    assert distance(one, other) == pytest.approx(expected, rel=1e-9)
    assert distance(other, one) == pytest.approx(expected, rel=1e-9)


def test_frechet_distance_where_covariances_do_not_commute():
    a, b = np.array([[2.0, 0.9], [0.9, 1.0]]), np.array([[1.0, -0.4], [-0.4, 3.0]])
    eigen = np.linalg.eigvals(a @ b)  # of a product of two covariances: real and positive
    expected = np.trace(a) + np.trace(b) - 2 * np.sqrt(eigen.real).sum()
    assert distance(drawn_from(np.zeros(2), a), drawn_from(np.zeros(2), b, seed=3)) == pytest.approx(expected, rel=1e-9)


def test_frechet_distance_is_nothing_to_oneself_even_where_singular():
    rows = np.random.default_rng(0).normal(size=(50, 4)) @ np.random.default_rng(1).normal(size=(4, 8))
    assert distance(rows, rows) == pytest.approx(0, abs=1e-6)


def test_frechet_comparison_says_of_what_and_refuses_too_few():
    rng = np.random.default_rng(0)
    films = [row(rng.normal(size=(8, 6))) for _ in range(20)]
    real = [row(rng.normal(3, 1, size=(8, 6))) for _ in range(30)]
    found = compare(films, real)
    assert found.value == pytest.approx(9 * 6, rel=0.15)
    assert (found.detail["dims"], found.detail["rows"], found.detail["films"]) == (6, 160, 20)
    assert found.detail["reference_films"] == 30
    with pytest.raises(Unscored, match="reference"):
        compare(films, [])
    with pytest.raises(Unscored, match="15 films"):
        compare(films[:15], real)
    with pytest.raises(Unscored, match="too few for a covariance"):
        compare([row(rng.normal(size=(1, 40))) for _ in range(20)], [row(rng.normal(size=(8, 40))) for _ in range(20)])


# ---- diversity -------------------------------------------------------------------------------------------------------


def test_diversity_is_the_mean_over_prompts():
    flat = [np.tile([50.0, 0, 0], 16), np.tile([53.0, 4.0, 0], 16), np.tile([50.0, 0, 0], 16)]
    films = [row(np.tile(one, (8, 1)), prompt) for one, prompt in zip(flat, ("a", "a", "b"), strict=True)]
    films += [films[2], row(np.full((8, 48), 90.0), None), row(np.full((8, 48), 90.0), "alone")]
    found = diversity(films, colour_apart)
    assert found.parts == pytest.approx((5.0, 0.0))
    assert found.value == pytest.approx(2.5)
    assert found.detail == {"prompts": 2, "films": 4}
    with pytest.raises(Unscored, match="two films"):
        diversity(films[:1] + films[4:], colour_apart)


def test_angle_ignores_length():
    a, b = np.array([[1.0, 0], [1.0, 0]]), np.array([[0, 7.0], [0, 7.0]])
    assert angle(a, 3 * a) == pytest.approx(0)
    assert angle(a, b) == pytest.approx(1)


# ---- how much moves --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [1, 3])
def test_flow_speed_of_a_pan(step):
    assert value("flow_speed", film(panned(step))) == pytest.approx(step / 96 * 8, rel=0.15)
    assert value("flow_speed", film(panned(step), fps=16)) == pytest.approx(step / 96 * 16, rel=0.15)


def test_a_still_picture_has_no_speed_and_one_frame_is_unscored():
    assert value("flow_speed", film(panned(0))) < 0.01
    for wrong in (panned(1)[:1], panned(1)[:, :20, :20]):
        with pytest.raises(Unscored):
            value("flow_speed", film(wrong))


def test_wasserstein_of_a_shift_and_of_unequal_samples():
    sample = np.random.default_rng(0).normal(size=40)
    assert wasserstein(sample, sample + 0.75) == pytest.approx(0.75)
    assert wasserstein(np.array([0.0, 1.0]), np.array([0.5])) == pytest.approx(0.5)
    assert wasserstein(sample, sample) == 0


def test_speeds_against_real_footage():
    slow, fast = ([row(np.full((4, 1), speed)) for speed in np.linspace(low, low + 0.1, 12)] for low in (0.0, 0.5))
    measure = SETS["flow_speed_distance"].measure
    found = measure(slow, fast)
    assert found.value == pytest.approx(0.5)
    assert found.detail["faster"] == 0.0
    assert found.detail["quartiles"][1] == pytest.approx(0.05)
    with pytest.raises(Unscored, match="reference"):
        measure(slow, [])
    with pytest.raises(Unscored, match="too few"):
        measure(slow[:5], fast)


# ---- sharpness and drift ---------------------------------------------------------------------------------------------


def test_blur_lowers_sharpness():
    noise = np.random.default_rng(0).integers(0, 256, (96, 96)).astype(np.float64)
    sharp = [of_frame(cv2.GaussianBlur(noise, (0, 0), sigma)) for sigma in (0.5, 1.0, 2.0, 4.0)]
    assert sharp == sorted(sharp, reverse=True)
    assert sharp[0] > 0.7 and sharp[-1] < 0.3
    assert of_frame(np.full((96, 96), 7.0)) == 0.0
    across_only = np.asarray(cv2.GaussianBlur(noise, (31, 1), 4.0))
    assert of_frame(across_only) < 0.3 < of_frame(noise)  # soft along one axis is soft


def test_drift_says_which_way():
    frames = np.stack([texture(64)] * 16)
    assert value("colour_drift", film(frames)) == 0
    assert value("sharpness_drift", film(frames)) == 0
    lighter = np.stack([np.clip(frame * (0.6 + 0.02 * t), 0, 255) for t, frame in enumerate(frames)])
    found = BESIDE["colour_drift"].measure(film(lighter), Bench())
    assert found.value > 5 and found.detail["lighter"] > 5
    softer = np.stack([cv2.GaussianBlur(frame, (0, 0), 0.3 + 0.2 * t) for t, frame in enumerate(frames)])
    assert value("sharpness_drift", film(softer)) < -0.1
    assert value("sharpness_drift", film(softer[::-1])) > 0.1
    for name in ("colour_drift", "sharpness_drift"):
        with pytest.raises(Unscored):
            value(name, film(frames[:1]))


# ---- the tables ------------------------------------------------------------------------------------------------------


def test_moments_part_a_film_evenly():
    assert moments(16) == [1, 3, 5, 7, 9, 11, 13, 15]
    assert moments(1) == [0] * MOMENTS
    assert moments(3) == [0, 0, 0, 1, 1, 2, 2, 2]


def test_tables_hold_each_name_once():
    assert all(dimension.kind == "beside" and dimension.name == name for name, dimension in BESIDE.items())
    assert all(isinstance(one, SetMeasure) and one.name == name for name, one in SETS.items())
    assert not set(BESIDE) & set(SETS)


def test_weight_free_set_features_have_their_shape():
    one = film(panned(2))
    for name, columns in (("diversity_thumbnail", 48), ("frechet_thumbnail", 48), ("flow_speed_distance", 1)):
        features = SETS[name].features(one, Bench())
        assert features.shape == (8, columns) and features.dtype == np.float64


@pytest.mark.parametrize("name", ["diversity_dino", "diversity_clip", "frechet_dino", "frechet_clip"])
def test_networks_are_asked_for_by_name(name):
    class Told(Bench):
        def backbone(self, name: str) -> object:
            raise Unscored(f"{name} is not here")

    with pytest.raises(Unscored, match=SETS[name].backbones[0]):
        SETS[name].features(film(panned(2)), Told())
