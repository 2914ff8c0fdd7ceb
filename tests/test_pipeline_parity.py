"""The same folder, in Manzar and in the stock pipeline, gives the same video: both directions, fp32."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_model import DIT, TEXT, VAE, scramble, tiny_parts

from manzar.flow import Schedule
from manzar.generate import Generator, initial_noise, load_parts, save_parts
from manzar.nouns import Request, VideoShape

diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")

URDU = "ایک سرخ گیند بائیں سے دائیں   اچھل رہی ہے"
TOLERANCE = 1e-4

SCHEDULES = {
    "euler": Schedule("euler", 3.0),
    "unipc": Schedule("unipc", 3.0),
    "unipc-unshifted": Schedule("unipc", 1.0),
    "unipc-sample": Schedule("unipc", 2.0, "sample"),
}


def stock_pipeline(folder: Path) -> Any:
    pipeline = diffusers.WanPipeline.from_pretrained(folder, torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def stock_video(pipeline: Any, request: Request, noise: torch.Tensor) -> torch.Tensor:
    """(B, T, H, W, 3) in [0, 1]."""
    frames = pipeline(
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        height=request.height,
        width=request.width,
        num_frames=request.frames,
        num_inference_steps=request.steps,
        guidance_scale=request.guidance,
        num_videos_per_prompt=request.count,
        latents=noise,
    ).frames
    return torch.from_numpy(np.asarray(frames))


def our_video(generator: Generator, request: Request, noise: torch.Tensor) -> torch.Tensor:
    assert request.frames
    assert request.height
    assert request.width
    shape = VideoShape(request.frames, request.height, request.width)
    pixels = generator.decode(generator.denoise(request, shape, noise))
    return (pixels / 2 + 0.5).permute(0, 2, 3, 4, 1)


def assert_same(folder: Path, request: Request) -> None:
    generator = Generator(load_parts(folder), precision="fp32")
    request = generator.complete(request)
    latent_shape = generator.shape(request).latent(generator.parts.vae.stride)
    noise = initial_noise(request, latent_shape, generator.parts.vae.config.z_dim)
    ours = our_video(generator, request, noise)
    theirs = stock_video(stock_pipeline(folder), request, noise)
    assert ours.shape == theirs.shape
    assert theirs.std() > 0.05, "a flat video would prove nothing"
    assert ((theirs > 0) & (theirs < 1)).float().mean() > 0.5, "a saturated video would prove little"
    assert (ours - theirs).abs().max() <= TOLERANCE


@pytest.fixture(scope="module", params=SCHEDULES)
def saved_here(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ours") / "model"
    save_parts(tiny_parts(SCHEDULES[request.param]), folder)
    return folder


@pytest.mark.parametrize(
    "request_",
    [
        Request(URDU, frames=9, height=32, width=48, steps=5, guidance=4.0, negative_prompt="blurred"),
        Request("a red ball", frames=1, height=48, width=32, steps=9, guidance=1.0),
    ],
    ids=["urdu-9-frames-guided", "image-unguided"],
)
def test_saved_here_runs_in_stock(saved_here: Path, request_: Request) -> None:
    assert_same(saved_here, request_)


def test_same_seed_is_the_same_video_in_stock(tmp_path: Path) -> None:
    """Not only the same latents: the same seed draws the same noise."""
    save_parts(tiny_parts(), tmp_path / "model")
    ours = Generator(load_parts(tmp_path / "model"), precision="fp32").generate(Request("sea", seed=11, guidance=1.0))
    theirs = stock_pipeline(tmp_path / "model")(
        "sea", height=32, width=32, num_frames=5, num_inference_steps=2, guidance_scale=1.0,
        generator=torch.Generator().manual_seed(11),
    ).frames[0]  # fmt: skip
    assert np.abs(ours[0].frames / 255.0 - theirs).max() <= 0.5 / 255 + TOLERANCE


def test_folded_residual_vae_runs_in_stock(tmp_path: Path) -> None:
    """The form of autoencoder that is trained here by default: pixels folded 2 × 2, with shortcuts."""
    parts = tiny_parts(
        is_residual=True, in_channels=12, out_channels=12, patch_size=2,
        dim_mult=[1, 2, 2], temperal_downsample=[True, True],
    )  # fmt: skip
    save_parts(parts, tmp_path / "model")
    assert_same(tmp_path / "model", Request(URDU, frames=9, height=32, width=48, steps=3, guidance=2.0))


def test_several_at_once_in_both(tmp_path: Path) -> None:
    save_parts(tiny_parts(), tmp_path / "model")
    assert_same(tmp_path / "model", Request(URDU, frames=5, height=32, width=32, steps=3, guidance=2.0, count=3))


# --- from stock to here -------------------------------------------------------------------------------------------


def piece_tokenizer() -> Any:
    """A piece tokenizer of the published kind, trained on a few sentences."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    special = ["<pad>", "</s>", "<unk>"]
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=120, special_tokens=special, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator([URDU, "a red ball bounces from left to right", "blurred, ugly"] * 20, trainer)
    pieces = json.loads(tokenizer.to_str())["model"]["vocab"]
    return transformers.T5Tokenizer(vocab=[tuple(piece) for piece in pieces], extra_ids=0)


