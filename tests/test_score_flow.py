"""RAFT, AMT and what is asked of them: dynamic degree, motion smoothness, the static filter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from manzar.media import write
from manzar.nouns import Video
from manzar.score import static_filter
from manzar.score.backbones import amt, raft
from manzar.score.backbones.amt_parts import warped
from manzar.score.backbones.correlation import grid, look_up, padded, pairs_at_once, pyramid
from manzar.score.bench import Bench
from manzar.score.dimension import Unscored
from manzar.score.dimensions import dynamic_degree, motion_smoothness
from manzar.score.film import Film

Frames = NDArray[np.uint8]


def film(frames: Frames, fps: float = 8.0) -> Film:
    return Film(Path("a film.mp4"), frames, fps, "")


def noise(*shape: int) -> Frames:
    return np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)


def bench_with(**networks: nn.Module | Callable[..., Any]) -> Bench:
    return Bench(_backbones=dict(networks))


@torch.no_grad()
def wild(network: nn.Module) -> Any:
    """Weights spread as far as signals keep their size; the last changes of flows small."""
    generator = torch.Generator().manual_seed(0)
    for name, parameter in network.named_parameters():
        fan = parameter[0].numel() if parameter.ndim > 1 else 100
        small = 0.1 if "flow_head" in name or "comb_block" in name or "convblock.2" in name else 1.0
        parameter.normal_(0, small * (2 / fan) ** 0.5, generator=generator)
    return network.eval()


# Correlations


def test_windows_hold_the_likeness_of_what_lies_there() -> None:
    torch.manual_seed(0)
    here, there = torch.randn(2, 1, 6, 16, 20)
    levels = pyramid(here, there)
    assert [tuple(level.shape) for level in levels] == [(320, 1, 16 >> i, 20 >> i) for i in range(4)]
    windows = look_up(levels, grid(here) + torch.tensor((1.0, 0.0)).view(1, 2, 1, 1), radius=2)
    assert windows.shape == (1, 4 * 25, 16, 20)
    x, y, step_x, step_y = 7, 5, -1, 2
    at = (step_x + 2) * 5 + step_y + 2
    expected = here[0, :, y, x] @ there[0, :, y + step_y, x + 1 + step_x] / 6**0.5
    assert windows[0, at, y, x] == pytest.approx(float(expected), abs=1e-5)
    coarse = F.avg_pool2d(there, 2)[0, :, 3 + step_y, 3 + step_x]  # of row 6, column 5 + 1
    assert windows[0, 25 + at, 6, 5] == pytest.approx(float(here[0, :, 6, 5] @ coarse / 6**0.5), abs=1e-5)
    assert windows[0, at, y, 0] == pytest.approx(float(here[0, :, y, 0] @ there[0, :, y + 2, 0] / 6**0.5), abs=1e-5)
    assert windows[0, :5, :, 0].abs().max() < 1e-4, "outside the map there is nothing"


def test_edges_are_repeated_the_odd_one_behind() -> None:
    x = torch.arange(1.0, 6.0).expand(1, 1, 3, 5)
    assert padded(x, 8).shape == (1, 1, 8, 8)
    assert padded(x, 8)[0, 0, 0].tolist() == [1, 1, 2, 3, 4, 5, 5, 5]
    assert padded(x[..., :4], 4)[0, 0, 0].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(("size", "multiple", "least"), [((120, 300), 8, "121"), ((300, 112), 16, "113")])
def test_sizes_that_give_no_number_are_refused(size: tuple[int, int], multiple: int, least: str) -> None:
    with pytest.raises(Unscored, match=f"below {least} pixels"):
        pairs_at_once(*size, multiple)
    assert pairs_at_once(size[0] + 1, size[1] + 1, multiple) == 4
    with pytest.raises(Unscored, match="3840x2160 is too large"):
        pairs_at_once(2160, 3840, multiple)
    assert pairs_at_once(1080, 1920, multiple, pyramids=2) == 1


# RAFT


def test_raft_has_the_published_tensors() -> None:
    with torch.device("meta"):
        network = raft.RAFT()
    names = network.state_dict()
    assert sum(parameter.numel() for parameter in network.parameters()) == 5_257_536
    assert names["cnet.layer2.0.norm3.weight"].shape == names["cnet.layer2.0.downsample.1.weight"].shape == (96,)
    assert names["update_block.gru.convq2.weight"].shape == (128, 384, 5, 1)
    assert names["update_block.mask.2.weight"].shape == (576, 256, 1, 1)
    assert not [name for name in names if name.startswith("fnet") and "norm" in name]


def test_raft_loads_a_file_of_its_keys_alone(tmp_path: Path) -> None:
    network = wild(raft.RAFT())
    stored = {f"module.{name}": tensor for name, tensor in network.state_dict().items()}
    torch.save(stored, tmp_path / "raft-things.pth")
    loaded = raft.load(tmp_path / "raft-things.pth").state_dict()
    assert all(torch.equal(tensor, loaded[name]) for name, tensor in network.state_dict().items())
    del stored["module.update_block.flow_head.conv2.bias"]
    torch.save(stored, tmp_path / "raft-things.pth")
    with pytest.raises(Unscored, match="flow_head"):
        raft.load(tmp_path / "raft-things.pth")


@torch.inference_mode()
def test_the_context_may_be_added_before_the_iterations() -> None:
    """The recurrent unit with its context put in early, against its plain definition."""
    unit = wild(raft.SepConvGRU())
    torch.manual_seed(1)
    hidden, context, motion = torch.randn(3, 1, 128, 6, 7)
    expected = hidden
    for sweep in "12":
        z, r, q = (unit.get_submodule(f"conv{gate}{sweep}") for gate in "zrq")
        x = torch.cat((context, motion), dim=1)
        update, reset = (torch.sigmoid(gate(torch.cat((expected, x), dim=1))) for gate in (z, r))
        expected = (1 - update) * expected + update * torch.tanh(q(torch.cat((reset * expected, x), dim=1)))
    found = hidden
    for step in unit.sweeps(context):
        found = step(found, motion)
    assert (found - expected).abs().max() < 1e-5


def test_enlarged_flow_is_a_weighted_mean_eight_times_as_long() -> None:
    flow = torch.randn(1, 2, 4, 5)
    weights = torch.zeros(1, 9, 8, 8, 4, 5)
    weights[:, 4] = 100  # the middle of the nine
    fine = raft.enlarged(flow, weights.flatten(1, 3))
    assert torch.allclose(fine, 8 * flow.repeat_interleave(8, 2).repeat_interleave(8, 3), atol=1e-5)
    weights[:, 4] = 0
    weights[:, 5, 0, 7] = 100  # to the right, for the pixels in the upper right corner of each block
    fine = raft.enlarged(flow, weights.flatten(1, 3))
    assert torch.allclose(fine[:, :, 0::8, 7::8][..., :-1], 8 * flow[..., 1:], atol=1e-5)


def test_flow_is_the_same_in_batches_and_pair_by_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raft, "ITERATIONS", 2)
    network, frames = wild(raft.RAFT()), noise(3, 125, 131)
    pairs = [(0, 1), (1, 2), (2, 0)]
    together = list(raft.motions(network, frames, pairs, 0.05))
    pictures = padded(torch.from_numpy(frames).permute(0, 3, 1, 2).float(), 8)
    for pair, motion in zip(pairs, together, strict=True):
        with torch.inference_mode():
            flow = network(*(pictures[index : index + 1] for index in pair))
        assert flow.shape == (1, 2, 128, 136)
        lengths = np.sort(np.hypot(*flow[0].numpy()).ravel())[::-1]
        assert motion == pytest.approx(float(lengths[: int(128 * 136 * 0.05)].mean()), rel=1e-4)


def test_features_are_computed_once_a_frame_and_no_pair_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raft, "ITERATIONS", 1)
    network, seen = wild(raft.RAFT()), []
    network.fnet.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    walk = raft.motions(network, noise(10, 128, 128), [(i, i + 1) for i in range(9)], 0.05)
    next(walk)
    assert seen == [5]
    list(walk)
    assert seen == [5, 4, 1]


# Dynamic degree and the static filter


def plain_dynamic(speeds: list[float], limit: float, frames: int) -> bool:
    """Every pair looked at, then counted."""
    moving = sum(speed > limit for speed in speeds)
    return bool(speeds) and moving >= round(4 * (frames / 16.0))


def plain_static(speeds: list[float], ends: list[float], limit: float, frames: int) -> bool:
    allowed = round(2 * (frames / 16.0))
    return sum(speed > limit for speed in speeds) <= allowed and all(end <= limit * allowed * 2 for end in ends)


def test_decisions_that_stop_early_are_those_of_a_full_count() -> None:
    random = np.random.default_rng(0)
    for _ in range(3000):
        frames = int(random.integers(2, 40))
        limit = 1.5
        speeds = (random.integers(0, 4, frames - 1) * random.choice((0.5, 0.75))).tolist()  # the limit itself included
        ends = (random.integers(0, 4, 2) * 1.5 * random.choice((1, frames / 8))).tolist()
        wanted = dynamic_degree.wanted_pairs(frames)
        assert dynamic_degree.is_dynamic(speeds, frames - 1, limit, wanted) == plain_dynamic(speeds, limit, frames)
        assert static_filter.is_static(speeds, ends, frames, limit) == plain_static(speeds, ends, limit, frames)


def test_no_more_pairs_are_read_than_needed() -> None:
    def counted(speeds: list[float], read: list[float]) -> Iterator[float]:
        for speed in speeds:
            read.append(speed)
            yield speed

    for speeds, reads in (([9.0] * 15, 4), ([0.0] * 15, 12), ([0.0] * 11 + [9.0] * 4, 15)):
        read: list[float] = []
        dynamic_degree.is_dynamic(counted(speeds, read), 15, 1.0, 4)
        assert len(read) == reads
    read = []
    assert not static_filter.is_static(counted([0.0] * 15, read), [99.0, 0.0], 16, 1.0)
    assert not read, "the ends are enough"


def test_rules_round_halves_to_even_and_scale_with_the_shorter_side() -> None:
    assert [dynamic_degree.wanted_pairs(n) for n in (2, 6, 10, 14, 16, 18)] == [0, 2, 2, 4, 4, 4]
    assert [static_filter.allowed_pairs(n) for n in (4, 12, 16, 20, 28)] == [0, 2, 2, 2, 4]
    assert dynamic_degree.threshold(128, 512) == 3.0 and static_filter.threshold(512, 128) == 1.5


class Sliding(nn.Module):
    """In RAFT's place: every pixel moves to the right by as much as the first picture is bright."""

    def __init__(self) -> None:
        super().__init__()
        self.nothing = nn.Parameter(torch.zeros(1))

    def features(self, pictures: Tensor) -> Tensor:
        return pictures

    def flow(self, first: Tensor, here: Tensor, there: Tensor) -> Tensor:
        assert torch.equal(first, here)
        return torch.stack((first[:, 0], torch.zeros_like(first[:, 0])), dim=1)


