"""The video autoencoder against its stock twin, and its own promises: causality, gradients, measures."""

from __future__ import annotations

import gc
import json
import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from manzar.nouns import ModelError, ShapeError, Stride
from manzar.vae import (
    SMALL,
    DecoderStream,
    EncoderStream,
    Posterior,
    VAEConfig,
    VideoVAE,
    change_basis,
    find_basis,
    psnr,
    ssim,
    vae_loss,
)
from manzar.vae.blocks import NormSilu, double_conv
from manzar.vae.model import fold_pixels, unfold_pixels
from manzar.weights import load_strict, read_part, write_part

PLAIN = VAEConfig(
    base_dim=8, z_dim=4, dim_mult=(1, 2, 4, 4), temperal_downsample=(False, True, True),
    latents_mean=(0.0,) * 4, latents_std=(1.0,) * 4,
)  # fmt: skip
RESIDUAL = VAEConfig(
    base_dim=8, decoder_base_dim=12, z_dim=6, dim_mult=(1, 2, 4, 4), num_res_blocks=1,
    temperal_downsample=(False, True, True), latents_mean=(0.0,) * 6, latents_std=(1.0,) * 6,
    is_residual=True, in_channels=12, out_channels=12, patch_size=2,
)  # fmt: skip
HALF_TIME = VAEConfig(  # one halving of time only, none of them at the last level, unequal growth
    base_dim=8, z_dim=4, dim_mult=(1, 2, 3), num_res_blocks=1, temperal_downsample=(True, False),
    latents_mean=(0.0,) * 4, latents_std=(1.0,) * 4,
)  # fmt: skip
CONFIGS = {"plain": PLAIN, "residual": RESIDUAL, "small": SMALL, "half_time": HALF_TIME}


