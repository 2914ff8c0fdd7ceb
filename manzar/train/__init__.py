"""One training loop, and the small recipes over it.

Read in this order: loop, settings, vae, denoise; then data, latents, buckets, optimiser, ema, checkpoint, forecast,
log, page, run.
"""

from manzar.train.loop import Budget, Outcome, train
from manzar.train.run import train_run

__all__ = ["Budget", "Outcome", "train", "train_run"]