def brightness(*levels: int) -> Frames:
    return np.array(levels, np.uint8)[:, None, None, None].repeat(128, 1).repeat(136, 2).repeat(3, 3)


def test_dynamic_degree_of_a_film() -> None:
    bench = bench_with(raft_things=Sliding())
    limit = dynamic_degree.threshold(128, 136)  # 3 pixels
    measured = dynamic_degree.measure(film(brightness(4, 0, 3, 4, 0, 0, 0, 0)), bench)
    assert measured.value is True and measured.parts == (1.0,)
    assert measured.detail["threshold"] == limit == 3.0 and measured.detail["wanted"] == 2
    assert dynamic_degree.measure(film(brightness(4, 0, 3, 0, 0, 0, 0, 9)), bench).value is False
    fast = brightness(*[9, 0, 0] * 5)  # at 24 a second one in three is looked at
    assert dynamic_degree.measure(film(fast, fps=24.0), bench).value is True
    assert dynamic_degree.measure(film(np.roll(fast, 1, axis=0), fps=24.0), bench).value is False
    for short, fps in ((brightness(9), 8.0), (brightness(9, 9, 9), 24.0)):
        with pytest.raises(Unscored, match="one is left"):
            dynamic_degree.measure(film(short, fps), bench)


def test_the_filter_keeps_the_first_still_films_and_renames_them(tmp_path: Path) -> None:
    still, moving = brightness(*[0] * 9), brightness(*[60] * 9)
    paths = [tmp_path / f"a vase-{number:02}.mp4" for number in range(5)]
    for path, frames in zip(paths, (moving, still, still, brightness(0), still), strict=True):
        write(Video(frames, 8.0), path)
    bench = bench_with(raft_things=Sliding())
    filtered = static_filter.still_films({"a vase": paths[::-1], "a wall": []}, bench, wanted=3)
    assert filtered.kept == {"a vase": [paths[1], paths[2], paths[4]], "a wall": []}
    assert filtered.moving == [paths[0]] and "one frame" in filtered.unscored[paths[3]]
    assert filtered.short(3) == {"a wall": 3}
    copies = static_filter.copy_still(filtered, tmp_path / "still")
    assert [copy.name for copy in copies] == ["a vase-0.mp4", "a vase-1.mp4", "a vase-2.mp4"]
    assert copies[2].read_bytes() == paths[4].read_bytes()


