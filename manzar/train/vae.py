"""Recipe: the compression network, from scratch, on crops of clips and single frames."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from manzar.device import autocast, pick_device
from manzar.generate.folder import load_vae, save_vae
from manzar.nouns import Frames, SettingError, Stride
from manzar.train.checkpoint import Position
from manzar.train.data import Clips, digest, open_splits, randint, to_tensor, window
from manzar.train.loop import StepLoss
from manzar.train.settings import VaeSettings
from manzar.vae import VAEConfig, VideoVAE, change_basis, find_basis, grow, psnr, ssim, vae_loss

ARCHITECTURE = frozenset({"base", "multiples", "temporal", "fold", "residual"})
SHAPE = ARCHITECTURE | {"channels"}  # the one that a network can be given more of
HELD_OUT_CLIPS = 32  # clips that validation reconstructs
BASIS_CLIPS = 48  # clips that the basis of the latents is measured on


@dataclass(frozen=True)
class Crops:
    video: Tensor  # (B, 3, T, H, W) in [-1, 1]
    clip_ids: list[str]

    def __len__(self) -> int:
        return len(self.video)


def vae_config(s: VaeSettings) -> VAEConfig:
    """The stock configuration that the settings describe; its strides follow from it."""
    multiples = tuple(int(m) for m in s.multiples.split(","))
    temporal = tuple(bool(int(m)) for m in s.temporal.split(","))
    if len(temporal) != len(multiples) - 1:
        raise SettingError(f"--set temporal={s.temporal} needs one value per halving: {len(multiples) - 1} "
                         f"for multiples={s.multiples}")
    return VAEConfig(
        base_dim=s.base, decoder_base_dim=s.base, z_dim=s.channels, dim_mult=multiples, num_res_blocks=1,
        temperal_downsample=temporal, is_residual=s.residual, patch_size=s.fold if s.fold > 1 else None,
        in_channels=3 * s.fold**2, out_channels=3 * s.fold**2, latents_mean=(0.0,) * s.channels,
        latents_std=(1.0,) * s.channels,
    )


class VaeRecipe:
    """Reconstruction + KL + a perceptual-like term; held-out PSNR and SSIM on whole clips."""

    name = "vae"

    def __init__(self, train: Clips, val: Clips, settings: VaeSettings, start: VideoVAE | None = None):
        self.settings, self.clips, self.val = settings, train, val
        self.fingerprint = digest([clip.id for clip in train.rows])
        torch.manual_seed(settings.seed)
        self.vae = (start or VideoVAE(vae_config(settings))).to(pick_device())
        self.trained: nn.Module = self.vae
        if settings.decoder_only:
            for part in (self.vae.encoder, self.vae.quant_conv):
                part.requires_grad_(False)
        stride = self.vae.stride
        if settings.crop % stride.height or (settings.crop_frames - 1) % stride.time:
            raise SettingError(f"--set crop={settings.crop} crop_frames={settings.crop_frames} are off the grid of "
                               f"{stride.time}x{stride.height}x{stride.width}; take 1 + {stride.time}k frames and a "
                               f"multiple of {stride.height}")
        shortest = min(min(train.side(index)) for index in range(len(train)))
        if settings.crop > shortest:
            raise SettingError(f"--set crop={settings.crop} is more than the short side of {shortest} that clips have "
                               f"here; take a smaller crop or a larger size")

    def is_matrix(self, name: str, p: nn.Parameter) -> bool:
        # kernels between hidden channels; the pixel and latent ends are as thin as a dozen channels and stay with AdamW
        return p.ndim >= 4 and min(p.shape[0], p.shape[1]) >= 24

    def rate(self, name: str) -> float:
        return 1.0

    def batch(self, generator: torch.Generator) -> Crops:
        s = self.settings
        image = torch.rand((), generator=generator).item() < s.images
        return self._crops(generator, 1 if image else s.crop_frames)

    def probe_batches(self) -> list[tuple[float, Crops]]:
        generator = torch.Generator().manual_seed(0)
        s = self.settings
        return [(1 - s.images, self._crops(generator, s.crop_frames)), (s.images, self._crops(generator, 1))]

    def _crops(self, generator: torch.Generator, length: int) -> Crops:
        crops, ids = [], []
        picks = [randint(generator, len(self.clips)) for _ in range(self.settings.batch)]
        for index, frames in zip(picks, self.clips.frames(picks), strict=True):
            start = randint(generator, max(1, len(frames) - length + 1))
            side = self.settings.crop
            top, left = (randint(generator, size - side + 1) for size in frames.shape[1:3])
            crops.append(window(frames, start, length)[:, top : top + side, left : left + side])
            ids.append(self.clips.rows[index].id)
        return Crops(to_tensor(crops).to(pick_device()), ids)

    def loss(self, batch: Crops, generator: torch.Generator) -> StepLoss:
        with autocast():
            with torch.set_grad_enabled(torch.is_grad_enabled() and not self.settings.decoder_only):
                posterior = self.vae.encode(batch.video)
            recon = self.vae.decode(posterior.sample(generator))
        loss, terms = vae_loss(recon.float(), batch.video, posterior, kl_weight=self.settings.kl_weight)
        return StepLoss(loss, terms)

    def validate(self) -> dict[str, Any]:
        scores: dict[str, list[Tensor]] = {"psnr": [], "ssim": []}
        for index in range(min(HELD_OUT_CLIPS, len(self.val))):
            video = to_tensor([self._whole(self.val, index)]).to(pick_device())
            recon = self._reconstruct(video)
            scores["psnr"].append(psnr(recon, video))
            scores["ssim"].append(ssim(recon, video))
        return {name: float(torch.cat(values).mean()) for name, values in scores.items() if values} | {
            "val_clips": min(HELD_OUT_CLIPS, len(self.val))}

    def sheet(self) -> tuple[str, Frames]:
        clips = self.val if len(self.val) else self.clips
        rows = []
        for index in range(min(6, len(clips))):
            frames = self._whole(clips, index)
            video = to_tensor([frames]).to(pick_device())
            recon = ((self._reconstruct(video)[0].permute(1, 2, 3, 0) + 1) * 127.5).round().byte().cpu().numpy()
            picks = np.linspace(0, len(frames) - 1, 4).round().astype(int)
            rows.append(np.concatenate([f[k] for f in (frames, recon) for k in picks], axis=1))
        width = max(row.shape[1] for row in rows)
        padded = [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0))) for row in rows]
        return "held-out clips: four frames of the original, the same four reconstructed", np.concatenate(padded)

    def export(self, folder: Path, position: Position) -> None:
        # with the encoder as it was, latents, and what was trained on them, stay valid to the last bit
        vae = self.vae if self.settings.decoder_only else self._in_basis()
        save_vae(vae, folder, {
            "kind": "vae", "steps": position.step, "samples_seen": position.samples_seen,
            "seconds": round(position.seconds), "settings": self.settings.model_dump(), "scores": self.validate(),
        })

    @torch.no_grad()
    def _reconstruct(self, video: Tensor) -> Tensor:
        with autocast():
            return self.vae.decode(self.vae.encode(video).mean).float()

    def _in_basis(self) -> VideoVAE:
        """The network as it is, with its latents in a basis made like the picture, and their statistics."""
        picks = range(0, len(self.clips), max(1, len(self.clips) // BASIS_CLIPS))
        videos = [to_tensor([self._whole(self.clips, index)]).to(pick_device()) for index in picks]
        vae = deepcopy(self.vae)
        return change_basis(vae, find_basis(vae, videos), self.settings.evenness)

    def _whole(self, clips: Clips, index: int) -> Frames:
        """The longest stretch of a clip that is on the causal grid, at most 33 frames."""
        frames = clips.frames([index])[0]
        time = self.vae.stride.time
        return window(frames, 0, 1 + time * min((len(frames) - 1) // time, 32 // time))


def vae_recipe(data: Path, settings: VaeSettings, source: Path | None) -> VaeRecipe:
    """Open the data, and the VAE to go on from, if any. The grid is two latent positions: what a DiT folds into one."""
    given = settings.model_fields_set & ARCHITECTURE
    if source and given:
        raise SettingError(f"--set {min(given)} does not go with --from: the network in {source} has its own")
    if settings.decoder_only and source is None:
        raise SettingError("--set decoder_only=true needs --from: the network whose encoder is kept")
    torch.manual_seed(settings.seed)
    start = load_vae(source) if source else None
    if start and "channels" in settings.model_fields_set and settings.channels != start.config.z_dim:
        start = grow(start, settings.channels)
    stride = (start.config if start else vae_config(settings)).stride
    grid = Stride(stride.time, 2 * stride.height, 2 * stride.width)
    train, val = open_splits(data, size=settings.size, fps=settings.fps, stride=grid)
    return VaeRecipe(train, val, settings, start)

