"""Which chip, and which number format on it: chosen once, here. Nothing else names a vendor."""

from __future__ import annotations

import functools
import os
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch

from manzar.nouns import UsageError

Precision = Literal["bf16", "fp32"]


@functools.cache
def pick_device() -> torch.device:
    """The accelerator that torch finds, else the CPU. MANZAR_DEVICE=cpu forces the CPU."""
    forced = os.environ.get("MANZAR_DEVICE")
    if forced:
        try:
            return torch.device(forced)
        except RuntimeError:
            raise UsageError(f"MANZAR_DEVICE={forced} is no device that torch knows; cpu, cuda or mps") from None
    if torch.accelerator.is_available():
        accelerator = torch.accelerator.current_accelerator()
        assert accelerator is not None
        return accelerator
    return torch.device("cpu")


@functools.cache
def pick_precision() -> Precision:
    """bf16 autocast where the chip multiplies in bf16; fp32 elsewhere; never fp16 (a hundred times slower on CPUs)."""
    device = pick_device()
    if device.type == "cpu":
        return "bf16" if torch.cpu._is_avx512_bf16_supported() else "fp32"
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    return "fp32"


def autocast(precision: Precision | None = None) -> AbstractContextManager[object]:
    """Context in which linears and convolutions run in the fast format; weights stay fp32."""
    if (precision or pick_precision()) == "fp32":
        return nullcontext()
    return torch.autocast(pick_device().type, dtype=torch.bfloat16)


def peak_memory_bytes() -> int:
    """Most memory held so far: by the accelerator, or on a CPU by this process."""
    device = pick_device()
    if device.type == "cpu":
        import resource
        import sys

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    return torch.accelerator.max_memory_allocated(device)


def describe(precision: Precision | None = None) -> str:
    """One line for people: the chip, its threads if it is a CPU, and the precision, `pick_precision`'s if none is
    named."""
    device = pick_device()
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    elif device.type == "cpu":
        name = f"CPU, {torch.get_num_threads()} threads"
    else:
        name = device.type
    return f"{name}, {precision or pick_precision()}"
