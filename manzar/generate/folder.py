"""Between a model folder on disk and the four parts that make a video.

    FOLDER/model_index.json  names the classes       transformer/  vae/  text_encoder/  config.json and safetensors
    FOLDER/manzar.json       what only Manzar says   tokenizer/  scheduler/             as stock libraries write them

The folder is a stock `WanPipeline`: plain diffusers opens what is saved here, and a published Wan 2.1 folder (whole or
sharded, fp32 or bf16, without manzar.json) opens here. Whatever cannot be opened is refused with one ModelError that
names the file and the misfit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from manzar import weights
from manzar.boxes.control import BoxControl
from manzar.boxes.layout import Layout
from manzar.dit import DiT, DiTConfig
from manzar.flow import Schedule
from manzar.generate.boxes import control_folder, load_control, save_control
from manzar.generate.layout import PART as LAYOUT
from manzar.generate.layout import load_layout, save_layout
from manzar.nouns import ModelError, Stride, UsageError, existing
from manzar.text import TextEncoder
from manzar.vae import VAEConfig, VideoVAE

PIPELINE = "WanPipeline"
INDEX, INFO = "model_index.json", "manzar.json"
PRETRAINED = Path(__file__).resolve().parents[1] / "pretrained"  # the model that ships with the package
STOCK_CLASSES = {  # component: (library, class), as model_index.json spells them; schedulers are checked by flow
    "transformer": ("diffusers", "WanTransformer3DModel"),
    "vae": ("diffusers", "AutoencoderKLWan"),
    "text_encoder": ("transformers", "UMT5EncoderModel"),
}
DIFFUSERS_VERSION = "0.42.1"  # the version whose classes these folders are tested with

# What a published Wan 2.1 folder is made for; a folder with manzar.json says its own.
DEFAULTS: dict[str, float] = {"frames": 81, "height": 480, "width": 832, "fps": 16.0, "steps": 50, "guidance": 5.0}

Made = TypeVar("Made")


@dataclass
class ModelParts:
    """Everything a model folder holds. `info` is manzar.json: defaults, languages, what it was trained on, …"""

    dit: DiT
    vae: VideoVAE
    text: TextEncoder
    schedule: Schedule
    info: dict[str, Any] = field(default_factory=dict)
    control: BoxControl | None = None  # draws objects into boxes; lies beside the stock parts, not among them
    layout: Layout | None = None  # says where the things of a prompt are; beside the stock parts as well

    @property
    def defaults(self) -> dict[str, float]:
        """frames, height, width, fps, steps and guidance for a request that leaves them open."""
        own: dict[str, float] = self.info.get("defaults", {})
        return DEFAULTS | own

    @property
    def stride(self) -> Stride:
        """Pixels under one token: the VAE's stride times the DiT's patch."""
        return self.vae.stride * self.dit.patch

    @property
    def modules(self) -> dict[str, DiT | VideoVAE | TextEncoder]:
        """The parts with weights, under their folder names."""
        return {"transformer": self.dit, "vae": self.vae, "text_encoder": self.text}

    def to(self, device: torch.device) -> ModelParts:
        for module in self.modules.values():
            module.to(device)
        for beside in (self.control, self.layout):
            if beside is not None:
                beside.to(device)
        return self


def model_folder(path: str | Path) -> Path:
    """`path` itself, or the model inside it if it is a run. Raises UsageError for a run that has none yet."""
    folder = existing(path, "folder")
    if (folder / "run.json").is_file() and not (folder / "model").is_dir():
        raise UsageError(f"{folder} is a run without a model yet; finish it with: manzar train … --resume")
    return folder / "model" if (folder / "model").is_dir() else folder


def load_parts(folder: str | Path) -> ModelParts:
    """Open a model folder on the CPU, in fp32, ready to generate.

    Raises UsageError if there is no such folder, ModelError if it is not a whole and safe `WanPipeline`.
    """
    folder = model_folder(folder)
    check_index(folder)
    dit = build(folder / "transformer/config.json", lambda config: DiT(DiTConfig.from_json(config)))
    vae = build(folder / "vae/config.json", lambda config: VideoVAE(VAEConfig.from_json(config)))
    check_latents(dit, vae, folder)
    weights.load_strict(dit, weights.read_part(folder / "transformer"), folder / "transformer")
    weights.load_strict(vae, weights.read_part(folder / "vae"), folder / "vae")
    text = load_text(folder)
    if text.config.d_model != dit.config.text_dim:
        raise ModelError(
            f"{folder}: the text encoder's embeddings have {text.config.d_model} numbers "
            f"but the transformer reads {dit.config.text_dim}; the two belong to different models"
        )
    schedule = build(folder / "scheduler/scheduler_config.json", Schedule.from_json)
    control = load_control(folder, dit) if control_folder(folder) else None
    layout = load_layout(folder, text.config.d_model) if (folder / LAYOUT).is_dir() else None
    parts = ModelParts(dit, vae, text, schedule, read_info(folder), control, layout)
    for module in parts.modules.values():
        module.eval()
    return parts


def check_index(folder: Path) -> None:
    """Refuse a folder that is no WanPipeline of the classes this package reimplements."""
    if not (folder / INDEX).is_file():
        raise ModelError(f"{folder} is no model folder: it has no {INDEX}")
    index = weights.read_json(folder / INDEX)
    if index.get("_class_name") != PIPELINE:
        raise ModelError(
            f"{folder / INDEX}: pipeline class {index.get('_class_name')!r} is unknown here; "
            f"only {PIPELINE} folders can be opened"
        )
    if index.get("transformer_2", [None, None]) != [None, None]:
        raise ModelError(
            f"{folder / INDEX}: a second transformer (transformer_2) is not supported; "
            f"use a folder with one transformer, such as Wan 2.1"
        )
    for part, stock in STOCK_CLASSES.items():
        if index.get(part) != list(stock):
            raise ModelError(f"{folder / INDEX}: {part} is {index.get(part)!r}; {'.'.join(stock)} is needed")


def build(path: Path, make: Callable[[dict[str, Any]], Made]) -> Made:
    """What `make` makes of the JSON in `path`; whatever is wrong inside it becomes a ModelError that names the file."""
    values = weights.read_json(path)
    try:
        return make(values)
    except (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        reason = next(iter(str(error).splitlines()), "")
        raise ModelError(f"{path} cannot be used: {type(error).__name__}: {reason}") from error


def check_latents(dit: DiT, vae: VideoVAE, folder: Path) -> None:
    """The transformer must speak the autoencoder's latents."""
    for side in ("in_channels", "out_channels"):
        channels = getattr(dit.config, side) or dit.config.in_channels
        if channels != vae.config.z_dim:
            raise ModelError(
                f"{folder}: the transformer's {side} is {channels} but the vae's latents have "
                f"{vae.config.z_dim} channels; only text-to-video models are supported"
            )
    for name in ("latents_mean", "latents_std"):
        numbers = getattr(vae.config, name)
        if len(numbers) != vae.config.z_dim:
            raise ModelError(f"{folder / 'vae'}: {name} has {len(numbers)} numbers for {vae.config.z_dim} channels")
    if dit.patch.time != 1:
        raise ModelError(f"{folder / 'transformer'}: a patch of {dit.patch.time} latent frames is not supported; use 1")


