"""Which pretrained networks the dimensions need, where they are on this machine, and whether they are the right ones.

Nothing is downloaded. A network is looked for in the folders a person names, then in the hub's cache. Its checksum is
compared where its makers published one, and every tensor must fit by name and shape: a wrong checkpoint leaves its
dimensions unscored, with what was found and what was expected, rather than giving numbers under a right one's name.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import pickle
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from manzar.score.dimension import Unscored

STOCK_NAMES = ("model.safetensors", "pytorch_model.bin")  # as transformers writes them
VOCABULARY_NAMES = ("bpe_simple_vocab_16e6.txt.gz", "vocab.json")  # OpenAI's; transformers', with merges.txt beside it
DEPTH = 3  # a file may lie this deep in a folder named by a person: the original's cache has folders of folders
UNREADABLE = (OSError, RuntimeError, EOFError, KeyError, ValueError, pickle.UnpicklingError, zipfile.BadZipFile,
              SafetensorError)  # fmt: skip


@dataclass(frozen=True)
class Checkpoint:
    """One published network.

    files: names to look for, in order.
    source: where people get it: the project and the file.
    sha256: of the first of `files`, all of it or as many digits as were published; None where nobody published one.
    load: "module:function" that takes the file and gives the network; empty where its answers come as files instead.
    hub: the hub's repository that holds one of `files`, or, if `stock`, the same network as transformers writes it.
    vocabulary: its text side needs one of VOCABULARY_NAMES as well.
    """

    name: str
    files: tuple[str, ...]
    source: str
    licence: str
    noncommercial: bool
    sha256: str | None
    load: str = ""
    hub: str = ""
    stock: bool = False
    vocabulary: bool = False

    @property
    def wanted(self) -> str:
        """What is missing and how to come by it, for people."""
        also = f" (or the folder {self.hub.rsplit('/')[-1]} with {STOCK_NAMES[0]})" if self.stock else ""
        return (f"{self.name} is not here: put {self.files[0]}{also} from {self.source} ({self.terms}) into a folder "
                "and name it with --weights FOLDER")

    @property
    def terms(self) -> str:
        return f"{self.licence}, not for commercial use" if self.noncommercial else self.licence


_ROWS = (
    Checkpoint(
        "dino_vitb16", ("dino_vitbase16_pretrain.pth",), "facebookresearch/dino on GitHub", "Apache-2.0", False, None,
        "manzar.score.backbones.dino:load", hub="facebook/dino-vitb16", stock=True,
    ),
    Checkpoint(
        "clip_vitb32", ("ViT-B-32.pt",), "openai/CLIP on GitHub", "MIT", False,
        "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
        "manzar.score.backbones.clip:load_b32", hub="openai/clip-vit-base-patch32", stock=True, vocabulary=True,
    ),
    Checkpoint(
        "clip_vitl14", ("ViT-L-14.pt",), "openai/CLIP on GitHub", "MIT", False,
        "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836",
        "manzar.score.backbones.clip:load_l14", hub="openai/clip-vit-large-patch14", stock=True,
    ),
    Checkpoint(
        "laion_aesthetic", ("sa_0_4_vit_l_14_linear.pth",), "LAION-AI/aesthetic-predictor on GitHub", "MIT", False,
        "2cd4e60f4f24ae3bcd57b847b13c1f3ba27edc28cc1a7f9ce74ee9f421243cba", "manzar.score.backbones.aesthetic:load",
    ),
    Checkpoint(
        "raft_things", ("raft-things.pth",), "princeton-vl/RAFT on GitHub, models.zip", "BSD-3-Clause", False, None,
        "manzar.score.backbones.raft:load",
    ),
    Checkpoint(
        "amt_s", ("amt-s.pth",), "MCG-NKU/AMT on GitHub", "CC BY-NC 4.0", True, None,
        "manzar.score.backbones.amt:load", hub="lalala125/AMT",
    ),
    Checkpoint(
        "musiq_spaq", ("musiq_spaq_ckpt-358bb6af.pth",), "chaofengc/IQA-PyTorch on GitHub, release v0.1-weights",
        "PolyForm-Noncommercial-1.0.0", True, "358bb6af", "manzar.score.backbones.musiq:load",
    ),
    Checkpoint(
        "umt_l16_k400", ("l16_ptk710_ftk710_ftk400_f16_res224.pth",), "OpenGVLab/VBench_Used_Models on Hugging Face",
        "no licence stated by its authors", False, None, "manzar.score.backbones.umt:load",
        hub="OpenGVLab/VBench_Used_Models",
    ),
    Checkpoint(
        "viclip_internvid", ("ViClip-InternVid-10M-FLT.pth",), "OpenGVLab/VBench_Used_Models on Hugging Face",
        "MIT", False, None, "manzar.score.backbones.viclip:load", hub="OpenGVLab/VBench_Used_Models",
        vocabulary=True,
    ),
    Checkpoint(
        "tag2text_swin", ("tag2text_swin_14m.pth",), "xinyu1205/recognize-anything on Hugging Face", "Apache-2.0",
        False, None,
    ),
    Checkpoint(
        "grit", ("grit_b_densecap_objectdet.pth",), "OpenGVLab/VBench_Used_Models on Hugging Face", "MIT", False, None,
        hub="OpenGVLab/VBench_Used_Models",
    ),
)
CHECKPOINTS: dict[str, Checkpoint] = {row.name: row for row in _ROWS}


def find(name: str, weights: Sequence[Path]) -> Path | None:
    """The file of a checkpoint: in `weights`, the first folder first, then in the hub's cache; None if in neither.

    A folder that transformers wrote counts by its name: clip-vit-base-patch32/model.safetensors.
    """
    row = CHECKPOINTS[name]
    stock = [f"{row.hub.rsplit('/')[-1]}/{file}" for file in STOCK_NAMES] if row.stock else []
    for folder in weights:
        for wanted in (*row.files, *stock):
            for found in _within(folder, wanted):
                return found
    return _cached(row.hub, (*row.files, *(STOCK_NAMES if row.stock else ())))


def _within(folder: Path, wanted: str) -> Iterator[Path]:
    """Files named `wanted` (a name, or folder/name) in a folder, the shallowest first."""
    parent, _, name = wanted.rpartition("/")
    if parent and folder.name == parent and (folder / name).is_file():
        yield folder / name
    for depth in range(DEPTH):
        yield from sorted(path for path in folder.glob("*/" * depth + wanted) if path.is_file())


def _cached(hub: str, names: Sequence[str]) -> Path | None:
    """The first of these files that the hub's cache has of a repository; the network is never asked."""
    if not hub:
        return None
    from huggingface_hub import try_to_load_from_cache

    for name in names:
        found = try_to_load_from_cache(hub, name)
        if isinstance(found, str):
            return Path(found)
    return None


