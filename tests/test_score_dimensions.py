"""Frame sampling, the transforms, the DINO and CLIP networks, and the five dimensions that need no more than those."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from manzar.score import transforms
from manzar.score.backbones import bpe, clip, dino
from manzar.score.bench import Bench
from manzar.score.checkpoints import fill, read_checkpoint
from manzar.score.consistency import consistency
from manzar.score.dimension import Measured, Unscored, mean_of_parts
from manzar.score.dimensions import (
    aesthetic_quality,
    appearance_style,
    background_consistency,
    subject_consistency,
    temporal_flickering,
)
from manzar.score.film import Asked, Film
from manzar.score.sampling import about_eight_a_second, middle

Frames = NDArray[np.uint8]
Network = TypeVar("Network", bound=nn.Module)
SMALL_CLIP = clip.ClipConfig(32, 32, 1, 2, 32, 1, 2, 16)


def film(frames: Frames, asked: Asked | None = None) -> Film:
    return Film(Path("a film.mp4"), frames, 8.0, "", asked or Asked())


def noise(*shape: int) -> Frames:
    return np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)


@torch.no_grad()
def wild(network: Network) -> Network:
    """Weights spread widely, so that no two inputs look alike."""
    torch.manual_seed(0)
    for parameter in network.parameters():
        parameter.normal_(0, 0.3)
    return network.eval()


# Sampling


@pytest.mark.parametrize(
    ("total", "wanted", "frames"),
    [
        (24, 16, [0, 1, 3, 4, 6, 7, 9, 10, 12, 13, 15, 16, 18, 19, 21, 22]),
        (16, 8, [0, 2, 4, 6, 8, 10, 12, 14]),
        (5, 8, [0, 1, 2, 3, 4, 4, 4, 4]),
        (17, 16, list(range(16))),
        (1, 8, [0] * 8),
        (8, 8, list(range(8))),
    ],
)
def test_middle_frames(total: int, wanted: int, frames: list[int]) -> None:
    assert middle(total, wanted) == frames


@pytest.mark.parametrize(
    ("fps", "step"), [(3, 1), (8, 1), (12, 2), (20, 2), (24, 3), (25, 3), (29.97, 4), (28, 4), (60, 8), (0.5, 1)]
)
def test_about_eight_frames_a_second(fps: float, step: int) -> None:
    """12, 20 and 28 lie halfway: the even one is taken."""
    assert list(about_eight_a_second(20, fps)) == list(range(0, 20, step))


# Transforms


def levels(images: Tensor, mean: transforms.Colour, std: transforms.Colour) -> Tensor:
    """Back to 0..255."""
    return (images.double() * torch.tensor(std).view(3, 1, 1) + torch.tensor(mean).view(3, 1, 1)) * 255


@pytest.mark.parametrize(
    ("transform", "size", "becomes"),
    [
        (transforms.dino, (144, 176), (224, 273)),  # 273.8 is rounded down
        (transforms.dino, (853, 480), (398, 224)),
        (transforms.dino, (224, 224), (224, 224)),
        (transforms.clip, (144, 176), (224, 224)),
        (transforms.clip_levels, (90, 300), (224, 224)),
        (transforms.clip_images, (300, 90), (224, 224)),
        (transforms.kinetics, (300, 90), (224, 224)),
        (transforms.tag2text, (90, 300), (384, 384)),
        (transforms.musiq, (512, 300), (512, 300)),
        (transforms.musiq, (600, 301), (512, 256)),  # 256.9 is rounded down
        (transforms.musiq, (90, 100), (90, 100)),
    ],
)
def test_sizes(transform: transforms.Transform, size: tuple[int, int], becomes: tuple[int, int]) -> None:
    images = transform(noise(2, *size))
    assert images.shape == (2, 3, *becomes) and images.dtype == torch.float32


def test_a_plain_frame_keeps_its_colour() -> None:
    plain = np.full((1, 300, 500, 3), (255, 51, 0), np.uint8)
    for transform, mean, std in (
        (transforms.clip, transforms.CLIP_MEAN, transforms.CLIP_STD),
        (transforms.clip_levels, transforms.CLIP_MEAN, transforms.CLIP_STD),
        (transforms.clip_images, transforms.CLIP_MEAN, transforms.CLIP_STD),
        (transforms.dino, transforms.IMAGENET_MEAN, transforms.IMAGENET_STD),
        (transforms.kinetics, transforms.IMAGENET_MEAN, transforms.IMAGENET_STD),
        (transforms.tag2text, transforms.IMAGENET_MEAN, transforms.IMAGENET_STD),
    ):
        image = transform(plain)[0]
        for channel, value in enumerate((1.0, 0.2, 0.0)):
            expected = torch.tensor((value - mean[channel]) / std[channel])
            torch.testing.assert_close(image[channel], expected.expand_as(image[channel]), atol=1e-5, rtol=0)
    assert transforms.musiq(plain)[0, :, 7, 7].tolist() == pytest.approx([1, 0.2, 0])


@pytest.mark.parametrize(("width", "left"), [(224, 0), (225, 0), (226, 1), (227, 2), (228, 2), (229, 2), (231, 4)])
def test_half_a_pixel_of_crop_is_rounded_to_the_even_one(width: int, left: int) -> None:
    columns = np.broadcast_to(np.arange(width, dtype=np.uint8)[:, None], (1, 224, width, 3))
    for transform in (transforms.clip, transforms.clip_levels, transforms.clip_images):
        image = levels(transform(columns), transforms.CLIP_MEAN, transforms.CLIP_STD)
        torch.testing.assert_close(image[0, 0, 0], torch.arange(left, left + 224).double(), atol=1e-4, rtol=0)


def test_tensors_are_not_smoothed_before_they_shrink() -> None:
    """At a quarter, bilinear sampling reads the middle two of four pixels; the mean of all four would be 86."""
    columns = np.tile(np.array([0, 100, 200, 44], np.uint8), 224)
    frames = np.broadcast_to(columns[None, None, :, None], (1, 896, 896, 3))
    image = levels(transforms.dino(frames), transforms.IMAGENET_MEAN, transforms.IMAGENET_STD)
    torch.testing.assert_close(image, torch.full_like(image, 150), atol=1e-4, rtol=0)


def test_pillow_smooths_where_tensors_do_not() -> None:
    frames = noise(1, 896, 896)
    rough, smooth = transforms.clip(frames), transforms.clip_images(frames)
    assert smooth.std() < 0.5 * rough.std()


def test_overshoot_is_kept_in_floats_and_clamped_in_levels() -> None:
    """Enlarged by bicubic, a step from black to white swings beyond both."""
    frames = np.zeros((1, 64, 64, 3), np.uint8)
    frames[:, :, 32:] = 255
    kept = levels(transforms.clip(frames), transforms.CLIP_MEAN, transforms.CLIP_STD)
    whole = levels(transforms.clip_levels(frames), transforms.CLIP_MEAN, transforms.CLIP_STD)
    assert kept.min() < -10 and kept.max() > 265
    torch.testing.assert_close(whole, kept.clamp(0, 255).round(), atol=1e-4, rtol=0)


def test_kinetics_rounds_to_whole_levels_before_it_crops() -> None:
    image = levels(transforms.kinetics(noise(1, 300, 200)), transforms.IMAGENET_MEAN, transforms.IMAGENET_STD)
    torch.testing.assert_close(image, image.round(), atol=1e-4, rtol=0)
    same = noise(1, 256, 256)
    image = levels(transforms.kinetics(same), transforms.IMAGENET_MEAN, transforms.IMAGENET_STD)
    expected = torch.from_numpy(same[0, 16:240, 16:240].astype(np.float64)).permute(2, 0, 1)
    torch.testing.assert_close(image[0], expected, atol=1e-4, rtol=0)


def test_batches_are_bounded_and_lose_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = noise(70, 16, 16)
    got = list(transforms.batches(frames, transforms.musiq))
    assert [len(batch) for batch in got] == [32, 32, 6]
    assert torch.equal(torch.cat(got), transforms.musiq(frames))
    monkeypatch.setattr(transforms, "MOST_BYTES", 4 * 16 * 16 * 3 * 5)
    assert [len(batch) for batch in transforms.batches(frames, transforms.musiq)] == [5] * 14
    monkeypatch.setattr(transforms, "MOST_BYTES", 1)  # one frame larger than all that is allowed
    assert len(list(transforms.batches(frames, transforms.musiq))) == 70


# Networks


def cubic(distance: float) -> float:
    """The weight of a sample at a distance, by torch's bicubic kernel (Keys 1981, a = -0.75)."""
    x, a = abs(distance), -0.75
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0


