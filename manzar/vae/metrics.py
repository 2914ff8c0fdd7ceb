"""How near a reconstruction is: PSNR and SSIM of videos (B, C, T, H, W) in [−1, 1], one number per video."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

RANGE = 2.0  # from −1 to 1
WINDOW = 11  # pixels; Wang et al. 2004, section III-C, with σ = 1.5
SIGMA = 1.5


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """(B,) peak signal-to-noise ratio in dB over each whole video; infinite where the two are equal."""
    assert a.shape == b.shape, f"{tuple(a.shape)} against {tuple(b.shape)}"
    error = (a.float() - b.float()).square().flatten(1).mean(1)
    return 10 * torch.log10(RANGE**2 / error)


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """(B,) structural similarity, the mean over frames, channels and every whole window (Wang et al. 2004, eq. 13).

    Frames smaller than the window are compared through the largest odd window that fits.
    """
    assert a.shape == b.shape, f"{tuple(a.shape)} against {tuple(b.shape)}"
    x, y = (_planes(video.float()) for video in (a, b))  # (B·C·T, 1, H, W)
    c1, c2 = (0.01 * RANGE) ** 2, (0.03 * RANGE) ** 2
    mean_x, mean_y, xx, yy, xy = _blur(torch.cat([x, y, x * x, y * y, x * y])).chunk(5)
    var_x, var_y, cov = xx - mean_x**2, yy - mean_y**2, xy - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * cov + c2) / (var_x + var_y + c2)
    return (luminance * structure).view(len(a), -1).mean(1)


def _planes(video: Tensor) -> Tensor:
    return video.reshape(-1, 1, *video.shape[-2:])


def _blur(planes: Tensor) -> Tensor:
    """Gaussian mean of every window that lies wholly inside: (N, 1, H, W) -> (N, 1, H − 10, W − 10)."""
    side = min(WINDOW, *(length - (length + 1) % 2 for length in planes.shape[-2:]))
    distance = torch.arange(side, device=planes.device, dtype=planes.dtype) - side // 2
    window = torch.exp(-0.5 * (distance / SIGMA).square())
    window = window / window.sum()
    return F.conv2d(F.conv2d(planes, window.view(1, 1, -1, 1)), window.view(1, 1, 1, -1))