# AMT and motion smoothness


def test_amt_has_the_published_tensors() -> None:
    with torch.device("meta"):
        network = amt.AMT()
    names = network.state_dict()
    assert sum(parameter.numel() for parameter in network.parameters()) == 2_990_543
    assert names["decoder1.convblock.1.conv2.1.weight"].shape == (20,)
    assert names["decoder4.convblock.2.weight"].shape == (112, 48, 4, 4)
    assert names["update3.gru.0.weight"].shape == (76, 68 + 4 + 32, 3, 3)
    assert names["feat_encoder.layer2.0.downsample.0.weight"].shape == (64, 32, 1, 1)


def test_amt_loads_a_file_of_its_keys_alone(tmp_path: Path) -> None:
    network = amt.AMT()
    torch.save({"state_dict": network.state_dict(), "epoch": 300}, tmp_path / "amt-s.pth")
    loaded = amt.load(tmp_path / "amt-s.pth").state_dict()
    assert all(torch.equal(tensor, loaded[name]) for name, tensor in network.state_dict().items())
    torch.save({"state_dict": {"conv.weight": torch.zeros(1)}}, tmp_path / "amt-s.pth")
    with pytest.raises(Unscored, match="another network"):
        amt.load(tmp_path / "amt-s.pth")


@torch.inference_mode()
def test_amt_gives_a_picture_that_does_not_depend_on_the_batch() -> None:
    network = wild(amt.AMT())
    first, second = torch.rand(2, 2, 3, 128, 144)
    middle = network(first, second)
    assert middle.shape == first.shape and 0 <= middle.min() and middle.max() <= 1
    assert float(middle.std()) > 0.05
    assert (middle[1:] - network(first[1:], second[1:])).abs().mean() < 1e-5


