"""Settings of a run: one frozen, typed table per recipe, filled from `--set key=value`; unknown keys are refused."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from manzar.nouns import SettingError


class Settings(BaseModel):
    """What every recipe shares. Sizes are pixels, lengths frames, rates frames per second."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(0, ge=0, description="all randomness of a step derives from this and the samples seen")
    batch: int = Field(16, ge=1, description="samples per forward pass")
    accumulate: int = Field(1, ge=1, description="forward passes per optimiser step")
    size: int = Field(64, ge=8, description="short side of the training video, in pixels")
    fps: float = Field(8.0, gt=0, description="frame rate that footage is resampled to")
    muon_lr: float = Field(0.02, ge=0, description="learning rate of the hidden matrices (Muon)")
    adam_lr: float = Field(1.5e-3, ge=0, description="learning rate of everything else (AdamW)")
    weight_decay: float = Field(0.0, ge=0)
    warmup: int = Field(50, ge=0, description="steps of linear warm-up, at most a tenth of the run")
    cooldown: float = Field(0.4, ge=0, le=1, description="last share of the run, over which the rates fall to zero")
    clip: float = Field(1.0, gt=0, description="largest gradient norm")
    ema: float = Field(0.998, ge=0, lt=1, description="decay of the averaged weights")
    checkpoint_seconds: float = Field(60.0, ge=0, description="time between checkpoints")
    validations: int = Field(8, ge=1, description="how often a run validates, spread evenly over it")


class VaeSettings(Settings):
    """`manzar train vae`: crops of clips, reconstructed."""

    batch: int = Field(16, ge=1)
    muon_lr: float = Field(0.01, ge=0)
    adam_lr: float = Field(2e-3, ge=0)
    ema: float = Field(0.99, ge=0, lt=1)
    crop: int = Field(32, ge=8, description="side of the training crops")
    crop_frames: int = Field(9, ge=1, description="length of the training crops")
    images: float = Field(0.1, ge=0, le=1, description="share of batches that are single frames")
    kl_weight: float = Field(1e-6, ge=0)
    base: int = Field(32, ge=8, description="channels at the finest level")
    channels: int = Field(16, ge=1, description="latent channels")
    multiples: str = Field("1,2,2", pattern=r"^\d+(,\d+)*$",
                           description="channels per level, in bases; each after the first halves the sides")
    temporal: str = Field("1,1", pattern=r"^[01](,[01])*$", description="per halving, 1 if it halves time as well")
    fold: int = Field(2, ge=1, description="pixels folded into channels before the first convolution")
    residual: bool = Field(True, description="averaging shortcuts, as Wan 2.2 has")
    evenness: float = Field(0.5, ge=0, le=1, description="of the latents' channels; see vae/basis.py")
    decoder_only: bool = Field(False, description="with --from: leave the encoder, and so all latents, as they are")


class LatentSettings(Settings):
    """What every recipe over latents shares."""

    batch: int = Field(32, ge=1, description="clips of the commonest shape per forward pass; of others, as many tokens")
    frames: int = Field(33, ge=1, description="longest training clip; half of it and single frames are mixed in")
    images: float = Field(0.1, ge=0, le=1, description="share of batches that are single frames")
    languages: str = Field("all", description="comma-separated caption languages to train on; all that there are")
    drop_caption: float = Field(0.1, ge=0, le=1, description="share of samples trained without a caption")
    typos: float = Field(0.05, ge=0, le=1, description="share of captions with a slip of the pen")
    given: float = Field(0.35, ge=0, le=1, description="share of batches in which something is given; see given.py")
    sigmas: Literal["logit-normal", "uniform"] = "logit-normal"
    sigma_mean: float = Field(0.8, description="mean of logit σ; above 0 leans toward noise")
    sigma_std: float = Field(1.0, gt=0)
    token_shift: bool = Field(False, description="shift σ toward noise by the number of tokens, as larger sizes need")
    text_rate: float = Field(0.05, ge=0, description="learning rate of all that reads the prompt, as a factor")
    recompute: bool = Field(False, description="recompute activations in the backward pass to save memory")
    guidance: float = Field(3.0, ge=0, description="guidance of the sample sheets; a new folder's default")
    sample_steps: int = Field(16, ge=1, description="solver steps of the sample sheets; a new folder's default")