def load_text(folder: Path) -> TextEncoder:
    tensors = weights.read_part(folder / "text_encoder")
    if not (folder / "tokenizer").is_dir():
        raise ModelError(f"{folder / 'tokenizer'} is missing from the model folder")
    return build(
        folder / "text_encoder/config.json",
        lambda config: TextEncoder.from_parts(config, tensors, folder / "tokenizer"),
    )


def read_info(folder: Path) -> dict[str, Any]:
    """manzar.json, or nothing for a folder made elsewhere. Its defaults must be numbers: they drive requests."""
    if not (folder / INFO).is_file():
        return {}
    info = weights.read_json(folder / INFO)
    defaults = info.get("defaults", {})
    if not isinstance(defaults, dict):
        raise ModelError(f"{folder / INFO}: defaults is {defaults!r}; an object of names and numbers is needed")
    for name, value in defaults.items():
        if name in (*DEFAULTS, "window") and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise ModelError(f"{folder / INFO}: default {name} is {value!r}; a number is needed")
    return info


def save_parts(parts: ModelParts, folder: str | Path) -> None:
    """Write a stock model folder, read it back and compare tensor by tensor, and only then give it its name.

    Raises UsageError if `folder` exists and holds something other than a model, StorageError if the disk is full.
    """
    with weights.replacing(replaceable(folder)) as scratch:
        weights.write_part(scratch / "transformer", parts.dit.state_dict(), parts.dit.config.to_json())
        weights.write_part(scratch / "vae", parts.vae.state_dict(), parts.vae.config.to_json())
        weights.write_part(
            scratch / "text_encoder", parts.text.state_dict(), parts.text.config.to_json(), weights.WEIGHT_NAMES[1]
        )
        parts.text.save_tokenizer(scratch / "tokenizer")
        if parts.control is not None:
            save_control(parts.control, scratch)
        if parts.layout is not None:
            save_layout(parts.layout, scratch)
        weights.write_json(scratch / "scheduler/scheduler_config.json", parts.schedule.to_json())
        weights.write_json(scratch / INFO, parts.info | {"prediction": parts.schedule.prediction})
        weights.write_json(scratch / INDEX, model_index(scratch))
        compare(parts, load_parts(scratch))


