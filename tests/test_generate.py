"""Request to video: the folder's doors, seeds, sizes, guidance, given frames."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_model import CHANNELS, tiny_parts
from torch import Tensor

from manzar.flow import Schedule
from manzar.generate import Generator, ModelParts, generator, initial_noise, load, load_parts, save_parts
from manzar.generate.conditions import FirstFrame
from manzar.generate.files import generate_files
from manzar.generate.fitting import fill, to_pixels
from manzar.generate.folder import load_vae, save_vae
from manzar.generate.given import begin, give, project, token_sigmas
from manzar.generate.inputs import Inputs
from manzar.nouns import (
    LatentShape,
    ManzarError,
    ModelError,
    Request,
    ShapeError,
    Stride,
    UsageError,
    Video,
    VideoShape,
)

SMALL = Request("a red ball", frames=5, height=32, width=32, steps=2, guidance=3.0)
URDU = "ایک سرخ گیند"


@pytest.fixture(scope="module")
def parts() -> ModelParts:
    return tiny_parts()


@pytest.fixture
def folder(parts: ModelParts, tmp_path: Path) -> Path:
    save_parts(parts, tmp_path / "model")
    return tmp_path / "model"


def latents_of(model: Generator, request: Request) -> Tensor:
    request = model.complete(request)
    shape = model.shape(request)
    noise = initial_noise(request, shape.latent(model.parts.vae.stride), CHANNELS)
    return model.denoise(request, shape, noise)


# --- seeds ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["euler", "unipc"])
def test_same_seed_same_bits(kind: Any) -> None:
    model = Generator(tiny_parts(Schedule(kind, 3.0)))
    first, again, other = (model.generate(replace(SMALL, seed=seed))[0].frames for seed in (4, 4, 5))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_count_is_that_many_seeds(parts: ModelParts) -> None:
    model = Generator(parts, precision="fp32")
    both = latents_of(model, replace(SMALL, seed=7, count=2))
    single = torch.cat([latents_of(model, replace(SMALL, seed=seed)) for seed in (7, 8)])
    assert (both - single).abs().max() < 1e-5
    assert (both[0] - both[1]).abs().max() > 0.1


def test_noise_depends_on_seed_and_size_only() -> None:
    shape = LatentShape(2, 4, 6)
    noise = initial_noise(Request("one", seed=3, count=3), shape, CHANNELS)
    assert noise.shape == (3, CHANNELS, 2, 4, 6)
    assert noise.dtype == torch.float32
    torch.manual_seed(0)
    assert torch.equal(noise[1:], initial_noise(Request("other", seed=4, count=2), shape, CHANNELS))


def test_slices_of_a_batch_make_no_difference(parts: ModelParts, monkeypatch: pytest.MonkeyPatch) -> None:
    """With little memory the DiT takes fewer rows at a time; guidance must still pair each with its own."""
    model = Generator(parts, precision="fp32")
    request = replace(SMALL, count=3, negative_prompt="blurred")
    whole = latents_of(model, request)
    for rows in (1, 2, 4):
        monkeypatch.setattr(generator, "rows_at_once", lambda *_, rows=rows: rows)
        assert (latents_of(model, request) - whole).abs().max() < 1e-5


def test_memory_bounds_the_batch(parts: ModelParts, monkeypatch: pytest.MonkeyPatch) -> None:
    given = torch.zeros(3, 8, 8)
    assert generator.rows_at_once(parts.dit, given) > 8
    monkeypatch.setattr(generator, "memory_bytes", lambda _: 1)
    assert generator.rows_at_once(parts.dit, given) == 1


# --- what is asked for ----------------------------------------------------------------------------------------------


def test_videos_are_as_asked(parts: ModelParts) -> None:
    steps: list[tuple[int, int]] = []
    videos = Generator(parts).generate(
        Request(URDU, frames=9, height=48, width=32, fps=12, steps=3, guidance=2.0, count=2),
        on_step=lambda done, total, _: steps.append((done, total)),
    )
    assert [video.shape for video in videos] == [VideoShape(9, 48, 32)] * 2
    assert all(video.frames.dtype == np.uint8 and video.fps == 12 for video in videos)
    assert steps == [(1, 3), (2, 3), (3, 3)]


def test_what_is_left_open_takes_the_models_defaults(parts: ModelParts) -> None:
    complete = Generator(parts).complete(Request("sea", width=64))
    assert complete == Request("sea", frames=5, height=32, width=64, fps=8.0, steps=2, guidance=3.0)


def test_an_image_is_a_video_of_one_frame(parts: ModelParts) -> None:
    assert Generator(parts).generate(replace(SMALL, frames=1))[0].shape == VideoShape(1, 32, 32)


def test_prompt_and_negative_prompt_matter(parts: ModelParts) -> None:
    model = Generator(parts, precision="fp32")
    base = latents_of(model, SMALL)
    for change in ({"prompt": URDU}, {"negative_prompt": "blurred"}, {"guidance": 5.0}):
        assert (latents_of(model, replace(SMALL, **change)) - base).abs().max() > 1e-3, change


def test_guidance_of_one_skips_the_unconditional_pass(parts: ModelParts, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[int] = []
    forward = parts.dit.forward
    monkeypatch.setattr(parts.dit, "forward", lambda x, *rest, **more: rows.append(len(x)) or forward(x, *rest, **more))
    model = Generator(parts, precision="fp32")
    unguided = latents_of(model, replace(SMALL, guidance=1.0))
    latents_of(model, SMALL)
    assert rows == [1, 1, 2, 2]
    almost = latents_of(model, replace(SMALL, guidance=1.0 + 1e-6))
    assert (almost - unguided).abs().max() < 1e-3


def test_generating_leaves_the_parts_as_they_were() -> None:
    parts = tiny_parts()
    parts.dit.train()
    before = {name: tensor.clone() for name, tensor in parts.dit.state_dict().items()}
    Generator(parts).generate(SMALL)
    assert parts.dit.training
    assert all(parameter.requires_grad for parameter in parts.dit.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in parts.dit.state_dict().items())
    # and what generation cached (rotary tables, say) must not stop a later backward pass
    parts.dit(torch.randn(1, CHANNELS, 2, 4, 4), torch.tensor([500.0]), torch.randn(1, 3, 24)).sum().backward()


def test_bf16_is_close_to_fp32(parts: ModelParts) -> None:
    fast, exact = (latents_of(Generator(parts, precision), SMALL) for precision in ("bf16", "fp32"))
    assert fast.dtype == torch.float32
    assert 0 < (fast - exact).abs().mean() < 0.05 * exact.abs().mean()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 40}, "nearest that fits is 5 frames of 48x32|nearest that fits is 5 frames of 32x32"),
        ({"frames": 7}, "nearest that fits is 9 frames of 32x32|nearest that fits is 5 frames of 32x32"),
        ({"height": 8}, "nearest that fits is 5 frames of 32x16"),
    ],
)
def test_sizes_off_the_grid(parts: ModelParts, change: dict[str, int], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        Generator(parts).generate(replace(SMALL, **change))


@pytest.mark.parametrize(
    "change",
    [
        {"frames": 0}, {"height": -16}, {"steps": 0}, {"count": 0}, {"fps": 0.0}, {"fps": float("nan")},
        {"guidance": float("inf")}, {"seed": -1}, {"seed": 2**63}, {"prompt": "x" * 100_000},
        {"negative_prompt": "x" * 100_000},
    ],
)  # fmt: skip
def test_impossible_requests(parts: ModelParts, change: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as error:
        Generator(parts).generate(replace(SMALL, **change))
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300


# --- given content --------------------------------------------------------------------------------------------------


def picture(height: int = 32, width: int = 32, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("kind", ["euler", "unipc"])
def test_a_given_first_frame_comes_back_exactly(kind: Any) -> None:
    parts = tiny_parts(Schedule(kind, 3.0))
    model = Generator(parts, precision="fp32")
    image = picture()
    expected = model.encode(to_pixels(image[None]))
    latents = latents_of(model, replace(SMALL, conditions=(FirstFrame(image),), count=2))
    free = latents_of(model, replace(SMALL, count=2))
    assert torch.equal(latents[:, :, :1], expected.expand(2, -1, -1, -1, -1))
    assert (latents[:, :, 1:] - free[:, :, 1:]).abs().max() > 1e-3, "the rest must take notice of it"
    assert torch.equal(latents[:, :, 1:].isfinite(), torch.ones_like(latents[:, :, 1:], dtype=torch.bool))


def test_given_tokens_are_shown_clean_at_time_zero(parts: ModelParts, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Tensor, Tensor]] = []
    forward = parts.dit.forward
    monkeypatch.setattr(parts.dit, "forward", lambda x, t, text, control: seen.append((x, t)) or forward(x, t, text))
    model = Generator(parts, precision="fp32")
    latents_of(model, replace(SMALL, conditions=(FirstFrame(Video(picture()[None].repeat(3, 0), 8.0)),)))
    clean = model.encode(to_pixels(picture()[None]))
    levels = [parts.schedule.timestep(sigma) for sigma in parts.schedule.grid(2)[:-1]]
    assert len(seen) == 2
    for (x, timestep), level in zip(seen, levels, strict=True):
        assert timestep.shape == (2, 8)  # two rows (guidance), 2 × 2 × 2 tokens
        assert torch.equal(x[:, :, :1], clean.expand(2, -1, -1, -1, -1))
        assert torch.equal(timestep[:, :4], torch.zeros(2, 4))
        assert torch.allclose(timestep[:, 4:], torch.tensor(level))


def test_token_sigmas_needs_the_whole_token_given() -> None:
    given = torch.zeros(2, 4, 4)
    given[0, :2, :2] = 1  # a whole token
    given[1, 0, 0] = 1  # a quarter of one
    assert token_sigmas(given, Stride(1, 2, 2), 0.5).tolist() == [0.0, *[0.5] * 7]


def test_give_and_project() -> None:
    noise = torch.randn(2, 3, 4, 2, 2)
    draft = begin(noise, VideoShape(13, 16, 16), Stride(4, 8, 8), lambda pixels: pixels, lambda latents: latents)
    assert torch.equal(project(draft, draft.latents), draft.latents)
    clean = torch.randn(1, 3, 2, 2, 2)
    state = give(draft, clean, start=1)
    x = project(state, draft.latents)
    assert torch.equal(x[:, :, 1:3], clean.expand(2, -1, -1, -1, -1))
    assert torch.equal(x[:, :, [0, 3]], draft.latents[:, :, [0, 3]])
    assert draft.given.sum() == 0, "the state before must stay as it was"


def test_images_of_other_sizes_fill_the_frame() -> None:
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = 255  # the middle third is white, and is all that a square frame keeps
    pixels = fill(to_pixels(wide[None]), 16, 16)
    assert pixels.shape == (1, 3, 1, 16, 16)
    assert pixels[..., 2:-2].min() > 0.9
    exact = to_pixels(picture()[None])
    assert torch.equal(fill(exact, 32, 32), exact)


def test_a_first_frame_must_be_a_picture(parts: ModelParts) -> None:
    for wrong in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)):
        with pytest.raises(UsageError, match=r"uint8 of shape \(H, W, 3\)"):
            Generator(parts).generate(replace(SMALL, conditions=(FirstFrame(wrong),)))


# --- folders --------------------------------------------------------------------------------------------------------


def test_a_folder_comes_back(parts: ModelParts, folder: Path) -> None:
    again = load_parts(folder)
    for name, module in parts.modules.items():
        loaded = again.modules[name].state_dict()
        assert loaded.keys() == module.state_dict().keys()
        assert all(torch.equal(loaded[key], tensor) for key, tensor in module.state_dict().items())
    assert again.schedule == parts.schedule
    assert again.info == {**parts.info, "prediction": "velocity"}
    ours, theirs = (Generator(which, "fp32").generate(SMALL)[0].frames for which in (parts, again))
    assert np.array_equal(ours, theirs)
    assert load(folder).parts.defaults["frames"] == 5


def test_saving_over_a_model_replaces_it(folder: Path) -> None:
    other = tiny_parts(Schedule("unipc", 2.0, "sample"), seed=9)
    save_parts(other, folder)
    assert load_parts(folder).schedule == other.schedule
    assert [entry.name for entry in folder.parent.iterdir()] == ["model"]


def test_saving_over_something_else_is_refused(parts: ModelParts, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    for target in (tmp_path, tmp_path / "thesis.txt"):
        with pytest.raises(UsageError, match="is no model folder"):
            save_parts(parts, target)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_save_that_reads_back_wrong_leaves_the_old_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from manzar.generate import folder as module

    def spoilt(scratch: Path) -> ModelParts:
        parts = load_parts(scratch)
        with torch.no_grad():
            parts.vae.decoder.conv_in.bias[0] += 1
        return parts

    before = load_file(folder / "transformer/diffusion_pytorch_model.safetensors")
    monkeypatch.setattr(module, "load_parts", spoilt)
    with pytest.raises(ModelError, match=r"vae: tensor decoder\.conv_in\.bias read back differs"):
        save_parts(tiny_parts(seed=5), folder)
    after = load_file(folder / "transformer/diffusion_pytorch_model.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert [entry.name for entry in folder.parent.iterdir()] == ["model"]


def edit_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_tensors(path: Path, **changes: Tensor | None) -> None:
    tensors = load_file(path) | {name: value for name, value in changes.items() if value is not None}
    save_file({name: tensor for name, tensor in tensors.items() if changes.get(name, tensor) is not None}, path)


def pickle_instead(path: Path) -> None:
    torch.save({"proj_out.bias": torch.ones(3)}, path)


DIT_FILE, VAE_FILE = (f"{part}/diffusion_pytorch_model.safetensors" for part in ("transformer", "vae"))
TEXT_FILE = "text_encoder/model.safetensors"
BAD_FOLDERS: dict[str, tuple[Any, str]] = {
    "no index": (lambda f: (f / "model_index.json").unlink(), "is no model folder"),
    "index not JSON": (lambda f: (f / "model_index.json").write_text("{"), "is not JSON"),
    "another pipeline": (
        lambda f: edit_json(f / "model_index.json", _class_name="StableDiffusionPipeline"),
        "pipeline class 'StableDiffusionPipeline' is unknown",
    ),
    "two transformers": (
        lambda f: edit_json(f / "model_index.json", transformer_2=["diffusers", "WanTransformer3DModel"]),
        "second transformer",
    ),
    "another text encoder": (
        lambda f: edit_json(f / "model_index.json", text_encoder=["transformers", "CLIPTextModel"]),
        "text_encoder is .*CLIPTextModel.*UMT5EncoderModel is needed",
    ),
    "missing tensor": (lambda f: edit_tensors(f / DIT_FILE, **{"proj_out.bias": None}), "proj_out.bias is missing"),
    "mis-shaped tensor": (
        lambda f: edit_tensors(f / VAE_FILE, **{"quant_conv.bias": torch.ones(3)}),
        r"quant_conv.bias has shape \(3,\)",
    ),
    "unknown tensor": (lambda f: edit_tensors(f / DIT_FILE, stray=torch.ones(1)), "stray is not part"),
    "text tensor missing": (
        lambda f: edit_tensors(f / TEXT_FILE, **{"shared.weight": None}), "shared.weight is missing",
    ),
    "pickle": (lambda f: pickle_instead(f / DIT_FILE), "is a pickle"),
    "only pickles": (
        lambda f: (f / VAE_FILE).rename((f / VAE_FILE).with_suffix(".bin")),
        "only pickled weights",
    ),
    "truncated": (
        lambda f: (f / TEXT_FILE).write_bytes((f / TEXT_FILE).read_bytes()[:-100]), "not readable safetensors",
    ),
    "no config": (lambda f: (f / "vae/config.json").unlink(), "config.json is missing"),
    "ill-typed config": (lambda f: edit_json(f / "transformer/config.json", num_layers="two"), "config.json"),
    "unknown setting": (lambda f: edit_json(f / "transformer/config.json", colour=1), "colour"),
    "image-to-video": (
        lambda f: edit_json(f / "transformer/config.json", in_channels=36), "in_channels is 36|only text-to-video",
    ),
    "latent statistics": (lambda f: edit_json(f / "vae/config.json", latents_mean=[0.0]), "latents_mean has 1 numbers"),
    "text of another width": (lambda f: edit_json(f / "transformer/config.json", text_dim=32), "text_embedder|32"),
    "no tokenizer": (lambda f: (f / "tokenizer/tokenizer_config.json").unlink(), "tokenizer"),
    "unknown scheduler": (
        lambda f: edit_json(f / "scheduler/scheduler_config.json", _class_name="DDIMScheduler"), "DDIMScheduler",
    ),
    "ill-typed shift": (
        lambda f: edit_json(f / "scheduler/scheduler_config.json", shift="far"), "scheduler_config.json",
    ),
    "ill-typed default": (
        lambda f: edit_json(f / "manzar.json", defaults={"steps": "many"}), "default steps is 'many'",
    ),
    "defaults are no table": (lambda f: edit_json(f / "manzar.json", defaults=[1]), "defaults"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_FOLDERS)
def test_bad_folders_are_refused_in_one_line(folder: Path, case: str) -> None:
    damage, message = BAD_FOLDERS[case]
    damage(folder)
    with pytest.raises(ModelError, match=message) as error:
        load_parts(folder)
    assert "\n" not in str(error.value)


def test_paths_that_are_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path, kind in ((tmp_path / "nowhere", UsageError), (tmp_path / "file", UsageError), (tmp_path, ModelError)):
        with pytest.raises(ManzarError) as error:
            load(path)
        assert type(error.value) is kind
        assert str(path) in str(error.value)


# --- the autoencoder alone, and files --------------------------------------------------------------------------------


def test_a_vae_alone_comes_back(parts: ModelParts, tmp_path: Path) -> None:
    vae = parts.vae
    save_vae(vae, tmp_path / "vae-run", {"kind": "vae"})
    again = load_vae(tmp_path / "vae-run")
    assert all(torch.equal(again.state_dict()[name], tensor) for name, tensor in vae.state_dict().items())
    save_parts(parts, tmp_path / "vae-run")  # a model may take the place of its own first half
    assert torch.equal(load_vae(tmp_path / "vae-run").quant_conv.weight, vae.quant_conv.weight)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="is no model folder"):
        save_vae(vae, tmp_path / "other", {})
    with pytest.raises(ModelError, match=r"config\.json is missing"):
        load_vae(tmp_path / "other")


def test_files_are_written_and_named(folder: Path, tmp_path: Path) -> None:
    urdu = Request(URDU, seed=3, count=2)
    result = generate_files(urdu, tmp_path / "out.mp4", model=folder, seconds=1.0)
    assert [Path(row["path"]).name for row in result["videos"]] == ["out-0.mp4", "out-1.mp4"]
    assert [row["seed"] for row in result["videos"]] == [3, 4]
    assert result["videos"][0]["frames"] == 9  # one second at 8 fps, to the nearest the model can make
    assert all(Path(row["path"]).stat().st_size > 0 for row in result["videos"])
    one = generate_files(Request(URDU, frames=1), tmp_path / "one.png", model=folder)["videos"][0]
    given = generate_files(Request(URDU), tmp_path / "given.mp4", model=folder, inputs=Inputs(Path(one["path"])))
    assert given["videos"][0]["frames"] == 5
    with pytest.raises(UsageError, match="unknown kind of file"):
        generate_files(Request(URDU), tmp_path / "out.avi", model=folder)
    with pytest.raises(UsageError, match="not both"):
        generate_files(Request(URDU, frames=9), tmp_path / "out.mp4", model=folder, seconds=1.0)