class DitSettings(LatentSettings):
    """`manzar train dit`: a transformer and a text encoder for the words of its captions, from scratch."""

    patch: int = Field(2, ge=1, description="side of the latent square that is one token; 1 for 64×64")
    layers: int = Field(6, ge=1)
    heads: int = Field(4, ge=1)
    head_width: int = Field(64, ge=8)
    ffn: int = Field(4, ge=1, description="feed-forward width over model width")
    text_layers: int = Field(3, ge=1)
    text_width: int = Field(256, ge=16)
    prediction: Literal["velocity", "sample"] = Field("velocity", description="what the network predicts: v or x_0")
    sample_shift: float = Field(3.0, gt=0, description="σ shift of the sampling schedule")
    naming: float = Field(0.15, ge=0, description="weight of naming the objects, where tracks tell them; see naming.py")


class TuneSettings(LatentSettings):
    """`manzar train tune`: an existing folder, by low-rank adapters or in full."""

    batch: int = Field(16, ge=1)
    adam_lr: float = Field(1e-3, ge=0)
    muon_lr: float = Field(2e-3, ge=0)
    warmup: int = Field(20, ge=0)
    ema: float = Field(0.98, ge=0, lt=1)
    sigma_mean: float = 0.0
    mode: Literal["lora", "full"] = "lora"
    rank: int = Field(16, ge=1)
    alpha: float = Field(16.0, gt=0)
    naming: float = Field(0.0, ge=0, description="weight of naming the objects, where tracks tell them; see naming.py")


class BoxSettings(LatentSettings):
    """`manzar train boxes`: a module beside a frozen folder that draws objects into boxes; see boxes.py."""

    adam_lr: float = Field(2e-3, ge=0)
    ema: float = Field(0.99, ge=0, lt=1)
    cooldown: float = Field(0.3, ge=0, le=1)
    validations: int = Field(3, ge=1)
    sigma_mean: float = Field(1.5, description="mean of logit σ; things find their places near noise")
    given: float = Field(0.3, ge=0, le=1, description="share of batches in which something is given; see given.py")
    stage: Literal["all", "hard", "soft", "clean"] = Field(
        "all", description="hard boxes painted in; most of them soft; nothing painted in any more; all: one by one")
    start: str = Field("", description="box control to go on from: a run or folder")
    objects: int = Field(8, ge=1, description="most objects that are told apart")
    width: int = Field(64, ge=8, description="width of the module's attention; a quarter of the model's or less")
    no_boxes: float = Field(0.1, ge=0, le=1, description="share of samples without any box")
    no_names: float = Field(0.2, ge=0, le=1, description="share of boxes that do not say what their object is")
    soft: float = Field(0.8, ge=0, le=1, description="share of boxes made soft, from the second stage on")
    base_rate: float = Field(0.0, ge=0, description="learning rate of the base, as a factor; 0 leaves it as it is")
    inside: float = Field(1.0, gt=0, description="weight of the loss inside the objects' boxes; outside it is 1")


class LayoutSettings(Settings):
    """`manzar train layout`: where the things of a prompt are, from captions and tracks; see layout.py."""

    batch: int = Field(128, ge=1, description="captions per step")
    ema: float = Field(0.99, ge=0, lt=1)
    validations: int = Field(4, ge=1)
    languages: str = Field("all", description="comma-separated caption languages to train on; all that there are")
    typos: float = Field(0.05, ge=0, le=1, description="share of captions with a slip of the pen")
    things: int = Field(4, ge=1, description="most things that a prompt can have")
    width: int = Field(192, ge=8)
    layers: int = Field(3, ge=1, description="of each half: the one that reads, and the one that places")


S = TypeVar("S", bound=Settings)


def parse_settings(kind: type[S], pairs: Sequence[str]) -> S:
    """Settings from `key=value` strings. Raises SettingError naming the nearest key, or what a value should be."""
    values: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise SettingError(f"--set {pair!r} has no '='; write --set key=value")
        if key not in kind.model_fields:
            near = difflib.get_close_matches(key, kind.model_fields, n=1, cutoff=0.0)[0]
            raise SettingError(f"--set {key}: no such setting; the nearest is {near} "
                               f"(all: {', '.join(kind.model_fields)})")
        values[key] = value
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise SettingError(f"--set {first['loc'][0]}={first['input']}: {first['msg']}") from None