def find_vocabulary(weights: Sequence[Path]) -> Path | None:
    """The file of CLIP's byte-pair vocabulary, which ViCLIP shares: in `weights`, then in the hub's cache."""
    for folder in weights:
        for wanted in VOCABULARY_NAMES:
            for found in _within(folder, wanted):
                if wanted != "vocab.json" or found.with_name("merges.txt").is_file():
                    return found
    for name in ("clip_vitb32", "clip_vitl14"):
        cached = _cached(CHECKPOINTS[name].hub, ("vocab.json",))
        if cached is not None and cached.with_name("merges.txt").is_file():
            return cached
    return None


def vocabulary(weights: Sequence[Path]) -> Path:
    """What `find_vocabulary` finds. Raises Unscored, with the way out, where there is none."""
    found = find_vocabulary(weights)
    if found is None:
        raise Unscored(f"CLIP's vocabulary is not here: put {VOCABULARY_NAMES[0]} from openai/CLIP on GitHub (MIT) "
                       "into a folder and name it with --weights FOLDER")
    return found


def missing(weights: Sequence[Path]) -> list[Checkpoint]:
    """The checkpoints that are not on this machine; `.wanted` of each says where it comes from and on what terms."""
    return [row for name, row in CHECKPOINTS.items() if find(name, weights) is None]