def sampled(own: int, wanted: int) -> Tensor:
    """How `own` positions are mixed into `wanted`, when the factor between them is a tenth of a place too large."""
    mixing = torch.zeros(wanted, own)
    for place in range(wanted):
        centre = (place + 0.5) * own / (wanted + 0.1) - 0.5
        for near in range(int(np.floor(centre)) - 1, int(np.floor(centre)) + 3):
            mixing[place, min(max(near, 0), own - 1)] += cubic(centre - near)  # the edge is repeated beyond itself
    return mixing


@pytest.mark.parametrize(("height", "width"), [(14, 24), (17, 14), (15, 15), (14, 14)])
def test_dino_stretches_its_positions_by_a_little_more_than_the_grid(height: int, width: int) -> None:
    network = wild(dino.Dino(dino.DinoConfig(side=224, width=4, depth=0, heads=1)))
    table = network.pos_embed[0, 1:].unflatten(0, (14, 14))
    expected = torch.einsum("hi,wj,ijd->hwd", sampled(14, height), sampled(14, width), table)
    if (height, width) == (14, 14):  # the only grid whose positions are taken as they are
        expected = table
    got = network.positions(height, width)[0]
    assert torch.equal(got[0], network.pos_embed[0, 0])
    torch.testing.assert_close(got[1:].unflatten(0, (height, width)), expected, atol=1e-5, rtol=0)


