"""MUSIQ and imaging quality."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from manzar.score.backbones import musiq
from manzar.score.backbones.musiq import MUSIQ
from manzar.score.bench import Bench
from manzar.score.dimension import Unscored
from manzar.score.dimensions import imaging_quality
from manzar.score.film import Film


@torch.no_grad()
def wild(network: nn.Module) -> Any:
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        fan = parameter[0].numel() if parameter.ndim > 1 else 4
        parameter.normal_(0, (2 / fan) ** 0.5, generator=generator)
    return network.eval()


def small() -> Any:
    return wild(MUSIQ(dim=24, inner=48, heads=3, layers=2))


def film(*shape: int) -> Film:
    frames = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    return Film(Path("a film.mp4"), frames, 8.0, "")


def test_musiq_has_the_published_tensors() -> None:
    with torch.device("meta"):
        network = MUSIQ()
    names = network.state_dict()
    assert len(names) == 248
    assert sum(parameter.numel() for parameter in network.parameters()) == 27_125_825
    assert names["embedding.weight"].shape == (384, 16384)
    assert names["transformer_encoder.posembed_input.position_emb"].shape == (1, 100, 384)
    assert names["transformer_encoder.transformer.encoderblock_13.attention.query.bias"].shape == (384,)


def test_musiq_loads_a_file_of_its_keys_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = small()
    monkeypatch.setattr(musiq, "MUSIQ", small)
    torch.save({"params": network.state_dict()}, tmp_path / "musiq.pth")
    loaded = musiq.load(tmp_path / "musiq.pth").eval()
    picture = torch.rand(1, 3, 40, 70)
    with torch.inference_mode():
        assert torch.equal(loaded(picture), network(picture))
    torch.save({"params": {**network.state_dict(), "head.0.weight": torch.zeros(10, 24)}}, tmp_path / "musiq.pth")
    with pytest.raises(Unscored, match=r"head\.0\.weight"):
        musiq.load(tmp_path / "musiq.pth")


def test_patches_come_at_three_sizes_in_place() -> None:
    picture = torch.rand(2, 3, 100, 160)
    patches, places, sizes = musiq.multiscale(picture)
    rows = {0: (5, 7), 1: (8, 12), 2: (4, 5)}  # 140x224, 240x384, 100x160
    assert [int((sizes == number).sum()) for number in range(3)] == [35, 96, 20]
    assert patches.shape == (2, 151, 3, 32, 32)
    own = rearrange(patches[:, sizes == 2], "b (row column) c y x -> b row column c y x", column=rows[2][1])
    assert torch.equal(own[:, 1, 2], picture[..., 18:50, 64:96]), "padding of 28 rows: 14 above"
    assert not own[:, 0, 0, :, :14].any()
    scaled = F.interpolate(picture, (140, 224), mode="bicubic", align_corners=False)
    assert torch.equal(patches[:, 0, :, 10:], scaled[..., :22, :32])
    assert places[sizes == 2].tolist() == [row * 10 + column for row in (0, 2, 5, 7) for column in (0, 2, 4, 6, 8)]


@pytest.mark.parametrize("count", [1, 5, 7, 12, 16, 33])
def test_places_are_those_of_the_nearest_cell(count: int) -> None:
    nearest = F.interpolate(torch.arange(10.0).view(1, 1, 10), count, mode="nearest")[0, 0]
    assert musiq.hashed(1, count).tolist() == nearest.tolist()
    assert musiq.hashed(count, 1).tolist() == (10 * nearest).tolist()


def masked(network: Any, picture: Tensor, filling: int, hidden: bool = True) -> Tensor:
    """The published order of things: tokens filled up, masked out with -1000, every layer computed in full."""
    patches, places, sizes = musiq.multiscale(2 * (picture - 0.5))
    patches = F.pad(patches, (0, 0, 0, 0, 0, 0, 0, filling))
    places, sizes = F.pad(places, (0, filling)), F.pad(sizes, (0, filling))
    encoder = network.transformer_encoder
    x = network.embedded(patches[0])[None]
    x = x + encoder.posembed_input.position_emb[0, places] + encoder.scaleembed_input.scale_emb[sizes]
    x = torch.cat((encoder.cls, x), dim=1)
    valid = torch.arange(x.shape[1]) < x.shape[1] - filling * hidden
    for layer in encoder.transformer.values():
        y, part = layer.norm1(x), layer.attention
        projections = (part.query, part.key, part.value)
        q, k, v = (rearrange(each(y), "b n (h d) -> b h n d", h=part.heads) for each in projections)
        weights = (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).masked_fill(~(valid[:, None] & valid), -1e3)
        x = x + part.out((weights.softmax(-1) @ v).transpose(1, 2).flatten(2))
        x = x + layer.mlp(layer.norm2(x))
    score: Tensor = network.head(encoder.encoder_norm(x)[:, 0])[:, 0]
    return score


@torch.inference_mode()
def test_filled_in_tokens_may_be_left_out() -> None:
    torch.manual_seed(0)
    network, picture = small(), torch.rand(1, 3, 90, 130)
    score = float(network(picture))
    assert float(masked(network, picture, filling=17)) == pytest.approx(score, abs=2e-6)
    assert abs(float(masked(network, picture, filling=17, hidden=False)) - score) > 2e-4


@torch.inference_mode()
def test_same_padding_meets_the_whole_picture() -> None:
    assert musiq.same(torch.ones(1, 1, 33, 32), 32, 32).shape == (1, 1, 64, 32)
    assert musiq.same(torch.ones(1, 1, 32, 32), 7, 2).shape == (1, 1, 37, 37)
    assert musiq.same(torch.ones(1, 1, 1, 16), 3, 2)[0, 0, 1].tolist() == [1] * 16 + [0], "the odd one lies behind"


@torch.inference_mode()
def test_kernels_are_standardised() -> None:
    convolution = musiq.StandardConv2d(3, 4, 3)
    x = torch.rand(1, 3, 8, 8)
    before = convolution(x)
    convolution.weight.data.mul_(7).add_(2)
    assert torch.allclose(convolution(x), before, atol=1e-2)


def test_a_film_scores_the_mean_of_its_frames_out_of_a_hundred() -> None:
    network, clip = small(), film(3, 50, 90)
    measured = imaging_quality.measure(clip, Bench(_backbones={"musiq_spaq": network}))
    with torch.inference_mode():
        scores = network(torch.from_numpy(clip.frames).permute(0, 3, 1, 2).float() / 255)
    assert measured.value == pytest.approx(float(scores.mean()), rel=1e-5)
    assert measured.parts == (measured.value / 100,)
    assert float(scores.std()) > 0


def test_large_frames_are_shrunk_first() -> None:
    sizes: list[tuple[int, ...]] = []

    def network(pictures: Tensor) -> Tensor:
        sizes.append(tuple(pictures.shape))
        return pictures.mean(dim=(1, 2, 3))

    imaging_quality.measure(film(1, 30, 700), Bench(_backbones={"musiq_spaq": network}))
    assert sizes == [(1, 3, 21, 512)]


def test_what_cannot_be_scored_says_why() -> None:
    with pytest.raises(Unscored, match="900x2 is too narrow"):
        imaging_quality.measure(film(1, 2, 900), Bench(_backbones={"musiq_spaq": small()}))
    with pytest.raises(Unscored, match=r"musiq_spaq_ckpt-358bb6af\.pth.*not for commercial use"):
        imaging_quality.measure(film(1, 64, 64), Bench())