def randomise(module: nn.Module, seed: int = 0) -> None:
    """Weights far from any initialisation, scaled so that outputs stay of order one."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if name.endswith("gamma"):
                parameter.copy_(1 + 0.3 * noise)
            else:
                parameter.copy_(noise / parameter[0].numel() ** 0.5 if parameter.ndim > 1 else 0.2 * noise)


def stock(config: VAEConfig) -> nn.Module:
    diffusers = pytest.importorskip("diffusers")
    fields = {key: value for key, value in config.to_json().items() if not key.startswith("_")}
    return diffusers.AutoencoderKLWan(**fields).eval()


def clip(config: VAEConfig, frames: int, batch: int = 1) -> Tensor:
    _, height, width = config.stride
    generator = torch.Generator().manual_seed(frames)
    return torch.rand(batch, 3, frames, 2 * height, 3 * width, generator=generator) * 2 - 1


def random_vae(config: VAEConfig) -> VideoVAE:
    vae = VideoVAE(config)
    randomise(vae)
    return vae


@pytest.mark.parametrize("name", CONFIGS)
@torch.no_grad()
def test_same_numbers_as_the_stock_class(name: str) -> None:
    config = CONFIGS[name]
    ours, theirs = VideoVAE(config), stock(config)
    randomise(ours, seed=1)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    for frames in (1, 5, 9, 17, 33):
        video = clip(config, frames, batch=2 if frames == 9 else 1)
        expected = theirs.encode(video).latent_dist
        posterior = ours.encode(video)
        assert expected.mean.std() > 0.1
        torch.testing.assert_close(posterior.mean, expected.mean, atol=1e-5, rtol=0)
        torch.testing.assert_close(posterior.logvar, expected.logvar, atol=1e-5, rtol=0)
        decoded = theirs.decode(expected.mean).sample
        assert decoded.shape == video.shape
        torch.testing.assert_close(ours.decode(expected.mean), decoded, atol=1e-5, rtol=0)


@torch.no_grad()
def test_stock_weights_load_here_and_config_round_trips(tmp_path: Path) -> None:
    diffusers = pytest.importorskip("diffusers")
    theirs = stock(RESIDUAL)
    randomise(theirs, seed=2)
    theirs.save_pretrained(tmp_path / "theirs")
    config = VAEConfig.from_json(json.loads((tmp_path / "theirs" / "config.json").read_text()))
    assert config.to_json() == RESIDUAL.to_json()
    ours = VideoVAE(config)
    load_strict(ours, read_part(tmp_path / "theirs"), tmp_path)
    video = clip(config, 5)
    expected = theirs(video).sample
    torch.testing.assert_close(ours.decode(ours.encode(video).mean), expected, atol=1e-5, rtol=0)

    ours.with_statistics([0.5] * 6, [2.0] * 6)
    write_part(tmp_path / "ours", ours.state_dict(), ours.config.to_json())
    again, info = diffusers.AutoencoderKLWan.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert again.config.latents_std == [2.0] * 6
    assert again.config.scale_factor_spatial == 16
    assert torch.equal(again(video).sample, expected)


@pytest.mark.parametrize("name", CONFIGS)
@torch.no_grad()
def test_the_future_does_not_reach_back(name: str) -> None:
    vae = random_vae(CONFIGS[name])
    time = vae.stride.time
    video = clip(vae.config, 9)
    changed = video.clone()
    changed[:, :, 1 + time :] = 0
    before, after = vae.encode(video).mean, vae.encode(changed).mean
    torch.testing.assert_close(before[:, :, :2], after[:, :, :2], atol=1e-5, rtol=0)
    assert not torch.allclose(before[:, :, 2:], after[:, :, 2:], atol=1e-2)
    prefix = vae.encode(video[:, :, : 1 + time]).mean
    torch.testing.assert_close(prefix, before[:, :, :2], atol=1e-5, rtol=0)
    start = vae.decode(before[:, :, :2])
    torch.testing.assert_close(start, vae.decode(before)[:, :, : 1 + time], atol=1e-5, rtol=0)


def in_pieces(x: Tensor, lengths: Sequence[int]) -> list[Tensor]:
    assert sum(lengths) == x.shape[2]
    return list(x.split(list(lengths), dim=2))


@pytest.mark.parametrize("latent_frames", [[1, 1, 1, 1, 1, 1], [1, 3, 2], [2, 1, 1, 2], [4, 2], [6]])
@pytest.mark.parametrize("name", CONFIGS)
def test_a_stream_gives_what_the_whole_clip_gives(name: str, latent_frames: list[int]) -> None:
    vae = random_vae(CONFIGS[name])
    time = vae.stride.time
    frames = [time * count for count in latent_frames]
    frames[0] -= time - 1
    video = clip(vae.config, sum(frames), batch=2)
    with torch.no_grad():
        posterior = vae.encode(video)
        decoded = vae.decode(posterior.mean)
    before = video.clone()
    encoder, decoder = EncoderStream(vae), DecoderStream(vae)
    codes = [encoder.push(piece) for piece in in_pieces(video, frames)]
    torch.testing.assert_close(torch.cat([code.mean for code in codes], 2), posterior.mean, atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.cat([code.logvar for code in codes], 2), posterior.logvar, atol=1e-5, rtol=0)
    shown = [decoder.push(piece) for piece in in_pieces(posterior.mean, latent_frames)]
    assert [piece.shape[2] for piece in shown] == frames
    torch.testing.assert_close(torch.cat(shown, 2), decoded, atol=1e-5, rtol=0)
    assert torch.equal(video, before)
    with torch.no_grad():  # and the network itself remembers nothing
        assert torch.equal(vae.decode(posterior.mean), decoded)


def live_bytes() -> int:
    gc.collect()
    tensors = [thing for thing in gc.get_objects() if isinstance(thing, Tensor)]
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())


@pytest.mark.parametrize("name", ["plain", "residual"])
def test_what_a_stream_keeps_does_not_grow(name: str) -> None:
    vae = random_vae(CONFIGS[name])
    time, side = vae.stride.time, vae.stride.height
    encoder, decoder = EncoderStream(vae), DecoderStream(vae)
    start = live_bytes()
    kept = []
    for index, latent_frames in enumerate([5, 1, 1, 5, 1]):  # a long piece leaves no more than a short one
        video = torch.zeros(1, 3, latent_frames * time - (time - 1) * (index == 0), 2 * side, 2 * side)
        shown = decoder.push(encoder.push(video).mean)
        assert not shown.requires_grad  # nor does a graph hold on to anything
        del video, shown
        kept.append(live_bytes() - start)
    assert kept[0] > 0
    assert len(set(kept[1:])) == 1  # the first piece may not yet have met every doubling of time
    assert kept[0] <= kept[1]


def test_streams_do_not_meet() -> None:
    vae = random_vae(HALF_TIME)
    one, two = (clip(HALF_TIME, 5) * sign for sign in (1, -1))
    expected = vae.encode(one).mean
    first, second = EncoderStream(vae), EncoderStream(vae)
    pieces = []
    for start, stop in ((0, 1), (1, 3), (3, 5)):
        pieces.append(first.push(one[:, :, start:stop]).mean)
        second.push(two[:, :, start:stop])
    torch.testing.assert_close(torch.cat(pieces, 2), expected, atol=1e-5, rtol=0)


def test_a_stream_refuses_what_does_not_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    vae = VideoVAE(SMALL)
    encoder, decoder = EncoderStream(vae), DecoderStream(vae)
    with pytest.raises(ShapeError, match="nearest"):
        encoder.push(torch.zeros(1, 3, 4, 16, 16))
    encoder.push(torch.zeros(1, 3, 1, 16, 16))
    with pytest.raises(ShapeError, match="5 frames in a later piece of a clip; a multiple of 4"):
        encoder.push(torch.zeros(1, 3, 5, 16, 16))
    with pytest.raises(ShapeError, match=r"\(B, H, W\) = \(1, 16, 16\)"):
        encoder.push(torch.zeros(1, 3, 4, 16, 24))
    with pytest.raises(ShapeError, match=r"\(B, 16, t, h, w\)"):
        decoder.push(torch.zeros(1, 4, 1, 2, 2))
    with pytest.raises(ShapeError, match="at least one frame"):
        decoder.push(torch.zeros(1, 16, 0, 2, 2))
    assert encoder.push(torch.zeros(1, 3, 4, 16, 16)).mean.shape == (1, 16, 1, 2, 2)  # a refusal harms nothing

    monkeypatch.setattr(vae.decoder.conv_out, "convolve", None)
    with pytest.raises(TypeError):
        decoder.push(torch.zeros(1, 16, 1, 2, 2))
    monkeypatch.undo()
    with pytest.raises(AssertionError, match="begin again with a new stream"):
        decoder.push(torch.zeros(1, 16, 1, 2, 2))


@pytest.mark.parametrize("name", CONFIGS)
def test_every_parameter_has_a_gradient(name: str) -> None:
    vae = random_vae(CONFIGS[name])
    video = clip(vae.config, 9)
    posterior = vae.encode(video)
    loss, _ = vae_loss(vae.decode(posterior.sample()), video, posterior, kl_weight=1e-3)
    loss.backward()
    idle = [key for key, parameter in vae.named_parameters() if parameter.grad is None or not parameter.grad.any()]
    assert idle == []


def test_gradients_equal_the_stock_class() -> None:
    ours, theirs = random_vae(RESIDUAL), stock(RESIDUAL)
    theirs.load_state_dict(ours.state_dict())
    latents = torch.randn(1, 6, 2, 2, 2, generator=torch.Generator().manual_seed(0)) * 0.1
    mine, other = latents.clone().requires_grad_(), latents.clone().requires_grad_()
    video = ours.decode(mine)
    inside = (video.detach().abs() < 1).float()  # the stock clamp stops gradients, ours does not
    (video * inside).square().sum().backward()
    (theirs.decode(other).sample * inside).square().sum().backward()
    assert mine.grad is not None
    assert other.grad is not None
    torch.testing.assert_close(mine.grad, other.grad, atol=1e-4, rtol=1e-3)


def test_saturated_pixels_still_learn() -> None:
    vae = random_vae(PLAIN)
    with torch.no_grad():
        assert vae.decoder.conv_out.bias is not None
        vae.decoder.conv_out.bias.fill_(50.0)
    video = vae.decode(torch.zeros(1, 4, 1, 1, 1))
    assert (video == 1).all()
    video.sum().backward()
    assert vae.decoder.conv_out.bias.grad is not None
    assert vae.decoder.conv_out.bias.grad.abs().min() > 0


@pytest.mark.parametrize("history", [0, 2])
def test_norm_silu_has_the_right_gradient(history: int) -> None:
    x = torch.randn(2, 3, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    gamma = torch.randn(3, 1, 1, 1, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, gamma: NormSilu.apply(x, gamma, history), (x, gamma))
    n = x * (3**0.5 / x.norm(dim=1, keepdim=True))
    y = NormSilu.apply(x, gamma, history)
    torch.testing.assert_close(y[:, :, history:], nn.functional.silu(n * gamma))
    assert not y[:, :, :history].any()


def test_black_activations_have_a_finite_gradient() -> None:
    x = torch.zeros(1, 4, 1, 2, 2, requires_grad=True)
    NormSilu.apply(x, torch.ones(4, 1, 1, 1), 0).sum().backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()


def test_double_conv_is_repeat_then_convolve() -> None:
    conv = nn.Conv2d(3, 5, 3, padding=1).double()
    x = torch.randn(2, 3, 4, 6, dtype=torch.float64)
    expected = conv(x.repeat_interleave(2, 2).repeat_interleave(2, 3))
    torch.testing.assert_close(double_conv(x, conv), expected)


def test_pixels_fold_and_unfold() -> None:
    video = torch.randn(2, 3, 5, 8, 12)
    folded = fold_pixels(video, 2)
    assert folded.shape == (2, 12, 5, 4, 6)
    assert folded[1, 1 * 4 + 1 * 2 + 0, 3, 2, 4] == video[1, 1, 3, 2 * 2 + 0, 4 * 2 + 1]  # column before row
    assert torch.equal(unfold_pixels(folded, 2), video)


def test_bfloat16_stays_near() -> None:
    vae = random_vae(SMALL).eval()
    video = clip(SMALL, 9)
    with torch.no_grad():
        full = vae.encode(video).mean
        with torch.autocast("cpu", torch.bfloat16):
            half = vae.encode(video).mean
    assert half.dtype == torch.float32
    assert (half - full).norm() / full.norm() < 0.05


def test_stride_is_derived() -> None:
    assert VideoVAE(SMALL).stride == Stride(4, 8, 8)
    assert VAEConfig().stride == Stride(4, 8, 8)
    assert RESIDUAL.stride == Stride(4, 16, 16)
    assert HALF_TIME.stride == Stride(2, 4, 4)
    assert RESIDUAL.to_json()["scale_factor_spatial"] == 16


def test_defaults_are_the_stock_defaults() -> None:
    diffusers = pytest.importorskip("diffusers")
    import inspect

    parameters = inspect.signature(diffusers.AutoencoderKLWan.__init__).parameters
    expected = {key: value.default for key, value in parameters.items() if key != "self"}
    assert {key: value for key, value in VAEConfig().to_json().items() if not key.startswith("_")} == expected


@pytest.mark.parametrize("shape", [(1, 3, 6, 16, 16), (1, 3, 5, 12, 16), (1, 4, 5, 16, 16), (3, 5, 16, 16)])
def test_a_video_off_the_grid_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"nearest|needed"):
        VideoVAE(SMALL).encode(torch.zeros(shape))


def test_latents_of_another_model_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"\(B, 16, t, h, w\)"):
        VideoVAE(SMALL).decode(torch.zeros(1, 4, 1, 2, 2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"wings": 2}, "wings"),
        ({"_class_name": "AutoencoderKL"}, "AutoencoderKL;"),
        ({"in_channels": 4}, "in_channels=4"),
        ({"temperal_downsample": [True]}, "one flag per halving"),
        ({"attn_scales": [0.5]}, "attn_scales"),
    ],
)
def test_a_wrong_config_names_what_is_wrong(change: dict[str, object], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        VAEConfig.from_json(SMALL.to_json() | change)


def test_statistics_normalise_and_come_back() -> None:
    vae = random_vae(PLAIN).with_statistics([1.0, 2.0, 3.0, 4.0], [0.5, 1.0, 2.0, 4.0])
    latents = torch.tensor([1.5, 2.0, 7.0, 0.0]).view(1, 4, 1, 1, 1)
    assert vae.normalise(latents).flatten().tolist() == [1.0, 0.0, 2.0, -1.0]
    torch.testing.assert_close(vae.denormalise(vae.normalise(latents)), latents)
    with pytest.raises(ModelError, match="3 means"):
        vae.with_statistics([0.0] * 3, [1.0] * 3)


def test_a_posterior_samples_by_its_generator() -> None:
    posterior = Posterior(torch.zeros(2, 4, 8, 16, 16), torch.full((2, 4, 8, 16, 16), 2 * math.log(0.5)))
    one, two = (posterior.sample(torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(one, two)
    assert abs(one.std().item() - 0.5) < 0.01
    expected = 0.5 * (0.25 - 1 - 2 * math.log(0.5))
    torch.testing.assert_close(posterior.kl(), torch.full((2,), expected))


def test_a_fresh_model_passes_detail_with_little_noise() -> None:
    torch.manual_seed(0)
    posterior = VideoVAE(SMALL).encode(clip(SMALL, 5))
    assert 0.1 < posterior.mean.std() < 10
    torch.testing.assert_close(posterior.logvar, torch.full_like(posterior.logvar, -6.0))


def test_psnr_by_hand() -> None:
    a = torch.zeros(2, 3, 2, 16, 16)
    b = a.clone()
    b[0] += 0.2
    assert psnr(a, b)[0].item() == pytest.approx(10 * math.log10(4 / 0.04), abs=1e-4)
    assert psnr(a, b)[1].item() == math.inf


def test_ssim_by_hand() -> None:
    torch.manual_seed(0)
    a = torch.rand(2, 3, 2, 24, 24) * 2 - 1
    torch.testing.assert_close(ssim(a, a), torch.ones(2))
    flat, lighter = torch.full((1, 3, 1, 16, 16), 0.4), torch.full((1, 3, 1, 16, 16), 0.8)
    c1 = (0.01 * 2) ** 2  # flat frames: only the luminance term is left
    expected = (2 * 0.4 * 0.8 + c1) / (0.4**2 + 0.8**2 + c1)
    assert ssim(flat, lighter).item() == pytest.approx(expected, abs=1e-3)
    noisy = a + 0.3 * torch.randn_like(a)
    assert (ssim(a, noisy) < 0.99).all()


def test_ssim_of_one_window_is_its_formula() -> None:
    torch.manual_seed(1)
    x, y = torch.rand(2, 11, 11, dtype=torch.float64) * 2 - 1
    distance = torch.arange(11, dtype=torch.float64) - 5
    w = torch.exp(-(distance[:, None] ** 2 + distance[None] ** 2) / (2 * 1.5**2))
    w = w / w.sum()
    mx, my = (w * x).sum(), (w * y).sum()
    vx, vy, cov = (w * (x - mx) ** 2).sum(), (w * (y - my) ** 2).sum(), (w * (x - mx) * (y - my)).sum()
    c1, c2 = 0.0004, 0.0036
    expected = (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    got = ssim(*(plane.expand(1, 3, 1, 11, 11) for plane in (x, y)))
    assert got.item() == pytest.approx(expected.item(), abs=1e-5)


def test_the_loss_prefers_sharp_to_blurred() -> None:
    torch.manual_seed(0)
    target = (torch.rand(1, 3, 5, 16, 16) > 0.5).float() * 2 - 1
    posterior = Posterior(torch.zeros(1, 4, 2, 2, 2), torch.zeros(1, 4, 2, 2, 2))
    dim, blurred = 0.5 * target, torch.zeros_like(target)
    worse, _ = vae_loss(blurred, target, posterior, kl_weight=0.0)
    better, parts = vae_loss(dim, target, posterior, kl_weight=0.0)
    perfect, _ = vae_loss(target, target, posterior, kl_weight=1.0)
    assert perfect == 0
    assert better < worse
    assert parts["l1"].item() == pytest.approx(0.5)
    assert parts["mse"].item() == pytest.approx(0.25)
    brighter, shifted = vae_loss(target + 0.5, target, posterior, kl_weight=0.0)
    assert shifted["structure"] == 0  # a change of brightness is not a change of structure
    assert brighter < better


# --- the basis of the latents ---------------------------------------------------------------------------------------


def in_basis(config: VAEConfig, evenness: float) -> tuple[VideoVAE, VideoVAE, list[Tensor]]:
    """A network of most uneven channels, the same in the basis that its decoder and these clips ask for, the clips."""
    videos = [clip(config, frames, batch=4) for frames in (5, 9, 13)]
    old, new = random_vae(config), random_vae(config)
    scale = torch.tensor([1.0, 10.0, 0.1, 3.0])
    for vae in (old, new):
        with torch.no_grad():
            vae.post_quant_conv.weight.mul_(scale.view(1, -1, 1, 1, 1))
            vae.quant_conv.weight[:4].div_(scale.view(-1, 1, 1, 1, 1))
            vae.quant_conv.bias[:4].div_(scale)
    return old, change_basis(new, find_basis(new, videos), evenness), videos


@pytest.mark.parametrize("evenness", [0.0, 0.5, 1.0])
def test_another_basis_leaves_every_picture_as_it_was(evenness: float) -> None:
    old, new, videos = in_basis(PLAIN, evenness)
    for video in videos:
        with torch.no_grad():
            a, b = old.decode(old.encode(video).mean), new.decode(new.encode(video).mean)
        assert (a - b).abs().max() < 1e-4
        assert (old.encode(video).mean - new.encode(video).mean).abs().max() > 0.01


def test_channels_in_the_basis_are_uncorrelated_and_as_even_as_asked() -> None:
    powers = []
    for evenness in (0.0, 0.5, 1.0):
        _, new, videos = in_basis(PLAIN, evenness)
        with torch.no_grad():
            rows = torch.cat([new.normalise(new.encode(video).mean).movedim(1, -1).reshape(-1, 4) for video in videos])
        covariance = torch.cov(rows.mT)
        power = covariance.diag()
        assert (covariance - power.diag()).abs().max() < 0.02 * power.max()
        assert rows.mean(0).abs().max() < 1e-2 and power.mean().item() == pytest.approx(1, rel=0.02)
        powers.append(power)
    assert torch.all(powers[0].diff() <= 1e-6), "the strongest first"
    torch.testing.assert_close(powers[2], torch.ones(4), rtol=0.02, atol=0)
    half = powers[0].sqrt()
    torch.testing.assert_close(powers[1], half / half.mean(), rtol=0.05, atol=0)


def test_in_the_basis_noise_costs_as_much_in_every_channel() -> None:
    _, new, videos = in_basis(PLAIN, 0.0)
    costs = []
    with torch.no_grad():
        z = torch.cat([new.encode(video).mean for video in videos if video.shape[2] == 9])
        before = new.decoder(new.post_quant_conv(z))
        for channel in range(4):
            noise = torch.zeros_like(z)
            noise[:, channel] = torch.randn(z[:, channel].shape, generator=torch.Generator().manual_seed(channel))
            costs.append(float((new.decoder(new.post_quant_conv(z + 1e-3 * noise)) - before).square().mean()))
    assert max(costs) < 3 * min(costs), costs  # ten thousand times, before


def test_noise_of_the_posterior_keeps_its_size() -> None:
    """One number per channel now: the variance, on average, of the old one's noise in the new basis."""
    old, new, videos = in_basis(PLAIN, 0.5)
    with torch.no_grad():
        assert max(new.encode(video).logvar.std(dim=(0, 2, 3, 4)).max() for video in videos) < 1e-6
        variance = torch.cat([old.encode(video).logvar.exp().movedim(1, -1).reshape(-1, 4) for video in videos]).mean(0)
        found = new.encode(videos[0]).logvar.exp()[0, :, 0, 0, 0]
    forward = find_basis(old, videos).forward.float()
    torch.testing.assert_close(found, forward.square() @ variance, rtol=1e-3, atol=0)
