"""A Request in, Videos out: the one pipeline, whatever is given and whatever is asked for.

Every window of a video goes the same way: noise, conditions, solver. What it made is decoded as it comes, and a few of
its latent frames are given to the next; so however long the video, only one window of it is in memory.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from manzar.boxes import BoxScript
from manzar.boxes.control import Hook
from manzar.device import Precision, autocast, pick_device, pick_precision
from manzar.dit import DiT
from manzar.flow import guide, integrate, x_0_from_velocity
from manzar.flow.solvers import Predict
from manzar.generate.boxes import Boxes, load_control, read_names
from manzar.generate.conditions import Given
from manzar.generate.fitting import to_frames
from manzar.generate.folder import PRETRAINED, ModelParts, load_parts
from manzar.generate.given import Carried, begin, go_round, project, token_sigmas
from manzar.generate.layout import imagine
from manzar.generate.noise import draw, sources
from manzar.generate.plan import complete, lay_out, window_limit
from manzar.generate.timeline import CONTEXT, Timeline, Window
from manzar.nouns import Condition, Progress, Request, SamplingState, UsageError, Video, VideoShape
from manzar.vae import DecoderStream

if TYPE_CHECKING:
    from manzar.nouns import Frames

TEXT_LENGTH = 512  # the stock pipeline pads every prompt to this many tokens, and models are trained so
ACTIVATIONS_SHARE = 0.25  # how much of the memory one forward pass of the DiT may fill
PREVIEWS = 8  # pictures shown of a window on its way

Text = tuple[Tensor, Tensor]  # embeddings (R, L, d) with the prompt, then without it under guidance; lengths (R,)
Preview = Callable[["Frames", int], None]  # a frame (H, W, 3) of what the video looks like after so many steps


def load(folder: str | Path = PRETRAINED, precision: Precision | None = None, *,
         control: str | Path | None = None) -> Generator:
    """Open a model folder, the one that ships if none is named, on the device at hand.

    control: a folder with box control other than the model's own. Raises as `load_parts` and `load_control` do.
    """
    parts = load_parts(folder)
    if control is not None:
        parts.control = load_control(Path(control), parts.dit)
    return Generator(parts.to(pick_device()), precision)


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

        on_step(done, total, "") is called after each step, counted over all windows. Raises UsageError, or its
        ShapeError with the nearest size that fits, before any work begins.
        """
        request = self.complete(request)
        if request.count > 1 and self.imagines(request):  # each has a layout of its own
            alone = [replace(request, seed=request.seed + index, count=1) for index in range(request.count)]
            steps = [on_step and counted(on_step, index, len(alone)) for index in range(len(alone))]
            return [video for each, told in zip(alone, steps, strict=True) for video in self.generate(each, told)]
        request = self.laid_out(request)
        samples = zip(*self._chunks(request, on_step), strict=True)
        assert request.fps is not None
        return [Video(np.concatenate([*self._finish(request, iter(sample))]), request.fps) for sample in samples]

    def stream(self, request: Request, on_step: Progress | None = None,
               on_preview: Preview | None = None) -> Iterator[Frames]:
        """The same video in pieces, uint8 (T, H, W, 3) each, as they are made; joined they equal `generate`'s.

        on_preview: called a few times per window with its middle frame as the model takes it to be by then. For one
        video: raises UsageError for a count above 1, and otherwise as `generate`.
        """
        if request.count != 1:
            raise UsageError(f"a stream is of one video, not of {request.count}; stream each seed by itself")
        request = self.laid_out(self.complete(request))
        return self._finish(request, (sample for (sample,) in self._chunks(request, on_step, on_preview)))

    def complete(self, request: Request) -> Request:
        """The request with nothing left open, its conditions fitted to it. Raises UsageError for absurd ones."""
        return complete(request, self.parts)

    def imagines(self, request: Request) -> bool:
        """Whether the things of a complete request are placed by the model itself: it can, knows every word of the
        prompt, and nothing is given."""
        able = request.layout and self.parts.layout is not None and self.parts.control is not None
        return able and not request.conditions and len(self.windows(request)) == 1 and not self.notes(request)

    def layout(self, request: Request) -> BoxScript | None:
        """Where the model would put the things of a request; None without any, or in a model that cannot tell.

        What `generate` does of itself; to change it first, change this and give it as `Boxes`.
        """
        if self.parts.layout is None:
            return None
        request, text = self.complete(request), self.parts.text
        with autocast(self.precision):
            (script,) = imagine(self.parts.layout, text, [request.prompt], self.shape(request), [request.seed])
        return script

    def laid_out(self, request: Request) -> Request:
        """A complete request with the boxes of its layout, if it is to have one."""
        script = self.layout(request) if self.imagines(request) else None
        return request if script is None else self.complete(replace(request, conditions=(Boxes(script),)))

    def timeline(self, request: Request) -> Timeline:
        """How a complete request lies in time."""
        return lay_out(request, self.parts)

    def windows(self, request: Request) -> list[Window]:
        """What a complete request is made in, one after another."""
        return self.timeline(request).windows(window_limit(self.parts))

    def notes(self, request: Request) -> list[str]:
        """What a person should know about the prompt, such as words that the model has never read."""
        return self.parts.text.tokenizer.notes(request.prompt)

    def shape(self, request: Request) -> VideoShape:
        """Size of all that is sampled for a complete request. Raises ShapeError if whole DiT tokens do not cover it."""
        assert request.height is not None and request.width is not None, request
        frames = 1 + self.parts.stride.time * (self.timeline(request).total - 1)
        shape = VideoShape(frames, request.height, request.width)
        shape.latent(self.parts.stride)
        return shape

    def _finish(self, request: Request, chunks: Iterator[Frames]) -> Iterator[Frames]:
        """The frames of one sample, with given ones among them."""
        timeline = self.timeline(request)
        for condition in request.conditions:
            if isinstance(condition, Given):
                chunks = condition.finish(chunks, timeline, self.parts.stride.time)
        return chunks

    def _chunks(self, request: Request, on_step: Progress | None,
                on_preview: Preview | None = None) -> Iterator[list[Frames]]:
        """What is decoded of each window, for every sample."""
        decoders = [DecoderStream(self.parts.vae) for _ in range(request.count)]
        for latents in self._latents(request, on_step, on_preview):
            with autocast(self.precision):
                raw = self.parts.vae.denormalise(latents)
                pixels = [decoder.push(sample[None])[0] for decoder, sample in zip(decoders, raw, strict=True)]
            yield [to_frames(each) for each in pixels]

    def _latents(self, request: Request, on_step: Progress | None, on_preview: Preview | None) -> Iterator[Tensor]:
        """Normalised latents (B, c, t', h, w) of the whole in order, what is given before included."""
        windows = self._windows(request, on_step, on_preview)
        return reversed([*windows]) if self.timeline(request).backward else windows

    def _windows(self, request: Request, on_step: Progress | None, on_preview: Preview | None) -> Iterator[Tensor]:
        """The new latents of each window, in the order in which they are made."""
        timeline, shape, noise = self.timeline(request), self.shape(request), sources(request)
        latent, channels = shape.latent(self.parts.vae.stride), self.parts.vae.config.z_dim
        windows = self.windows(request)
        text = self.embed(request)
        carried: list[Condition] = []
        opening: Tensor | None = None
        for index, window in enumerate(windows):
            state = replace(
                self.begin(draw(noise, replace(latent, frames=len(window)), channels), shape), first=window.start,
                before=timeline.before, after=timeline.after, again=timeline.again, opening=opening)  # fmt: skip
            state = self.apply([*request.conditions, *carried], state)
            latents = self.sample(request, state, text, on_step and counted(on_step, index, len(windows)), on_preview)
            known = window.fresh if timeline.backward else window.start
            carried = [Carried(latents[:, :, known - window.start :], known)]
            opening = latents[:, :, : CONTEXT + 1] if window.start == 0 else opening
            yield latents[:, :, window.fresh - window.start : window.end - window.start]

    def denoise(self, request: Request, shape: VideoShape, noise: Tensor, on_step: Progress | None = None) -> Tensor:
        """Normalised latents (B, c, t, h, w), fp32, of one window, from noise of that size; the request is complete."""
        state = self.apply(request.conditions, self.begin(noise, shape))
        return self.sample(request, state, self.embed(request), on_step)

    def begin(self, noise: Tensor, shape: VideoShape) -> SamplingState:
        return begin(noise.to(self.device, torch.float32), shape, self.parts.stride, self.encode, self.decode)

    @torch.no_grad()
    def apply(self, conditions: Iterable[Condition], state: SamplingState) -> SamplingState:
        """The state after all conditions, in order."""
        for condition in conditions:
            state = condition.apply(state)
        return go_round(state)

    @torch.no_grad()
    def sample(self, request: Request, state: SamplingState, text: Text, on_step: Progress | None = None,
               on_preview: Preview | None = None) -> Tensor:
        """Latents (B, c, t, h, w), fp32, from a state by the solver; given positions are as they were given."""
        assert request.steps is not None, request
        if state.boxes is not None and state.sigma_start < self._boxes_until:
            raise UsageError(f"boxes have no say in an edit of strength {state.sigma_start:g}: take "
                             f"{self._boxes_until:g} or more, or leave out the boxes")
        schedule = self.parts.schedule
        total = len(schedule.grid(request.steps, state.sigma_start)) - 1
        predict = self.predictor(request, text, state)
        with autocast(self.precision):
            return integrate(
                predict if on_preview is None else self.shown(predict, state, total, on_preview),
                project(state, state.latents),
                schedule,
                request.steps,
                sigma_start=state.sigma_start,
                on_step=None if on_step is None else lambda i, _: on_step(i + 1, total, ""),
                project=lambda x, _: project(state, x),
            )

    def shown(self, predict: Predict, state: SamplingState, total: int, on_preview: Preview) -> Predict:
        """`predict`, which shows on the way what it takes the first sample's middle frame to be."""
        calls = 0

        def predict_and_show(x: Tensor, sigma: float) -> Tensor:
            nonlocal calls
            output = predict(x, sigma)
            calls += 1
            if calls * PREVIEWS // total > (calls - 1) * PREVIEWS // total:
                x_0 = output if self.parts.schedule.prediction == "sample" else x_0_from_velocity(x, output, sigma)
                middle = project(state, x_0)[:1, :, x.shape[2] // 2, None]  # (1, c, 1, h, w)
                on_preview(to_frames(self.decode(middle)[0])[0], calls)
            return output

        return predict_and_show

    @torch.no_grad()
    def embed(self, request: Request) -> Text:
        prompts = [request.prompt, request.negative_prompt] if guided(request) else [request.prompt]
        with autocast(self.precision):
            embeddings, lengths = self.parts.text.embed(prompts)
        return embeddings.repeat_interleave(request.count, 0), lengths.repeat_interleave(request.count, 0)

    def predictor(self, request: Request, text: Text, state: SamplingState) -> Predict:
        """The DiT as a function of x_t (B, c, t, h, w) and σ alone; all else is settled here.

        The rows of a pass: all samples with the prompt, then all without it under guidance, then, where boxes have a
        guidance of their own, all with the prompt and without boxes.
        """
        dit, schedule, count, given = self.parts.dit, self.parts.schedule, request.count, state.given
        embeddings, lengths = text
        apart = state.boxes is not None and request.box_guidance is not None
        if apart:
            embeddings, lengths = (torch.cat([each, each[:count]]) for each in (embeddings, lengths))
        size = rows_at_once(dit, given)
        slices = [slice(start, start + size) for start in range(0, len(embeddings), size)]
        keys = [dit.read_text(embeddings[rows], lengths[rows], TEXT_LENGTH) for rows in slices]
        hooks = [self.hooks(state, range(len(embeddings))[rows], count) for rows in slices]
        some_given = bool(given.any())  # else one timestep per sample, which is cheaper than one per token

        def predict(x: Tensor, sigma: float) -> Tensor:
            level = schedule.timestep(sigma)
            timestep = token_sigmas(given, dit.patch, level) if some_given else x.new_tensor(level)  # (n,) or ()
            x = x.repeat(len(embeddings) // count, 1, 1, 1, 1)  # (R, c, t, h, w)
            timestep = timestep.expand(len(x), *timestep.shape)  # (R, n) or (R,)
            outputs = [dit(x[rows], timestep[rows], text, control=hook if sigma >= self._boxes_until else None)
                       for rows, text, hook in zip(slices, keys, hooks, strict=True)]
            full, *others = torch.split(torch.cat(outputs).float(), count)
            plain = others.pop() if apart else full
            output: Tensor = plain
            if guided(request):
                assert request.guidance is not None
                output = guide(plain, others[0], request.guidance)
            if apart:
                assert request.box_guidance is not None
                output = output + request.box_guidance * (full - plain)
            return output

        return predict

    @property
    def _boxes_until(self) -> float:
        """The σ below which boxes have no say."""
        return self.parts.control.config.until if self.parts.control is not None else 0.0

    @torch.no_grad()
    def hooks(self, state: SamplingState, rows: range, count: int) -> list[Hook] | None:
        """What box control does in each block of the DiT to those of these rows of a pass that are below `count`.

        The others are the base's own, which is what guidance sets boxes off against. None without boxes.
        """
        boxed = len(range(rows.start, min(rows.stop, count)))
        if state.boxes is None or boxed == 0:
            return None
        assert self.parts.control is not None, "boxes are fitted to a model with box control"
        (t, h, w), (p, q, r) = state.given.shape, self.parts.dit.patch
        with autocast(self.precision):
            names = read_names(self.parts.text, state.names, state.boxes.shape[1])  # (N, d)
        boxes, names = (each.expand(boxed, *each.shape) for each in (state.boxes, names))
        hooks = self.parts.control.hooks(boxes, (t // p, h // q, w // r), names)
        return hooks if boxed == len(rows) else [partial(on_first, hook, boxed) for hook in hooks]

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Tensor:
        """Pixels (B, 3, T, H, W) in [-1, 1] -> normalised latents (B, c, t, h, w), without sampling."""
        vae = self.parts.vae
        with autocast(self.precision):
            return vae.normalise(vae.encode(pixels.to(self.device)).mean)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Normalised latents (B, c, t, h, w) -> pixels (B, 3, T, H, W) in [-1, 1]."""
        with autocast(self.precision):
            return self.parts.vae.decode(self.parts.vae.denormalise(latents))


def on_first(hook: Hook, count: int, x: Tensor) -> Tensor:
    """The stream (B, n, dim) with the hook at work on the first `count` samples, in place: nothing else has it."""
    x[:count] = hook(x[:count])
    return x


def guided(request: Request) -> bool:
    """Whether the prompt is set off against the negative one; a scale of 1 is the prompt alone."""
    return request.guidance is not None and request.guidance > 1


def counted(on_step: Progress, window: int, windows: int) -> Progress:
    """Progress over all windows, of the steps of one of them."""
    return lambda done, total, detail: on_step(window * total + done, windows * total, detail)


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