def test_dino_ignores_pixels_beyond_whole_patches() -> None:
    network = wild(dino.Dino(dino.DinoConfig(side=32, width=8, depth=1, heads=2)))
    image = torch.randn(1, 3, 32, 57)
    torch.testing.assert_close(network(image), network(image[..., :48]))
    assert not torch.allclose(network(image), network(image[..., :32]))


@pytest.mark.parametrize("width", [64, 64 + 32])
def test_dino_equals_the_stock_model_on_its_own_files(tmp_path: Path, width: int) -> None:
    from transformers import ViTConfig, ViTModel

    config = ViTConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=128,
                       image_size=64, patch_size=16, layer_norm_eps=1e-6, attn_implementation="eager")
    stock = wild(ViTModel(config))
    stock.save_pretrained(tmp_path)
    network = dino.Dino(dino.DinoConfig(side=64, width=32, depth=2, heads=2))
    fill(network, dino.from_stock(read_checkpoint(tmp_path / "model.safetensors")), tmp_path)
    image = torch.randn(2, 3, 64, width)
    with torch.no_grad():
        theirs = stock(image, interpolate_pos_encoding=True).last_hidden_state[:, 0]
        difference = (network(image) - theirs).abs().max()
    if width == 64:
        assert difference < 1e-5
    else:
        assert difference > 1e-4  # it stretches the positions in another way: this is why ours does not go through it


def test_clip_equals_the_stock_model_on_its_own_files(tmp_path: Path) -> None:
    from transformers import CLIPConfig, CLIPModel

    shared = {"hidden_size": 32, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2,
              "hidden_act": "quick_gelu"}
    stock = wild(CLIPModel(CLIPConfig(
        text_config=shared | {"vocab_size": 99, "max_position_embeddings": 9, "eos_token_id": 98, "bos_token_id": 97},
        vision_config=shared | {"image_size": 64, "patch_size": 32},
        projection_dim=24,
    )))
    stock.save_pretrained(tmp_path)
    network = clip.Clip(clip.ClipConfig(32, 32, 2, 2, 32, 2, 2, 24, side=64, context=9, vocabulary=99))
    fill(network, clip.from_stock(read_checkpoint(tmp_path / "model.safetensors")), tmp_path)
    image, tokens = torch.randn(3, 3, 64, 64), torch.tensor([[97, 5, 6, 98, 0, 0, 0, 0, 0], [97, 7, 98] + [0] * 6])
    with torch.no_grad():
        theirs = stock(input_ids=tokens, pixel_values=image)
        ours = network.logits(network.embed_images(image), network.embed_tokens(tokens))
        torch.testing.assert_close(F.normalize(network.embed_images(image), dim=-1), theirs.image_embeds)
        torch.testing.assert_close(F.normalize(network.embed_tokens(tokens), dim=-1), theirs.text_embeds)
    torch.testing.assert_close(ours, theirs.logits_per_image)


def test_clip_in_openai_s_own_layout(tmp_path: Path) -> None:
    network = wild(clip.Clip(SMALL_CLIP))
    sizes = {"input_resolution": torch.tensor(224), "context_length": torch.tensor(77)}
    torch.save(network.state_dict() | sizes, tmp_path / "ViT-B-32.pt")
    again = clip.load(tmp_path / "ViT-B-32.pt", SMALL_CLIP)
    image = torch.randn(1, 3, 224, 224)
    assert torch.equal(network.embed_images(image), again.get_submodule("visual")(image))


