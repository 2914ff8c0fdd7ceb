"""Video to latents and back."""

from manzar.vae.basis import change_basis as change_basis
from manzar.vae.basis import find_basis as find_basis
from manzar.vae.config import SMALL as SMALL
from manzar.vae.config import VAEConfig as VAEConfig
from manzar.vae.grow import grow as grow
from manzar.vae.losses import vae_loss as vae_loss
from manzar.vae.metrics import psnr as psnr
from manzar.vae.metrics import ssim as ssim
from manzar.vae.model import Posterior as Posterior
from manzar.vae.model import VideoVAE as VideoVAE
from manzar.vae.stream import DecoderStream as DecoderStream
from manzar.vae.stream import EncoderStream as EncoderStream
