"""Recipes over latents: `dit` (a transformer and its text encoder from scratch) and `tune` (an existing folder).

Both minimise ‖v_θ(x_t, σ, text) − v‖² along the straight path x_t = (1 − σ) x_0 + σ ε, v = ε − x_0 (rectified flow,
Liu et al. 2022); a network that predicts x_0 has its loss in v-space too (JiT, Li & He 2025).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from manzar.boxes.control import Hook
from manzar.device import autocast, pick_device
from manzar.dit import DiT, DiTConfig
from manzar.dit.lora import add_lora, lora_tensors, merge_lora
from manzar.flow import (
    Schedule,
    interpolate,
    sample_sigmas,
    shift_for_tokens,
    timestep,
    velocity,
    velocity_from_x_0,
)
from manzar.generate import Generator, ModelParts, load_parts, save_parts
from manzar.generate.folder import load_vae
from manzar.generate.generator import TEXT_LENGTH
from manzar.generate.given import token_sigmas
from manzar.nouns import Clip, Frames, LatentShape, Request
from manzar.text import PROMPT_LIMIT, SMALL, TextEncoder, WordTokenizer, word_vectors
from manzar.train.buckets import batch_sizes, bucket_shares, caption_in, open_buckets, pick_languages, slipped
from manzar.train.checkpoint import Position
from manzar.train.data import Clips, digest, randint, random_generator
from manzar.train.given import draw_given
from manzar.train.latents import HELD_EVERY, Bucket, Item, fingerprint
from manzar.train.log import BINS, RunLog
from manzar.train.loop import StepLoss
from manzar.train.naming import Naming, naming_head
from manzar.train.settings import DitSettings, LatentSettings, TuneSettings
from manzar.weights import write_tensors

VAL_SAMPLES = 32  # held-out samples per bin of σ
SHEET_PROMPTS = 8
INNER_FRAMES = 7  # latent frames from which on a clip is long enough to take a window from within


@dataclass(frozen=True)
class LatentBatch:
    latents: Tensor  # (B, c, t, h, w) normalised
    prompts: list[str]
    clip_ids: list[str]
    given: Tensor | None = None  # (t, h, w) bool: the content is given there, at σ = 0
    clean: Tensor | None = None  # (B, c, t, h, w) what is given, where it is not the clip itself
    items: Sequence[Item] = ()  # what each sample was cut from
    start: int = 0  # the latent frame of its item that each sample begins with
    boxes: Tensor | None = None  # (B, t, N, 9) where its objects are, for a model with box control
    names: Tensor | None = None  # (B, N, d) embeddings of what they are
    weights: Tensor | None = None  # (B, t, h, w) of the loss at each position; None for 1 everywhere

    def __len__(self) -> int:
        return len(self.latents)


class Prompts:
    """Captions to embeddings: through a text encoder that learns, or a frozen one whose answers are kept."""

    def __init__(self, text: TextEncoder, learns: bool):
        self.text, self.learns = text, learns
        self._kept: dict[str, Tensor] = {}

    def embed(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """(B, L, d) with padding rows zero, and lengths (B,)."""
        if self.learns:
            return self.text.embed(prompts)
        for prompt in set(prompts) - self._kept.keys():
            with torch.no_grad():
                embedding, lengths = self.text.embed([prompt])
            self._kept[prompt] = embedding[0, : int(lengths[0])]
        rows = [self._kept[prompt] for prompt in prompts]
        lengths = torch.tensor([len(row) for row in rows], device=rows[0].device)
        return nn.utils.rnn.pad_sequence(rows, batch_first=True), lengths


class DenoiseRecipe:
    """Everything that `dit` and `tune` share; they differ in what learns and in what is exported."""

    def __init__(self, name: str, parts: ModelParts, trained: nn.ModuleDict, settings: LatentSettings,
                 clips: tuple[Clips, Clips], buckets: tuple[list[Bucket], list[Bucket]],
                 naming: Naming | None = None):
        self.name, self.parts, self.trained, self.settings = name, parts, trained, settings
        self.naming = naming
        if naming is not None:
            trained["naming"] = naming
        self.clips, self.val_clips = clips
        self.buckets, self.val_buckets = buckets
        self.languages = pick_languages(settings.languages, self.clips)
        self.before = parts.info.get("trained")  # what the folder that it starts from was trained on
        self.fingerprint = digest([[clip.id for clip in self.clips.rows], fingerprint(parts.vae.state_dict())])
        parts.to(pick_device())
        trained.to(pick_device())
        parts.dit.checkpointing = settings.recompute
        self.prompts = Prompts(parts.text, any(p.requires_grad for p in parts.text.parameters()))
        self.shares = bucket_shares(self.buckets, settings.images)
        self.sizes = batch_sizes(self.buckets, parts.stride, settings.batch)

    def is_matrix(self, name: str, p: nn.Parameter) -> bool:
        inner = "blocks." in name or "encoder.block." in name
        return inner and p.ndim == 2 and "lora_" not in name and "relative_attention_bias" not in name

    def rate(self, name: str) -> float:
        # Until the video half can use the prompt, the gradient here is the same for all prompts; at the full rate it
        # turns every embedding into one and the same vector within a few hundred steps, and no prompt is ever heard.
        return self.settings.text_rate if name.startswith("text.") or "text_embedder" in name else 1.0

    # ---- batches

    def batch(self, generator: torch.Generator) -> LatentBatch:
        index = int(torch.multinomial(self.shares, 1, generator=generator))
        return self._draw(self.buckets[index], self.sizes[index], generator)

    def probe_batches(self) -> list[tuple[float, LatentBatch]]:
        generator = random_generator(self.settings.seed, 0)
        return [(float(share), self._draw(bucket, size, generator))
                for share, bucket, size in zip(self.shares, self.buckets, self.sizes, strict=True)]

    def _draw(self, bucket: Bucket, size: int, generator: torch.Generator) -> LatentBatch:
        shape = bucket.shape.latent(self.parts.vae.stride)
        given = None
        if torch.rand((), generator=generator).item() < self.settings.given:
            given = draw_given(shape, self.parts.dit.patch, generator)
        every = HELD_EVERY if given is not None and given.held else 1
        picks = every * torch.randint(-(-len(bucket.items) // every), (size,), generator=generator)
        items = [bucket.items[i] for i in picks.tolist()]
        rows = [self.clips.rows[item.clip] for item in items]
        batch = LatentBatch(self._to_device(bucket.latents[picks]), [self._caption(row, generator) for row in rows],
                            [row.id for row in rows], items=items)
        if given is not None:
            held = self._to_device(bucket.held[picks // HELD_EVERY]) if given.held else None
            return replace(batch, given=given.mask.to(batch.latents.device), clean=held)
        if shape.frames >= INNER_FRAMES and torch.rand((), generator=generator).item() < 0.5:
            return self._inner(batch, generator)
        return batch

    def _inner(self, batch: LatentBatch, generator: torch.Generator) -> LatentBatch:
        """A window from within a long clip, with its first latents given: what extension goes on from."""
        frames = batch.latents.shape[2]
        length = (frames + 1) // 2
        start = 1 + randint(generator, frames - length)
        latents = batch.latents[:, :, start : start + length]
        given = draw_given(LatentShape(*latents.shape[2:]), self.parts.dit.patch, generator,
                           ("prefix", "ends")[randint(generator, 2)])
        assert given is not None, latents.shape
        return replace(batch, latents=latents, given=given.mask.to(latents.device), start=start)

    @staticmethod
    def _to_device(latents: Tensor) -> Tensor:
        return latents.to(pick_device()).float()

    def _caption(self, row: Clip, generator: torch.Generator) -> str:
        """The clip's caption in one of the languages it has; "" when it has none or it is dropped."""
        dropped = torch.rand((), generator=generator).item() < self.settings.drop_caption
        slip = torch.rand((), generator=generator).item() < self.settings.typos
        text = caption_in(row.captions, self.languages, randint(generator, len(self.languages)))
        text = "" if dropped else text
        return slipped(text, generator) if slip else text

    # ---- the loss

    def loss(self, batch: LatentBatch, generator: torch.Generator) -> StepLoss:
        s = self.settings
        t, h, w = batch.latents.shape[2:]
        shift = shift_for_tokens(LatentShape(t, h, w).tokens(self.parts.dit.patch)) if s.token_shift else 1.0
        sigmas = sample_sigmas(len(batch), generator, kind=s.sigmas, mean=s.sigma_mean, std=s.sigma_std, shift=shift)
        noise = torch.randn(batch.latents.shape, generator=generator)
        per_sample = self._losses(batch, sigmas, noise)
        denoising = per_sample.mean()
        if self.naming is None:
            return StepLoss(denoising, {}, sigmas, per_sample)
        named, terms = self.naming.loss(batch.items, batch.start, self._grid(batch))
        return StepLoss(denoising, {"denoising": denoising, **terms}, sigmas, per_sample, named)

    def _losses(self, batch: LatentBatch, sigmas: Tensor, noise: Tensor) -> Tensor:
        """(B,) mean squared error in v-space, by the batch's weights, over the positions that are not given."""
        dit, x_0 = self.parts.dit, batch.latents
        noise, sigma = noise.to(x_0.device), sigmas.to(x_0.device)
        with autocast():
            text, lengths = self.prompts.embed(batch.prompts)
            x_t = interpolate(x_0, noise, sigma)
            levels = timestep(sigma)  # (B,)
            if batch.given is not None:
                x_t = torch.where(batch.given, x_0 if batch.clean is None else batch.clean, x_t)
                levels = levels[:, None] * token_sigmas(batch.given.float(), dit.patch, 1.0)  # (B, n)
            out = dit(x_t, levels, text, lengths, TEXT_LENGTH, self._control(batch))
        out = out.float()
        if self.parts.schedule.prediction == "sample":
            out = velocity_from_x_0(x_t, out, sigma.clamp_min(0.05))  # the clamp bounds the weight 1/σ² near the data
            target = velocity_from_x_0(x_t, x_0, sigma.clamp_min(0.05))
        else:
            target = velocity(x_0, noise)
        error = (out - target).square().mean(dim=1)  # (B, t, h, w)
        weights = torch.ones_like(error) if batch.weights is None else batch.weights
        if batch.given is not None:
            weights = weights * ~batch.given
        return torch.sum(error * weights, dim=(1, 2, 3)) / weights.sum(dim=(1, 2, 3))

    def _control(self, batch: LatentBatch) -> list[Hook] | None:
        """What a module beside the transformer does in each of its blocks."""
        return None if self.naming is None else self.naming.hooks()

    def _grid(self, batch: LatentBatch) -> tuple[int, int, int]:
        """How many tokens a sample has in time, height and width."""
        (t, h, w), (p, q, r) = batch.latents.shape[2:], self.parts.dit.patch
        return t // p, h // q, w // r

    # ---- what one looks at

    def validate(self) -> dict[str, Any]:
        """Held-out loss at ten levels of σ with fixed noise; the levels are the middles of ten equal bins."""
        bucket = self._widest(self.val_buckets)
        if bucket is None:
            return {"val_samples": 0}
        batch = self._held_out(bucket)
        bins = self._bins(batch)
        return {"val_loss": sum(bins) / BINS, "val_bins": bins, "val_samples": len(batch)}

    @staticmethod
    def _widest(buckets: Sequence[Bucket]) -> Bucket | None:
        """The one with most to see."""
        return max(buckets, key=lambda b: b.latents.numel(), default=None)

    def _bins(self, batch: LatentBatch) -> list[float]:
        """The loss at the middle of each bin of σ, always from the same noise."""
        noise = torch.randn(batch.latents.shape, generator=torch.Generator().manual_seed(0))
        levels = [torch.full((len(batch),), (k + 0.5) / BINS) for k in range(BINS)]
        return [float(self._losses(batch, sigmas, noise).mean()) for sigmas in levels]

    def _held_out(self, bucket: Bucket) -> LatentBatch:
        """The first held-out samples of a bucket."""
        items = bucket.items[:VAL_SAMPLES]
        rows = [self.val_clips.rows[item.clip] for item in items]
        prompts = [self._texts(row.captions, i) for i, row in enumerate(rows)]
        latents = self._to_device(bucket.latents[:VAL_SAMPLES])
        return LatentBatch(latents, prompts, [row.id for row in rows], items=items)

    def _texts(self, captions: Mapping[str, str], index: int) -> str:
        """The index-th language that a clip has, round robin, so that a sheet shows them all."""
        texts = [captions[language] for language in self.languages if captions.get(language)]
        return texts[index % len(texts)][:PROMPT_LIMIT] if texts else ""

    def sheet(self) -> tuple[str, Frames]:
        bucket = max(self.buckets, key=lambda b: (b.shape.frames > 1, len(b.items)))
        shape = bucket.shape
        clips = self.val_clips if len(self.val_clips) else self.clips
        rows = clips.rows[:: max(1, len(clips) // SHEET_PROMPTS)][:SHEET_PROMPTS]
        prompts = [self._texts(row.captions, i) for i, row in enumerate(rows)]
        generator, strips = Generator(self.parts), []
        for index, prompt in enumerate(prompts):
            request = Request(prompt, shape.frames, shape.height, shape.width, self.settings.fps,
                              self.settings.sample_steps, self.settings.guidance, seed=index)
            frames = generator.generate(request)[0].frames
            picks = np.linspace(0, len(frames) - 1, min(6, len(frames))).round().astype(int)
            strips.append(np.concatenate([frames[k] for k in picks], axis=1))
        return " · ".join(prompts), np.concatenate(strips)

    def export(self, folder: Path, position: Position) -> None:
        s = self.settings
        shape = max(self.buckets, key=lambda b: (b.shape.frames > 1, len(b.items))).shape
        self.parts.info = {
            **self.parts.info, "kind": self.name, "languages": list(self.languages),
            "defaults": self.parts.defaults | {"frames": shape.frames, "height": shape.height, "width": shape.width,
                                               "fps": s.fps, "window": max(b.shape.frames for b in self.buckets)},
            "trained": {"clips": len(self.clips), "steps": position.step, "samples_seen": position.samples_seen,
                        "seconds": round(position.seconds),
                        "settings": s.model_dump(exclude={"start"})}  # a path, which is of this machine alone
            | ({"before": self.before} if self.before else {}),
        }
        if isinstance(s, TuneSettings) and s.mode == "lora":
            write_tensors(folder.parent / "lora" / "pytorch_lora_weights.safetensors", lora_tensors(self.parts.dit))
            merge_lora(self.parts.dit)
        save_parts(self.parts, folder)


def dit_recipe(data: Path, settings: DitSettings, source: Path, log: RunLog) -> DenoiseRecipe:
    """A new transformer and text encoder over the latents of the VAE in `source`."""
    s = settings
    vae = load_vae(source)
    vae.requires_grad_(False)
    torch.manual_seed(s.seed)
    width = s.heads * s.head_width
    dit = DiT(DiTConfig(
        patch_size=(1, s.patch, s.patch), num_attention_heads=s.heads, attention_head_dim=s.head_width,
        in_channels=vae.config.z_dim, out_channels=vae.config.z_dim, text_dim=s.text_width, ffn_dim=s.ffn * width,
        num_layers=s.layers))
    # the stock Euler scheduler knows velocities only; the stock UniPC one takes x_0 as well
    schedule = Schedule("euler" if s.prediction == "velocity" else "unipc", s.sample_shift, s.prediction)
    clips, buckets = open_buckets(data, s, vae, dit.patch, log)
    text = new_text_encoder(s, clips[0])
    parts = ModelParts(dit, vae, text, schedule, {"defaults": {"steps": s.sample_steps, "guidance": s.guidance}})
    return DenoiseRecipe("dit", parts, nn.ModuleDict({"dit": dit, "text": text}), s, clips, buckets,
                         naming_head(clips[0], dit.config, s.naming))


def new_text_encoder(s: DitSettings, clips: Clips) -> TextEncoder:
    """An encoder for the words of the captions that it will learn from."""
    languages = pick_languages(s.languages, clips)
    told = [[row.captions[code] for code in languages if row.captions.get(code)] for row in clips.rows]
    tokenizer = WordTokenizer.from_captions(text for captions in told for text in captions)
    config = replace(SMALL, vocab_size=tokenizer.vocab_size, d_model=s.text_width, d_ff=2 * s.text_width,
                     num_layers=s.text_layers, num_heads=max(1, s.text_width // SMALL.d_kv))
    encoder = TextEncoder(config, tokenizer)
    vectors, known = word_vectors(tokenizer, told, s.text_width)
    with torch.no_grad():
        encoder.shared.weight[known] = vectors[known]
    return encoder


def tune_recipe(data: Path, settings: TuneSettings, source: Path, log: RunLog) -> DenoiseRecipe:
    """An existing folder, its text encoder and VAE frozen: low-rank adapters, or every weight of the transformer."""
    parts = load_parts(source)
    for module in parts.modules.values():
        module.requires_grad_(False)
    torch.manual_seed(settings.seed)
    clips, buckets = open_buckets(data, settings, parts.vae, parts.dit.patch, log)
    if settings.mode == "lora":
        add_lora(parts.dit, settings.rank, settings.alpha)
    else:
        parts.dit.requires_grad_(True)
    return DenoiseRecipe("tune", parts, nn.ModuleDict({"dit": parts.dit}), settings, clips, buckets,
                         naming_head(clips[0], parts.dit.config, settings.naming))