# Tokens


def vocabulary(folder: Path, first: list[str]) -> tuple[Path, Path]:
    """A vocabulary of CLIP's size in both forms, whose first merges are given and whose others never apply to ASCII."""
    others = [chr(code) for code in range(256, 256 + 68)]
    ends = [*others, *(other + "</w>" for other in others)]
    longer = [a + b for a in others for b in others]
    fillers = [f"{a} {b}" for a in others for b in ends] + [f"{a} {b}" for a in others for b in longer]
    merges = [*first, *fillers][: bpe.MERGES]
    text = "\n".join(["#version: 0.2", *merges, ""])
    (folder / "bpe_simple_vocab_16e6.txt.gz").write_bytes(gzip.compress(text.encode()))
    (folder / "merges.txt").write_text(text, encoding="utf-8")
    (folder / "vocab.json").write_text(json.dumps({str(n): n for n in range(bpe.TOKENS)}))
    return folder / "bpe_simple_vocab_16e6.txt.gz", folder / "vocab.json"


def byte(letter: str, *, last: bool = False) -> int:
    return ord(letter) - ord("!") + 256 * last


def test_tokens_by_hand(tmp_path: Path) -> None:
    own, stock = vocabulary(tmp_path, ["c a", "ca t</w>", "' s</w>"])
    start, end, ca, cat, s = bpe.TOKENS - 2, bpe.TOKENS - 1, 512, 513, 514
    for path in (own, stock):
        assert bpe.tokenize("Cat", 6, path).tolist() == [[start, cat, end, 0, 0, 0]]
        assert bpe.tokenize("  a \n CAT&#39;s cab", 9, path).tolist() == [
            [start, byte("a", last=True), cat, s, ca, byte("b", last=True), end, 0, 0]
        ]
        assert bpe.tokenize("cat cat cat", 4, path).tolist() == [[start, cat, cat, end]]  # cut, but its end is kept
        assert bpe.tokenize("12", 4, path).tolist() == [[start, byte("1", last=True), byte("2", last=True), end]]


def test_another_vocabulary_is_refused(tmp_path: Path) -> None:
    own, stock = vocabulary(tmp_path, [])
    own.write_bytes(own.read_bytes()[:1000])
    with pytest.raises(Unscored, match=f"{own.name} cannot be read"):
        bpe.tokenize("cat", 4, own)
    stock.write_text(json.dumps({"cat": 0}))
    with pytest.raises(Unscored, match=r"has 1 tokens, expected 49408"):
        bpe.tokenize("cat", 4, stock)
    short = tmp_path / "short.txt.gz"
    short.write_bytes(gzip.compress(b"#version\na b\n"))
    with pytest.raises(Unscored, match="merges of two, expected 48894"):
        bpe.tokenize("cat", 4, short)


# Dimensions


def compared(*features: tuple[float, float]) -> Measured:
    return consistency(film(noise(len(features), 2, 2)), lambda: torch.tensor(features, dtype=torch.float32))


def test_consistency_by_hand() -> None:
    measured = compared((1, 0), (3, 4), (0, 2))  # lengths do not matter
    assert measured.parts == pytest.approx([0.6, (0.8 + 0) / 2]) and measured.value == pytest.approx(0.5)
    assert compared((1, 2), (1, 2), (2, 4)).parts == pytest.approx([1, 1])


def test_each_cosine_is_clamped_at_zero_before_they_are_averaged() -> None:
    measured = compared((1, 0), (-0.6, 0.8), (-1, 0))
    assert measured.parts == pytest.approx([0, 0.3])  # (0.6 - 1) / 2 would be clamped to nothing
    assert compared((1, 0), (-1, 0)).value == 0


def test_longer_films_weigh_more() -> None:
    long, short = compared((1, 0), (1, 0), (1, 0), (1, 0)), compared((1, 0), (0, 1))
    assert mean_of_parts([long, short]) == pytest.approx(3 / 4)


def test_films_of_one_frame_have_no_neighbours() -> None:
    single, bench = film(noise(1, 8, 8)), Bench()
    for dimension in (subject_consistency, background_consistency, temporal_flickering):
        with pytest.raises(Unscored, match="one frame only"):
            dimension.measure(single, bench)


