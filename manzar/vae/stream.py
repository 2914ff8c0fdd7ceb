"""A clip of any length through the autoencoder, piece by piece, in memory that one piece fixes.

The network is causal: of what went before, a convolution along time needs the last two frames, a halving of time the
last one. A stream keeps those and nothing else, so what comes out is what `VideoVAE.encode` and `decode` give for the
whole clip at once, however it is cut. With stride r in time the pieces are

    pixels     1 + r·k frames first, r·k in every later piece
    latents    1 + k frames first, k in every later piece

One stream carries one clip; begin the next clip with a new one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from manzar.nouns import ShapeError, VideoShape
from manzar.vae.blocks import Past
from manzar.vae.model import Posterior, VideoVAE


class EncoderStream:
    """`push` pieces of a video in their order; each returns the latents of that piece."""

    def __init__(self, vae: VideoVAE) -> None:
        self.vae, self._clip = vae, _Clip()

    @torch.no_grad()
    def push(self, video: Tensor) -> Posterior:
        """Pixels (B, 3, T, H, W) in [−1, 1] -> the posterior of their latents (B, c, t, h, w).

        Raises ShapeError off the grid of the VAE's stride, or for a piece of another size than the first.
        """
        if video.ndim != 5 or video.shape[1] != 3:
            raise ShapeError(f"a video of shape {tuple(video.shape)}; (B, 3, T, H, W) is needed")
        time = self.vae.stride.time
        if not self._clip.begun:
            VideoShape(*video.shape[2:]).latent(self.vae.stride)
        elif video.shape[2] % time:
            raise ShapeError(f"{video.shape[2]} frames in a later piece of a clip; a multiple of {time} is needed")
        with self._clip.piece(video) as past:
            return self.vae.encode_piece(video, past)


class DecoderStream:
    """`push` pieces of a clip's latents in their order; each returns the frames of that piece."""

    def __init__(self, vae: VideoVAE) -> None:
        self.vae, self._clip = vae, _Clip()

    @torch.no_grad()
    def push(self, latents: Tensor) -> Tensor:
        """Latents (B, c, t, h, w), as `VideoVAE.decode` takes them -> pixels (B, 3, T, H, W) in [−1, 1], fp32.

        T is 1 + r·(t − 1) for the first piece, r·t for a later one. Raises ShapeError for latents of another model,
        or for a piece of another size than the first.
        """
        channels = self.vae.config.z_dim
        if latents.ndim != 5 or latents.shape[1] != channels:
            raise ShapeError(f"latents of shape {tuple(latents.shape)}; (B, {channels}, t, h, w) is needed")
        with self._clip.piece(latents) as past:
            return self.vae.decode_piece(latents, past)


class _Clip:
    """Where a stream stands: what the network has seen, and the size that all pieces share."""

    def __init__(self) -> None:
        self._past: Past | None = Past()
        self._size: tuple[int, ...] = ()  # (B, H, W), in latents for a decoder

    @property
    def begun(self) -> bool:
        return bool(self._size)

    @contextmanager
    def piece(self, x: Tensor) -> Iterator[Past]:
        """The past to run the piece x with; it counts as seen when the block ends well.

        A block that fails leaves a past of which only some parts have moved on, so nothing may follow.
        """
        batch, _, frames, *sides = x.shape
        size = (batch, *sides)
        if frames == 0 or size != (self._size or size):
            raise ShapeError(
                f"a piece of shape {tuple(x.shape)}; at least one frame of (B, H, W) = {self._size or size} is needed"
            )
        past, self._past = self._past, None
        assert past is not None, "a piece of this clip failed half-way; begin again with a new stream"
        yield past
        past.begun = True
        self._past, self._size = past, size
