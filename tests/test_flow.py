"""Rectified flow against closed forms in double precision, and against the stock schedulers step by step."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from manzar.flow import (
    Schedule,
    guide,
    integrate,
    interpolate,
    sample_sigmas,
    shift_for_tokens,
    shift_sigma,
    timestep,
    unshift_sigma,
    velocity,
    velocity_from_x_0,
    x_0_from_velocity,
)
from manzar.nouns import ModelError, UsageError


def pair(*shape: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x_0, noise = torch.randn(2, *shape, generator=generator, dtype=torch.float64)
    return x_0, noise


# Gaussian data x_0 ~ N(m, s²): the state at σ is N((1 − σ) m, (1 − σ)² s² + σ²), everything about it is linear.
M, S = 0.7, 0.4


def gaussian_x_0(x: Tensor, sigma: float) -> Tensor:
    """E[x_0 | x_t]."""
    variance = ((1 - sigma) * S) ** 2 + sigma**2
    return M + (1 - sigma) * S**2 * (x - (1 - sigma) * M) / variance


def gaussian_velocity(x: Tensor, sigma: float) -> Tensor:
    """E[ε − x_0 | x_t], written without dividing by σ."""
    variance = ((1 - sigma) * S) ** 2 + sigma**2
    return -M + (sigma - (1 - sigma) * S**2) * (x - (1 - sigma) * M) / variance


def gaussian_end(x: Tensor, sigma: float) -> Tensor:
    """Where the exact flow carries x from σ to 0: quantiles are kept."""
    return M + S * (x - (1 - sigma) * M) / math.sqrt(((1 - sigma) * S) ** 2 + sigma**2)


# ---- path


@pytest.mark.parametrize("shape", [(5,), (5, 7), (5, 1, 7, 1), (5, 1, 7, 2)])
def test_round_trips_with_sigma_per_sample_and_per_position(shape: tuple[int, ...]) -> None:
    x_0, noise = pair(5, 3, 7, 2) if len(shape) > 2 else pair(5, 7, 2)
    sigma = torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 0.98 + 0.01
    x_t = interpolate(x_0, noise, sigma)
    v = velocity(x_0, noise)
    torch.testing.assert_close(x_0_from_velocity(x_t, v, sigma), x_0, rtol=0, atol=1e-12)
    torch.testing.assert_close(velocity_from_x_0(x_t, x_0, sigma), v, rtol=0, atol=1e-10)


def test_ends_of_the_path() -> None:
    x_0, noise = pair(4, 3)
    assert torch.equal(interpolate(x_0, noise, 0.0), x_0)
    assert torch.equal(interpolate(x_0, noise, torch.ones(4)), noise)


def test_velocity_is_the_derivative() -> None:
    x_0, noise = pair(4, 3)
    slope = (interpolate(x_0, noise, 0.6) - interpolate(x_0, noise, 0.4)) / 0.2
    torch.testing.assert_close(slope, velocity(x_0, noise), rtol=0, atol=1e-12)


def test_velocity_from_x_0_is_finite_at_zero() -> None:
    x_0, noise = pair(4, 3)
    for sigma in (0.0, torch.zeros(4)):
        assert velocity_from_x_0(x_0 + 1e-3 * noise, x_0, sigma).isfinite().all()
        assert torch.equal(velocity_from_x_0(x_0, x_0, sigma), torch.zeros_like(x_0))


def test_timestep_is_a_thousand_sigma() -> None:
    assert timestep(0.25) == 250
    assert torch.equal(timestep(torch.tensor([0.0, 0.5, 1.0])), torch.tensor([0.0, 500.0, 1000.0]))


# ---- time sampling


def test_shift_identities() -> None:
    sigma = torch.linspace(0, 1, 101, dtype=torch.float64)
    assert torch.equal(shift_sigma(sigma, 1.0), sigma)
    torch.testing.assert_close(unshift_sigma(shift_sigma(sigma, 3.0), 3.0), sigma, rtol=0, atol=1e-14)
    torch.testing.assert_close(shift_sigma(shift_sigma(sigma, 3.0), 2.0), shift_sigma(sigma, 6.0), rtol=0, atol=1e-14)
    assert shift_sigma(0.0, 5.0) == 0
    assert shift_sigma(1.0, 5.0) == 1
    assert shift_sigma(0.5, 3.0) == 0.75  # odds 1 become odds 3


@pytest.mark.parametrize("shift", [1.0, 3.0])
@pytest.mark.parametrize(("kind", "mean", "std"), [("uniform", 0.0, 1.0), ("logit-normal", 0.0, 1.0),
                                                   ("logit-normal", -0.8, 1.3)])
def test_sampled_sigmas_follow_their_distribution(kind: str, mean: float, std: float, shift: float) -> None:
    n = 40_000
    sigma = sample_sigmas(n, torch.Generator().manual_seed(0), kind=kind, mean=mean, std=std, shift=shift)  # type: ignore[arg-type]
    assert sigma.shape == (n,)
    assert sigma.dtype == torch.float32
    ordered = unshift_sigma(sigma.double().sort().values, shift)
    if kind == "uniform":
        cdf = ordered
    else:
        cdf = 0.5 * (1 + torch.erf((torch.logit(ordered) - mean) / std / math.sqrt(2)))
    distance = (cdf - (torch.arange(n, dtype=torch.float64) + 0.5) / n).abs().max().item()
    assert distance < 1.95 / math.sqrt(n)  # Kolmogorov–Smirnov at 0.1 %


def test_same_generator_same_sigmas() -> None:
    first, second = (sample_sigmas(8, torch.Generator().manual_seed(3), shift=2.0) for _ in range(2))
    assert torch.equal(first, second)


def test_shift_grows_with_tokens() -> None:
    shifts = [shift_for_tokens(n) for n in (1, 80, 1560, 4096, 32_760, 10**6)]
    assert shifts == sorted(shifts)
    assert 1 <= shifts[0] < shifts[1] < 2 < shifts[2] < 3
    assert shift_for_tokens(256) == pytest.approx(math.exp(0.5))
    assert shift_for_tokens(4096) == pytest.approx(math.exp(1.15))
    assert shifts[-1] == pytest.approx(5.0)


# ---- solvers, on Gaussian data


def test_gaussian_velocity_and_x_0_agree() -> None:
    x, _ = pair(100)
    v = gaussian_velocity(x, 0.3)
    torch.testing.assert_close(velocity_from_x_0(x, gaussian_x_0(x, 0.3), 0.3), v, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("kind", "order"), [("euler", 1), ("unipc", 2)])
@pytest.mark.parametrize("prediction", ["velocity", "sample"])
def test_order_of_convergence(kind: str, prediction: str, order: int) -> None:
    x = torch.linspace(-2, 2, 9, dtype=torch.float64)
    predict = gaussian_velocity if prediction == "velocity" else gaussian_x_0
    schedule = Schedule(kind, 1.0, prediction)  # type: ignore[arg-type]
    start = 0.8  # away from σ = 1, where λ is infinite and the first step of UniPC can only be of first order
    ladder = (32, 64, 128)
    errors = [(integrate(predict, x, schedule, n, sigma_start=start) - gaussian_end(x, start)).abs().max().item()
              for n in ladder]
    measured = math.log2(errors[0] / errors[2]) / 2
    assert measured > order - 0.25, f"errors {errors} fall with order {measured:.2f}"
    if kind == "euler":
        assert measured < 1.3


def test_unipc_beats_euler_at_few_steps() -> None:
    x = torch.linspace(-2, 2, 9, dtype=torch.float64)
    errors = {kind: (integrate(gaussian_velocity, x, Schedule(kind), 10) - gaussian_end(x, 1.0)).abs().max().item()
              for kind in ("euler", "unipc")}
    assert errors["unipc"] < errors["euler"] / 3


def test_euler_is_exact_on_a_straight_flow() -> None:
    x_0, noise = pair(2, 3)
    out = integrate(lambda x, sigma: noise - x_0, noise, Schedule("euler", 3.0), 7)
    torch.testing.assert_close(out, x_0, rtol=0, atol=1e-6)


def test_editing_starts_exactly_at_sigma_start() -> None:
    for kind in ("euler", "unipc"):
        schedule = Schedule(kind, 3.0)  # type: ignore[arg-type]
        full = schedule.grid(20)
        part = schedule.grid(20, 0.6)
        assert part[0] == 0.6
        assert set(part[1:]) <= set(full)
        assert all(a > b for a, b in itertools.pairwise(part))
        assert len(part) < len(full)
        assert schedule.grid(20, full[5]) == full[5:]
        assert schedule.grid(20, full[5] + 1e-7)[1:] == full[6:], "a sliver of a step is not taken"
        seen: list[float] = []

        def predict(x: Tensor, sigma: float, seen: list[float] = seen) -> Tensor:
            seen.append(sigma)
            return torch.zeros_like(x)

        integrate(predict, torch.zeros(2), schedule, 20, sigma_start=0.6)
        assert seen == list(part[:-1])
        assert schedule.grid(1, 1e-5) == (1e-5, 0.0)


def test_project_puts_given_content_back_and_on_step_sees_it() -> None:
    given, noise = pair(6)
    mask = torch.tensor([1.0, 1, 0, 0, 0, 1], dtype=torch.float64)
    levels: list[float] = []
    seen: list[tuple[int, Tensor]] = []

    def project(x: Tensor, sigma: float) -> Tensor:
        levels.append(sigma)
        return mask * given + (1 - mask) * x

    schedule = Schedule("unipc", 2.0)
    out = integrate(gaussian_velocity, noise, schedule, 5, project=project, on_step=lambda i, x: seen.append((i, x)))
    assert levels == list(schedule.grid(5)[1:])
    assert levels[-1] == 0
    assert [i for i, _ in seen] == [0, 1, 2, 3, 4]
    assert all(torch.equal(x[mask == 1], given[mask == 1]) for _, x in seen)
    assert torch.equal(out, seen[-1][1])


def test_state_is_kept_in_fp32() -> None:
    out = integrate(lambda x, sigma: x.bfloat16(), torch.ones(3, dtype=torch.bfloat16), Schedule(), 4)
    assert out.dtype == torch.float32


@pytest.mark.parametrize(("steps", "start"), [(0, 1.0), (-3, 1.0), (4, 0.0), (4, 1.5)])
def test_impossible_walks_are_refused(steps: int, start: float) -> None:
    with pytest.raises(UsageError, match=str(steps if steps < 1 else start)):
        integrate(gaussian_velocity, torch.zeros(2), Schedule(), steps, sigma_start=start)


# ---- against the stock schedulers


def stock(schedule: Schedule) -> object:
    import diffusers

    config = schedule.to_json()
    return getattr(diffusers, config["_class_name"]).from_config(config)


SCHEDULES = [Schedule("euler", s) for s in (1.0, 3.0, 8.0)] + [
    Schedule("unipc", s, p) for s in (1.0, 3.0, 8.0) for p in ("velocity", "sample")  # type: ignore[arg-type]
]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_levels_and_timesteps_are_the_stock_ones(schedule: Schedule) -> None:
    other = stock(schedule)
    for steps in (1, 2, 5, 20, 27, 50, 999):
        other.set_timesteps(steps)  # type: ignore[attr-defined]
        sigmas = schedule.sigmas(steps)
        assert sigmas.dtype == torch.float32
        torch.testing.assert_close(sigmas, other.sigmas, rtol=0, atol=1e-7)  # type: ignore[attr-defined]
        ours = torch.tensor([schedule.timestep(sigma) for sigma in schedule.grid(steps)[:-1]])
        torch.testing.assert_close(ours, other.timesteps.float(), rtol=0, atol=1e-4)  # type: ignore[attr-defined]


@pytest.mark.parametrize("steps", [1, 2, 3, 8, 30])
@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_integrate_walks_as_the_stock_scheduler_steps(schedule: Schedule, steps: int) -> None:
    generator = torch.Generator().manual_seed(0)
    mix, x = torch.randn(16, 16, generator=generator) / 4, torch.randn(4, 16, generator=generator)

    def predict(x: Tensor, sigma: float) -> Tensor:
        return torch.tanh(x @ mix) * (1 + sigma) / 2

    other, theirs = stock(schedule), x
    other.set_timesteps(steps)  # type: ignore[attr-defined]
    other.set_begin_index(0)  # type: ignore[attr-defined]
    for t, sigma in zip(other.timesteps, other.sigmas.tolist(), strict=False):  # type: ignore[attr-defined]
        theirs = other.step(predict(theirs, sigma), t, theirs, return_dict=False)[0]  # type: ignore[attr-defined]
    ours = integrate(predict, x, schedule, steps)
    scale = max(1.0, theirs.abs().max().item())
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6 * scale)


# ---- scheduler_config.json


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_schedule_survives_json_and_the_stock_class(schedule: Schedule) -> None:
    assert Schedule.from_json(schedule.to_json()) == schedule
    full = dict(stock(schedule).config)  # type: ignore[attr-defined]
    assert Schedule.from_json({**full, "_class_name": schedule.to_json()["_class_name"]}) == schedule


def refused(config: dict[str, object], *words: str) -> None:
    with pytest.raises(ModelError) as caught:
        Schedule.from_json(config)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_other_schedulers_are_refused_by_name() -> None:
    refused({"_class_name": "DDIMScheduler"}, "DDIMScheduler", "FlowMatchEulerDiscreteScheduler",
            "UniPCMultistepScheduler")
    refused({}, "None")
    refused(Schedule("unipc").to_json() | {"prediction_type": "epsilon"}, "epsilon", "flow_prediction")
    refused(Schedule("unipc").to_json() | {"solver_order": 3}, "solver_order", "3")
    refused({"_class_name": "UniPCMultistepScheduler", "prediction_type": "flow_prediction"}, "use_flow_sigmas")
    refused(Schedule("euler").to_json() | {"use_dynamic_shifting": True}, "use_dynamic_shifting")


def test_euler_cannot_be_saved_for_a_sample_predictor() -> None:
    with pytest.raises(ModelError, match="unipc"):
        Schedule("euler", 1.0, "sample").to_json()


# ---- guidance


def test_guidance() -> None:
    conditional, unconditional = pair(3, 4)
    assert torch.equal(guide(conditional, unconditional, 0.0), unconditional)
    torch.testing.assert_close(guide(conditional, unconditional, 1.0), conditional, rtol=0, atol=1e-15)
    torch.testing.assert_close(guide(conditional, unconditional, 3.0), 3 * conditional - 2 * unconditional,
                               rtol=0, atol=1e-12)


def test_guiding_velocity_or_x_0_is_the_same() -> None:
    x_t, _ = pair(3, 4)
    predictions: list[Callable[[Tensor, float], Tensor]] = [gaussian_velocity, lambda x, s: torch.zeros_like(x)]
    v_c, v_u = (predict(x_t, 0.4) for predict in predictions)
    by_velocity = x_0_from_velocity(x_t, guide(v_c, v_u, 2.5), 0.4)
    by_x_0 = guide(x_0_from_velocity(x_t, v_c, 0.4), x_0_from_velocity(x_t, v_u, 0.4), 2.5)
    torch.testing.assert_close(by_velocity, by_x_0, rtol=0, atol=1e-12)