def test_warping_fetches_from_where_flow_points() -> None:
    x = torch.rand(1, 3, 5, 7)
    right, up = torch.tensor((1.0, 0.0)), torch.tensor((0.0, -1.0))
    flow = torch.cat((right, up)).view(1, 4, 1, 1).expand(1, 4, 5, 7)
    fetched = warped(x, flow)
    assert fetched.shape == (1, 6, 5, 7)
    assert torch.allclose(fetched[:, :3, :, :-1], x[..., 1:], atol=1e-5)
    assert torch.allclose(fetched[:, 3:, 1:], x[:, :, :-1], atol=1e-5)
    assert torch.allclose(fetched[:, 3:, 0], x[:, :, 0], atol=1e-5), "edges are repeated"


class Mean(nn.Module):
    """In AMT's place: half of each."""

    def __init__(self) -> None:
        super().__init__()
        self.nothing = nn.Parameter(torch.zeros(1))

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        assert first.shape[-2] % 16 == first.shape[-1] % 16 == 0 and float(first.max()) <= 1
        return (first + second) / 2


def test_smoothness_compares_with_the_frames_left_out() -> None:
    frames = noise(8, 121, 135)
    kept, left_out = frames[::2].astype(np.float32), frames[1::2]
    errors = []
    for before, after, true in zip(kept, kept[1:], left_out, strict=False):
        guessed = ((before / 255 + after / 255) / 2 * 255).astype(np.uint8)
        errors.append(np.abs(guessed.astype(int) - true).mean())
    bench = bench_with(amt_s=Mean())
    measured = motion_smoothness.measure(film(frames), bench)
    assert measured.value == pytest.approx(1 - np.mean(errors) / 255, abs=2e-5)
    assert measured.detail["interpolated"] == 3
    assert motion_smoothness.measure(film(frames[:7]), bench).value == measured.value, "the last of eight is not used"


def test_smoothness_rounds_levels_down() -> None:
    """Halfway between 10 and 11 is shown as 10."""
    frames = brightness(10, 10, 11)
    assert motion_smoothness.measure(film(frames), bench_with(amt_s=Mean())).value == 1.0
    frames = brightness(10, 11, 11)
    assert motion_smoothness.measure(film(frames), bench_with(amt_s=Mean())).value == pytest.approx(254 / 255)


@pytest.mark.parametrize(("frames", "reason"), [(1, "one frame only"), (2, "two frames only")])
def test_smoothness_needs_three_frames(frames: int, reason: str) -> None:
    with pytest.raises(Unscored, match=reason):
        motion_smoothness.measure(film(noise(frames, 128, 128)), bench_with(amt_s=Mean()))


def test_small_frames_are_unscored_with_the_size_needed() -> None:
    with pytest.raises(Unscored, match="112x96"):
        motion_smoothness.measure(film(noise(4, 96, 112)), bench_with(amt_s=Mean()))
    with pytest.raises(Unscored, match="112x96"):
        dynamic_degree.measure(film(noise(4, 96, 112)), bench_with(raft_things=Sliding()))


def test_without_weights_the_reason_names_what_is_missing() -> None:
    with pytest.raises(Unscored, match=r"raft-things\.pth"):
        dynamic_degree.measure(film(noise(4, 128, 128)), Bench())
    with pytest.raises(Unscored, match=r"amt-s\.pth.*not for commercial use"):
        motion_smoothness.measure(film(noise(4, 128, 128)), Bench())