def checksum(path: Path) -> str:
    """sha256 of a file, hexadecimal; counted again only after the file has changed."""
    stat = path.stat()
    return _checksum(path.resolve(), stat.st_size, stat.st_mtime_ns)


@functools.cache
def _checksum(path: Path, size: int, changed_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verified(name: str, path: Path) -> bool:
    """Whether the file's checksum is a published one; False where there is none to compare with.

    Raises Unscored if there is one and it differs.
    """
    row = CHECKPOINTS[name]
    if row.sha256 is None or path.name != row.files[0]:
        return False
    digest = checksum(path)
    if not digest.startswith(row.sha256):
        raise Unscored(f"{path} is not {name}: its sha256 is {digest[: len(row.sha256)]}, expected {row.sha256}; get "
                       f"{path.name} again from {row.source}")
    return True


def load_backbone(name: str, weights: Sequence[Path], device: torch.device) -> nn.Module:
    """The network in eval mode on a device, in float32, its parameters frozen.

    Raises Unscored if its file is not here, is damaged, has another checksum, or holds other tensors.
    """
    row = CHECKPOINTS[name]
    if not row.load:
        raise Unscored(f"{name} does not run here; give what it saw in the files of --sightings")
    path = find(name, weights)
    if path is None:
        raise Unscored(row.wanted)
    verified(name, path)
    module, _, function = row.load.partition(":")
    network = cast(nn.Module, getattr(importlib.import_module(module), function)(path))
    return network.float().eval().requires_grad_(False).to(device)


def read_checkpoint(path: Path, inside: Sequence[str] = ()) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name, on the CPU: safetensors, torch.save or a TorchScript archive.

    inside: keys under which a file may keep its tensors; the first that is there is taken. No code in a file is run:
    pickles are opened for tensors only. Raises Unscored for a file that cannot be read or holds no tensors.
    """
    try:
        stored = _stored(path)
    except UNREADABLE as error:
        reason = str(error).partition("\n")[0]
        raise Unscored(f"{path} cannot be read ({reason or type(error).__name__}); get it again") from error
    for key in inside:
        if isinstance(stored.get(key), Mapping):
            stored = stored[key]
            break
    tensors = {key: value for key, value in stored.items() if isinstance(value, Tensor)}
    if not tensors:
        raise Unscored(f"{path} holds no tensors, but {', '.join(map(str, list(stored)[:5])) or 'nothing'}")
    return tensors


def _stored(path: Path) -> dict[str, Any]:
    """What the file holds, a mapping."""
    if path.suffix == ".safetensors":
        return dict(load_file(path))
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            scripted = any(name.endswith("/constants.pkl") for name in archive.namelist())
        if scripted:
            return dict(torch.jit.load(str(path), map_location="cpu").state_dict())  # type: ignore[no-untyped-call]
    stored = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(stored, Mapping):
        raise ValueError(f"a {type(stored).__name__}, not a table of tensors")
    return dict(stored)


def fill(network: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> nn.Module:
    """Put tensors into a network, every one matched by name and shape; else Unscored names the first misfit.

    A network made on torch's meta device, where no time is lost on random numbers, takes the tensors as they are.
    """
    own = network.state_dict()
    for name in own:
        if name not in tensors:
            raise Unscored(f"{path} is another network: it lacks the tensor {name}, one of the {len(own)} expected")
    for name, tensor in tensors.items():
        if name not in own:
            raise Unscored(f"{path} is another network: its tensor {name} is none of the {len(own)} expected")
        if tensor.shape != own[name].shape:
            raise Unscored(f"{path} is another network: its tensor {name} has shape {tuple(tensor.shape)}, expected "
                           f"{tuple(own[name].shape)}")
    if any(parameter.is_meta for parameter in network.parameters()):
        converted = {name: tensor.to(own[name].dtype) for name, tensor in tensors.items()}
        network.load_state_dict(converted, assign=True)
    else:
        network.load_state_dict(tensors)
    return network