def test_flickering_by_hand() -> None:
    black, white = np.zeros((4, 6, 3), np.uint8), np.full((4, 6, 3), 255, np.uint8)
    spot = black.copy()
    spot[0, 0] = (72, 0, 0)  # 72 of 72 levels: a mean of 1
    for frames, value in (([black, black], 1), ([black, white], 0), ([white, black, black], 0.5),
                          ([black, spot], 254 / 255), ([spot, black, black], 254.5 / 255)):  # fmt: skip
        measured = temporal_flickering.measure(film(np.stack(frames)), Bench())
        assert measured.value == pytest.approx(value, abs=1e-12) and measured.parts == (measured.value,)


def test_flickering_counts_every_pixel_of_frames_longer_than_a_chunk() -> None:
    frames = noise(3, 181, 255)  # 138,465 levels: two chunks and a bit
    difference = np.abs(frames[1:].astype(np.float64) - frames[:-1]).mean()
    measured = temporal_flickering.measure(film(frames), Bench())
    assert measured.value == pytest.approx((255 - difference) / 255, abs=1e-12)


def test_consistency_goes_through_the_networks_and_runs_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = noise(5, 40, 60)
    runs = 0

    class Flat(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            nonlocal runs
            runs += 1
            assert images.shape == (5, 3, 224, 336)
            return images.mean((2, 3))

    bench = Bench(_backbones={"dino_vitb16": Flat()})
    first = subject_consistency.measure(film(frames), bench)
    assert subject_consistency.measure(film(frames), bench) == first and runs == 1
    features = F.normalize(transforms.dino(frames).mean((2, 3)), dim=-1)
    expected = (features[2] @ features[1]).clamp(0) / 2 + (features[2] @ features[0]).clamp(0) / 2
    assert len(first.parts) == 4 and first.parts[1] == pytest.approx(float(expected), abs=1e-6)


def test_background_consistency_sees_whole_frames_through_clip() -> None:
    network = wild(clip.Clip(SMALL_CLIP))
    frames = noise(3, 40, 60)
    measured = background_consistency.measure(film(frames), Bench(_backbones={"clip_vitb32": network}))
    with torch.no_grad():
        f = F.normalize(network.embed_images(transforms.clip(frames)), dim=-1)
    assert measured.parts == pytest.approx([float((f[1] @ f[0]).clamp(0)),
                                            float(((f[2] @ f[1]).clamp(0) + (f[2] @ f[0]).clamp(0)) / 2)], abs=1e-5)


def test_aesthetic_quality_is_a_tenth_of_the_mean_rating() -> None:
    torch.manual_seed(0)
    head = nn.Linear(16, 1)
    network = wild(clip.Clip(SMALL_CLIP))
    frames = noise(3, 40, 60)
    bench = Bench(_backbones={"clip_vitl14": network, "laion_aesthetic": head})
    measured = aesthetic_quality.measure(film(frames), bench)
    with torch.no_grad():
        ratings = [float(head(F.normalize(network.embed_images(transforms.clip(frame[None])), dim=-1)))
                   for frame in frames]
    assert measured.value == pytest.approx(sum(ratings) / 3 / 10, abs=1e-6)
    assert measured.parts == (measured.value,)


def test_appearance_style_asks_clip_about_the_style_alone(tmp_path: Path) -> None:
    own, _ = vocabulary(tmp_path, [])
    network = wild(clip.Clip(SMALL_CLIP))
    frames = noise(3, 40, 60)
    style = Asked("A cat runs, Van Gogh style", 0, {"appearance_style": {"appearance_style": "Van Gogh style"}})
    bench = Bench((tmp_path,), _backbones={"clip_vitb32": network})
    measured = appearance_style.measure(film(frames, style), bench)
    with torch.no_grad():
        text = network.embed_tokens(bpe.tokenize("Van Gogh style", 77, own))
        cosines = F.cosine_similarity(network.embed_images(transforms.clip_images(frames)), text)
    assert measured.parts == pytest.approx((cosines * network.logit_scale.exp() / 100).tolist(), abs=1e-6)
    assert measured.value == pytest.approx(sum(measured.parts) / 3)


def test_a_style_that_nobody_asked_for_is_unscored(tmp_path: Path) -> None:
    bench = Bench((tmp_path,), _backbones={"clip_vitb32": wild(clip.Clip(SMALL_CLIP))})
    with pytest.raises(Unscored, match="no style"):
        appearance_style.measure(film(noise(2, 8, 8)), bench)
    with pytest.raises(Unscored, match="dino_vitb16 is not here"):
        subject_consistency.measure(film(noise(2, 8, 8)), Bench((tmp_path,)))
