"""Model files: what is written is read back, what is unsafe or damaged is refused in one line, nothing half-written."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from manzar import weights
from manzar.nouns import ModelError, StorageError

NAME = weights.WEIGHT_NAMES[0]


def tensors() -> dict[str, Tensor]:
    return {
        "matrix": torch.randn(3, 4),
        "half": torch.randn(5).bfloat16(),
        "scalar": torch.tensor(2.5),
        "nan": torch.tensor([float("nan"), 1.0]),
        "strided": torch.randn(4, 3).T,
        "empty": torch.empty(0, 3),
    }


def same(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and torch.allclose(a, b, rtol=0, atol=0, equal_nan=True)


def one_line(error: pytest.ExceptionInfo[Any]) -> str:
    message = str(error.value)
    assert "\n" not in message, message
    return message


def test_tensors_come_back(tmp_path: Path) -> None:
    stored = tensors()
    weights.write_tensors(tmp_path / "a.safetensors", stored)
    read = weights.read_tensors(tmp_path / "a.safetensors")
    assert read.keys() == stored.keys()
    assert all(same(read[name], stored[name]) for name in stored)
    assert [file.name for file in tmp_path.iterdir()] == ["a.safetensors"]


def test_tied_tensors_are_written(tmp_path: Path) -> None:
    """Two names of one storage, as tied embeddings are, and views of a larger one."""
    base = torch.randn(4, 4)
    weights.write_tensors(tmp_path / "a.safetensors", {"a": base, "b": base, "row": base[1]})
    read = weights.read_tensors(tmp_path / "a.safetensors")
    assert torch.equal(read["a"], base)
    assert torch.equal(read["b"], base)
    assert torch.equal(read["row"], base[1])


def test_a_write_that_went_wrong_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.safetensors"
    weights.write_tensors(path, {"a": torch.zeros(3)})

    def spoil(stored: dict[str, Tensor], target: Path, metadata: dict[str, str]) -> None:
        save_file({name: tensor + 1 for name, tensor in stored.items()}, target, metadata)

    monkeypatch.setattr(weights, "save_file", spoil)
    with pytest.raises(StorageError, match="tensor a read back differs"):
        weights.write_tensors(path, {"a": torch.ones(3)})
    assert torch.equal(weights.read_tensors(path)["a"], torch.zeros(3))
    assert [file.name for file in tmp_path.iterdir()] == ["a.safetensors"]


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(weights, "save_file", full)
    with pytest.raises(StorageError, match="free some space") as error:
        weights.write_tensors(tmp_path / "a.safetensors", {"a": torch.ones(3)})
    assert one_line(error)
    assert not list(tmp_path.iterdir())


def test_json_is_whole_or_absent(tmp_path: Path) -> None:
    weights.write_json(tmp_path / "a.json", {"name": "منظر"})
    assert weights.read_json(tmp_path / "a.json") == {"name": "منظر"}
    with pytest.raises(TypeError):
        weights.write_json(tmp_path / "b.json", {"a": object()})
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"{", "is not JSON"), (b"[1]", "holds a list"), (b"\xff\xfe", "is not JSON"), (None, "is missing")],
)
def test_bad_json(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ModelError, match=message) as error:
        weights.read_json(tmp_path / "a.json")
    assert "a.json" in one_line(error)


@pytest.mark.parametrize("zipped", [True, False])
def test_pickles_are_refused_under_any_name(tmp_path: Path, zipped: bool) -> None:
    for name in ("model.bin", "model.pt", "model.safetensors"):
        torch.save({"a": torch.ones(2)}, tmp_path / name, _use_new_zipfile_serialization=zipped)
        with pytest.raises(ModelError, match="is a pickle") as error:
            weights.read_tensors(tmp_path / name)
        assert name in one_line(error)


def test_damaged_files(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    weights.write_tensors(path, tensors())
    whole = path.read_bytes()
    for damaged in (b"", whole[:20], whole[:-8], b"\xff" * 64):
        path.write_bytes(damaged)
        with pytest.raises(ModelError, match="is not readable safetensors") as error:
            weights.read_tensors(path)
        assert one_line(error)


def write_sharded(folder: Path) -> dict[str, Tensor]:
    stored = {"a": torch.randn(2), "b": torch.randn(3), "c": torch.randn(4)}
    where = {"a": "one.safetensors", "b": "two.safetensors", "c": "two.safetensors"}
    folder.mkdir()
    for shard in set(where.values()):
        save_file({name: stored[name] for name in stored if where[name] == shard}, folder / shard)
    (folder / f"{NAME}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))
    return stored


def test_shards_are_joined(tmp_path: Path) -> None:
    stored = write_sharded(tmp_path / "part")
    read = weights.read_part(tmp_path / "part")
    assert read.keys() == stored.keys()
    assert all(torch.equal(read[name], stored[name]) for name in stored)


def test_bad_shards(tmp_path: Path) -> None:
    folder = tmp_path / "part"
    write_sharded(folder)
    index = folder / f"{NAME}.index.json"
    good = json.loads(index.read_text())

    def refused(value: object, message: str) -> None:
        index.write_text(json.dumps(value))
        with pytest.raises(ModelError, match=message) as error:
            weights.read_part(folder)
        assert one_line(error)

    refused({}, "weight_map")
    refused({"weight_map": ["one.safetensors"]}, "weight_map")
    refused({"weight_map": {"a": "../../secret.safetensors"}}, "outside")
    refused({"weight_map": {"a": "/etc/hosts"}}, "outside")
    refused({"weight_map": {"a": "pickled.bin"}}, "is a pickle")
    index.write_text(json.dumps(good))
    (folder / "two.safetensors").unlink()
    with pytest.raises(ModelError, match=r"two\.safetensors is missing"):
        weights.read_part(folder)


def test_parts_without_safe_weights(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is missing from the model folder"):
        weights.read_part(tmp_path / "vae")
    (tmp_path / "vae").mkdir()
    with pytest.raises(ModelError, match="holds no"):
        weights.read_part(tmp_path / "vae")
    torch.save({}, tmp_path / "vae/diffusion_pytorch_model.bin")
    with pytest.raises(ModelError, match="only pickled weights"):
        weights.read_part(tmp_path / "vae")


def test_load_strict_names_the_misfit() -> None:
    module = nn.Linear(3, 2)
    good = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    weights.load_strict(module, {name: tensor.bfloat16() for name, tensor in good.items()}, "vae")
    assert module.weight.dtype == torch.float32
    with pytest.raises(ModelError, match="vae: tensor bias is missing"):
        weights.load_strict(module, {"weight": good["weight"]}, "vae")
    with pytest.raises(ModelError, match="vae: tensor stray is not part"):
        weights.load_strict(module, {**good, "stray": torch.ones(1)}, "vae")
    with pytest.raises(ModelError, match=r"tensor weight has shape \(2, 4\).*asks for \(2, 3\)"):
        weights.load_strict(module, {**good, "weight": torch.ones(2, 4)}, "vae")


def test_replacing_swaps_whole_folders(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "old").write_text("old")

    def fail() -> None:
        with weights.replacing(folder) as scratch:
            (scratch / "new").write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [file.name for file in folder.iterdir()] == ["old"]
    with weights.replacing(folder) as scratch:
        (scratch / "new").write_text("whole")
    assert [file.name for file in folder.iterdir()] == ["new"]
    assert [file.name for file in tmp_path.iterdir()] == ["model"]
