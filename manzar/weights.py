"""Model folders: safetensors and config.json as diffusers and transformers write them, and only here.

    FOLDER/model_index.json  transformer/  vae/  text_encoder/  tokenizer/  scheduler/  manzar.json

Tensors are matched strictly: a missing, unknown or mis-shaped one is a ModelError that names it. Pickles are refused.
Every write goes to a temporary name first and is read back and compared before it takes its place.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from manzar.nouns import ModelError, StorageError, storage

PICKLE_SUFFIXES = {".bin", ".pt", ".pth", ".ckpt", ".pkl"}
WEIGHT_NAMES = ("diffusion_pytorch_model.safetensors", "model.safetensors")  # diffusers' name, transformers' name


def beside(path: Path, suffix: str = "tmp") -> Path:
    """A hidden name next to `path` that no other process uses."""
    return path.with_name(f".{path.name}.{os.getpid()}.{suffix}")


def sweep(folder: Path) -> None:
    """Remove what killed processes left half-written in a folder that is this process's alone."""
    for left in (*folder.glob(".*.tmp"), *folder.glob(".*.old")):
        shutil.rmtree(left) if left.is_dir() else left.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a small file so that a reader sees the old content or the new, never half of it."""
    with storage(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = beside(path)
        try:
            with open(temporary, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; ModelError if it is absent or not one."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{path} is missing") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ModelError(f"{path} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ModelError(f"{path} holds a {type(value).__name__}; an object is needed")
    return value


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of one safetensors file. Raises ModelError for a pickle, a damaged or a missing file."""
    if path.suffix in PICKLE_SUFFIXES:
        raise ModelError(f"{path} is a pickle, which can run code when opened; convert it to safetensors first")
    try:
        tensors: dict[str, Tensor] = load_file(path)
        return tensors
    except FileNotFoundError:
        raise ModelError(f"{path} is missing") from None
    except (SafetensorError, OSError) as error:
        head = path.read_bytes()[:2] if path.is_file() else b""
        if head in (b"PK", b"\x80\x02"):  # zip (torch.save) or a bare pickle
            raise ModelError(f"{path} is a pickle under another name; convert it to safetensors first") from None
        raise ModelError(f"{path} is not readable safetensors: {error}") from None


def read_metadata(path: Path) -> dict[str, str]:
    """The text table in the head of a safetensors file that `read_tensors` can read."""
    with safe_open(path, "pt") as file:
        return dict(file.metadata() or {})


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write atomically, then read back and compare bit for bit before the file takes its name."""
    stored = unshared(tensors)
    with storage(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = beside(path)
        try:
            save_file(stored, temporary, metadata={"format": "pt", **(metadata or {})})
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
            temporary.chmod(path.parent.stat().st_mode & 0o666)  # safetensors makes files that only the owner can read
            read = load_file(temporary)
            for name, tensor in stored.items():
                if not torch.equal(as_bytes(read[name]), as_bytes(tensor)):
                    raise StorageError(f"{path}: tensor {name} read back differs from what was written")
            temporary.replace(path)
        except SafetensorError as error:
            number = re.search(r"os error (\d+)", str(error))  # all that safetensors keeps of the system's error
            if number is None:
                raise
            raise OSError(int(number[1]), os.strerror(int(number[1]))) from error
        finally:
            temporary.unlink(missing_ok=True)


def unshared(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous on the CPU, each in a memory of its own: safetensors does not write two names of one storage."""
    own: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        tensor = tensor.detach().to("cpu").contiguous()
        own[name] = tensor.clone() if tensor.untyped_storage().data_ptr() in seen else tensor
        seen.add(tensor.untyped_storage().data_ptr())
    return own


def as_bytes(tensor: Tensor) -> Tensor:
    """The bit pattern, in which even NaN equals itself."""
    return tensor.reshape(-1).view(torch.uint8)


def read_part(folder: Path) -> dict[str, Tensor]:
    """The tensors of one part (transformer/, vae/, text_encoder/), sharded or whole."""
    if not folder.is_dir():
        raise ModelError(f"{folder} is missing from the model folder")
    for name in WEIGHT_NAMES:
        index = folder / f"{name}.index.json"
        if index.is_file():
            return {key: value for shard in shards(index) for key, value in read_tensors(shard).items()}
        if (folder / name).is_file():
            return read_tensors(folder / name)
    pickles = sorted(file.name for file in folder.iterdir() if file.suffix in PICKLE_SUFFIXES)
    if pickles:
        raise ModelError(f"{folder} holds only pickled weights ({pickles[0]}), which can run code when opened; "
                         f"convert them to {WEIGHT_NAMES[0]}")
    raise ModelError(f"{folder} holds no {WEIGHT_NAMES[0]} or {WEIGHT_NAMES[1]}")


def shards(index: Path) -> list[Path]:
    """The files that an index names. Raises ModelError for one outside the folder of the index."""
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(name, str) for name in weight_map.values()):
        raise ModelError(f"{index} has no weight_map of tensor names to file names")
    names = sorted(set(weight_map.values()))
    for name in names:
        if Path(name).name != name:
            raise ModelError(f"{index} names {name}, outside its own folder; shards must lie beside their index")
    return [index.parent / name for name in names]


def load_strict(module: nn.Module, tensors: Mapping[str, Tensor], place: str | Path) -> None:
    """Copy tensors into a module, every one matched by name and shape; else a ModelError names the first misfit."""
    own = module.state_dict()
    missing = sorted(own.keys() - tensors.keys())
    unknown = sorted(tensors.keys() - own.keys())
    if missing:
        raise ModelError(f"{place}: tensor {missing[0]} is missing ({len(missing)} in all)")
    if unknown:
        raise ModelError(f"{place}: tensor {unknown[0]} is not part of this model ({len(unknown)} in all)")
    for name, tensor in tensors.items():
        if tensor.shape != own[name].shape:
            raise ModelError(f"{place}: tensor {name} has shape {tuple(tensor.shape)}, "
                             f"the configuration asks for {tuple(own[name].shape)}")
    module.load_state_dict(tensors)


def write_part(
    folder: Path, tensors: Mapping[str, Tensor], config: Mapping[str, Any], name: str = WEIGHT_NAMES[0]
) -> None:
    """Write config.json and the weights of one part."""
    write_json(folder / "config.json", config)
    write_tensors(folder / name, tensors)


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """A scratch folder that takes the place of `folder` when the block ends well, and vanishes when it does not."""
    scratch, old = beside(folder), beside(folder, "old")
    with storage(folder):
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        try:
            yield scratch
            shutil.rmtree(old, ignore_errors=True)
            if folder.exists():
                folder.rename(old)
            scratch.rename(folder)
            shutil.rmtree(old, ignore_errors=True)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
