"""A Request in, Videos out: the one pipeline, whatever is given and whatever is asked for."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from manzar.device import Precision, autocast, pick_device, pick_precision
from manzar.dit import DiT
from manzar.flow import guide, integrate
from manzar.generate.conditions import begin, project, token_sigmas
from manzar.generate.folder import ModelParts, load_parts
from manzar.nouns import LatentShape, Progress, Request, SamplingState, UsageError, Video, VideoShape

if TYPE_CHECKING:
    from manzar.nouns import Frames

TEXT_LENGTH = 512  # the stock pipeline pads every prompt to this many tokens, and models are trained so
ACTIVATIONS_SHARE = 0.25  # how much of the memory one forward pass of the DiT may fill



def load(folder: str | Path, precision: Precision | None = None) -> Generator:
    """Open a model folder on the device at hand. Raises as `load_parts` does."""
    return Generator(load_parts(folder).to(pick_device()), precision)


def initial_noise(request: Request, latent_shape: LatentShape, channels: int) -> Tensor:
    """(count, c, t, h, w) fp32 on the CPU, sample i from seed + i: the same on every machine, and as stock draws it."""
    size = (channels, latent_shape.frames, latent_shape.height, latent_shape.width)
    generators = (torch.Generator().manual_seed(request.seed + i) for i in range(request.count))
    return torch.stack([torch.randn(size, generator=generator) for generator in generators])


class Generator:
    """Makes videos with the parts of a model, on the device they are on; the parts themselves are left as they are."""

    def __init__(self, parts: ModelParts, precision: Precision | None = None) -> None:
        self.parts = parts
        self.precision: Precision = precision or pick_precision()

    @property
    def device(self) -> torch.device:
        return next(self.parts.dit.parameters()).device

    def generate(self, request: Request, on_step: Progress | None = None) -> list[Video]:
        """`request.count` videos, from the seeds seed, seed + 1, …

        on_step(done, total, "") is called after each step. Raises UsageError, or its ShapeError with the nearest size
        that fits, before any work begins.
        """
        request = self.complete(request)
        shape = self.shape(request)
        latent_shape = shape.latent(self.parts.vae.stride)
        noise = initial_noise(request, latent_shape, self.parts.vae.config.z_dim)
        latents = self.denoise(request, shape, noise, on_step)
        assert request.fps is not None
        return [Video(to_frames(self.decode(sample[None])[0]), float(request.fps)) for sample in latents]

    def complete(self, request: Request) -> Request:
        """The request with the model's defaults where it leaves something open. Raises UsageError for absurd ones."""
        defaults = self.parts.defaults
        request = replace(
            request,
            frames=int(defaults["frames"]) if request.frames is None else request.frames,
            height=int(defaults["height"]) if request.height is None else request.height,
            width=int(defaults["width"]) if request.width is None else request.width,
            fps=defaults["fps"] if request.fps is None else request.fps,
            steps=int(defaults["steps"]) if request.steps is None else request.steps,
            guidance=defaults["guidance"] if request.guidance is None else request.guidance,
        )
        check(request)
        return request

    def shape(self, request: Request) -> VideoShape:
        """Size of the video of a complete request. Raises ShapeError if whole DiT tokens do not cover it."""
        size = (request.frames, request.height, request.width)
        assert None not in size, size
        shape = VideoShape(*size)  # type: ignore[arg-type]
        shape.latent(self.parts.stride)
        return shape

    @torch.no_grad()
    def denoise(self, request: Request, shape: VideoShape, noise: Tensor, on_step: Progress | None = None) -> Tensor:
        """Normalised latents (B, c, t, h, w), fp32, from noise of that size; the request must be complete."""
        assert request.steps is not None, request
        schedule = self.parts.schedule
        with autocast(self.precision):
            state = self.prepare(request, shape, noise.to(self.device, torch.float32))
            total = len(schedule.grid(request.steps, state.sigma_start)) - 1
            return integrate(
                self.predictor(request, state.given, len(noise)),
                project(state, state.latents),
                schedule,
                request.steps,
                sigma_start=state.sigma_start,
                on_step=None if on_step is None else lambda i, _: on_step(i + 1, total, ""),
                project=lambda x, _: project(state, x),
            )

    def prepare(self, request: Request, shape: VideoShape, noise: Tensor) -> SamplingState:
        """The sampling state after all conditions of the request, in order."""
        state = begin(noise, shape, self.encode)
        for condition in request.conditions:
            state = condition.apply(state)
        return state

    def predictor(self, request: Request, given: Tensor, count: int) -> Callable[[Tensor, float], Tensor]:
        """The DiT as a function of x_t (B, c, t, h, w) and σ alone; all else is settled here."""
        dit, schedule = self.parts.dit, self.parts.schedule
        scale = 1.0 if request.guidance is None else request.guidance
        prompts = [request.prompt, request.negative_prompt] if scale > 1 else [request.prompt]
        text, lengths = (x.repeat_interleave(count, 0) for x in self.parts.text.embed(prompts))  # (R, L, d), (R,)
        size = rows_at_once(dit, given)
        slices = [slice(start, start + size) for start in range(0, len(text), size)]
        keys = [dit.read_text(text[rows], lengths[rows], TEXT_LENGTH) for rows in slices]
        some_given = bool(given.any())  # else one timestep per sample, which is cheaper than one per token

        def predict(x: Tensor, sigma: float) -> Tensor:
            level = schedule.timestep(sigma)
            timestep = token_sigmas(given, dit.patch, level) if some_given else x.new_tensor(level)  # (n,) or ()
            x = x.repeat(len(prompts), 1, 1, 1, 1)  # (R, c, t, h, w): all with the prompt, then all without
            timestep = timestep.expand(len(x), *timestep.shape)  # (R, n) or (R,)
            outputs = [dit(x[rows], timestep[rows], text) for rows, text in zip(slices, keys, strict=True)]
            output = torch.cat(outputs).float()
            return guide(output[:count], output[count:], scale) if scale > 1 else output

        return predict

    def encode(self, pixels: Tensor) -> Tensor:
        """Pixels (B, 3, T, H, W) in [-1, 1] -> normalised latents (B, c, t, h, w), without sampling."""
        vae = self.parts.vae
        return vae.normalise(vae.encode(pixels.to(self.device)).mean)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Normalised latents (B, c, t, h, w) -> pixels (B, 3, T, H, W) in [-1, 1]."""
        with autocast(self.precision):
            return self.parts.vae.decode(self.parts.vae.denormalise(latents))


def check(request: Request) -> None:
    """Raise UsageError for a number that no video can have. Sizes off the grid are `VideoShape.latent`'s to refuse."""
    for name in ("frames", "height", "width", "steps", "count"):
        value = getattr(request, name)
        if value < 1:
            raise UsageError(f"{name} is {value}; it must be at least 1")
    for name, least in (("fps", 0.0), ("guidance", -float("inf"))):
        value = getattr(request, name)
        if not least < value < float("inf"):
            raise UsageError(f"{name} is {value}; it must be a finite number" + (" above 0" if least == 0 else ""))
    if not 0 <= request.seed <= 2**63 - request.count:
        raise UsageError(f"seed is {request.seed}; it must be in 0 … 2^63 - count")


def rows_at_once(dit: DiT, given: Tensor) -> int:
    """How many samples of this size the DiT takes in one pass, guidance counting twice.

    Goes by the memory there is, not what is free just now: another split is another rounding, and the same seed must
    give the same video.
    """
    tokens = given.numel() // (dit.patch.height * dit.patch.width)
    # The widest moment of a block in fp32: the stream, norm, q, k, v and their turned copies; twice the hidden layer.
    bytes_per_row = 4 * tokens * (12 * dit.config.dim + 2 * dit.config.ffn_dim)
    return max(1, int(ACTIVATIONS_SHARE * memory_bytes(given.device) / bytes_per_row))


def memory_bytes(device: torch.device) -> int:
    """All the memory of the accelerator, or of the machine."""
    if device.type == "cpu":
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return torch.accelerator.get_memory_info(device)[1]


def to_frames(pixels: Tensor) -> Frames:
    """(3, T, H, W) in [-1, 1] -> uint8 (T, H, W, 3)."""
    levels = ((pixels + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    frames: Frames = levels.permute(1, 2, 3, 0).contiguous().cpu().numpy()
    return frames