def stock_parts() -> dict[str, Any]:
    text = transformers.UMT5Config(vocab_size=200, **TEXT, dropout_rate=0.1, feed_forward_proj="gated-gelu")
    parts = {
        "transformer": diffusers.WanTransformer3DModel(**DIT),
        "vae": diffusers.AutoencoderKLWan(**VAE),
        "text_encoder": transformers.UMT5EncoderModel(text).eval(),
    }
    for index, module in enumerate(parts.values()):
        scramble(module, 10 + index)
    return parts


def published_scheduler() -> Any:
    return diffusers.UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, num_train_timesteps=1000, flow_shift=3.0
    )


def save_stock(folder: Path, parts: dict[str, Any], **how: Any) -> Path:
    diffusers.WanPipeline(**parts, tokenizer=piece_tokenizer(), scheduler=published_scheduler()).save_pretrained(
        folder, **how
    )
    published = json.loads((folder / "model_index.json").read_text()) | {
        "tokenizer": ["transformers", "T5TokenizerFast"]
    }
    (folder / "model_index.json").write_text(json.dumps(published))
    return folder


GUIDED = Request(URDU, frames=9, height=48, width=32, steps=6, guidance=3.0, negative_prompt="blurred, ugly")


def test_stock_folder_runs_here(tmp_path: Path) -> None:
    folder = save_stock(tmp_path / "stock", stock_parts())
    assert_same(folder, GUIDED)
    assert load_parts(folder).defaults == {
        "frames": 81, "height": 480, "width": 832, "fps": 16.0, "steps": 50, "guidance": 5.0,
    }  # fmt: skip


def test_stock_folder_with_euler_and_image(tmp_path: Path) -> None:
    folder = save_stock(tmp_path / "stock", stock_parts())
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=5.0)
    scheduler.save_pretrained(folder / "scheduler")
    index = json.loads((folder / "model_index.json").read_text())
    index["scheduler"] = ["diffusers", "FlowMatchEulerDiscreteScheduler"]
    (folder / "model_index.json").write_text(json.dumps(index))
    assert_same(folder, Request("a red ball", frames=1, height=32, width=64, steps=4, guidance=2.0))


def test_sharded_stock_folder_is_the_same_model(tmp_path: Path) -> None:
    parts = stock_parts()
    whole = load_parts(save_stock(tmp_path / "whole", parts))
    sharded = save_stock(tmp_path / "sharded", parts, max_shard_size="40KB")
    for part in ("transformer", "vae", "text_encoder"):
        assert len(list((sharded / part).glob("*-of-*.safetensors"))) > 1, f"{part} is not sharded"
    for name, module in load_parts(sharded).modules.items():
        for key, tensor in module.state_dict().items():
            assert torch.equal(tensor, whole.modules[name].state_dict()[key]), (name, key)


def test_bf16_stock_folder_loads_as_fp32(tmp_path: Path) -> None:
    parts = {name: module.to(torch.bfloat16) for name, module in stock_parts().items()}
    folder = save_stock(tmp_path / "bf16", parts)
    loaded = load_parts(folder)
    weight = loaded.dit.proj_out.weight
    assert weight.dtype == torch.float32
    assert torch.equal(weight, parts["transformer"].proj_out.weight.float())
    assert_same(folder, Request("a red ball", frames=5, height=32, width=32, steps=3, guidance=2.0))


def test_stock_folder_survives_the_round_trip(tmp_path: Path) -> None:
    """Opened here, saved here, opened in stock again: the tokenizer of another make included."""
    save_parts(load_parts(save_stock(tmp_path / "stock", stock_parts())), tmp_path / "again")
    assert_same(tmp_path / "again", GUIDED)