def replaceable(folder: str | Path) -> Path:
    """The absolute path, if nothing lies there but an older model. Raises UsageError to protect anything else."""
    folder = Path(folder).absolute()
    is_model = (folder / INDEX).is_file() or (folder / INFO).is_file()
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not is_model):
        raise UsageError(f"{folder} exists and is no model folder, so it is not overwritten; choose another place")
    return folder


def model_index(folder: Path) -> dict[str, Any]:
    """What model_index.json says of a folder whose parts are written already."""
    scheduler = weights.read_json(folder / "scheduler/scheduler_config.json")["_class_name"]
    tokenizer = weights.read_json(folder / "tokenizer/tokenizer_config.json")["tokenizer_class"]
    return {
        "_class_name": PIPELINE,
        "_diffusers_version": DIFFUSERS_VERSION,
        **{part: list(stock) for part, stock in STOCK_CLASSES.items()},
        "tokenizer": ["transformers", tokenizer],
        "scheduler": ["diffusers", scheduler],
        "transformer_2": [None, None],
    }


def compare(ours: ModelParts, reloaded: ModelParts) -> None:
    """Raise ModelError unless the two hold the same configurations and, bit for bit, the same tensors."""
    for name, module in ours.modules.items():
        compare_part(name, module, reloaded.modules[name])
    if ours.schedule != reloaded.schedule:
        raise ModelError(f"the schedule read back is {reloaded.schedule}, not {ours.schedule}")


def compare_part(name: str, saved: DiT | VideoVAE | TextEncoder, read: DiT | VideoVAE | TextEncoder) -> None:
    difference = first_difference(saved.state_dict(), read.state_dict())
    if difference:
        raise ModelError(f"{name}: tensor {difference} read back differs from what was saved")
    if saved.config.to_json() != read.config.to_json():
        raise ModelError(f"{name}: the configuration read back differs from what was saved")


def first_difference(saved: Mapping[str, Tensor], read: Mapping[str, Tensor]) -> str | None:
    """Name of a tensor that is not the same in both, or None."""
    for name in sorted(saved.keys() | read.keys()):
        if name not in saved or name not in read:
            return name
        a, b = saved[name].cpu(), read[name].cpu()
        if a.shape != b.shape or not torch.equal(a.to(b.dtype), b):
            return name
    return None


def load_vae(folder: str | Path) -> VideoVAE:
    """The autoencoder alone, of a whole model folder or of what `save_vae` writes. Raises as `load_parts` does."""
    part = existing(folder, "folder") / "vae"
    vae = build(part / "config.json", lambda config: VideoVAE(VAEConfig.from_json(config)))
    weights.load_strict(vae, weights.read_part(part), part)
    return vae.eval()


def save_vae(vae: VideoVAE, folder: str | Path, info: Mapping[str, Any]) -> None:
    """Write vae/ and manzar.json, reloaded and compared before the folder takes its name. Raises as `save_parts`."""
    with weights.replacing(replaceable(folder)) as scratch:
        weights.write_part(scratch / "vae", vae.state_dict(), vae.config.to_json())
        weights.write_json(scratch / INFO, info)
        compare_part("vae", vae, load_vae(scratch))
