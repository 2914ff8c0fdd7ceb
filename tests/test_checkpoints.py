"""Checkpoints: found where they lie, refused where they are not what their name says, missed in words of use."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from manzar.score import checkpoints
from manzar.score.checkpoints import (
    CHECKPOINTS,
    checksum,
    fill,
    find,
    find_vocabulary,
    load_backbone,
    missing,
    read_checkpoint,
    verified,
    vocabulary,
)
from manzar.score.dimension import Unscored

CPU = torch.device("cpu")
HEAD = "sa_0_4_vit_l_14_linear.pth"


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache of the hub, whatever this machine's own one holds, and a head whose checksum nobody published."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    row = CHECKPOINTS["laion_aesthetic"]
    monkeypatch.setitem(CHECKPOINTS, row.name, dataclasses.replace(row, sha256=None))


def head(folder: Path, **changed: torch.Tensor) -> Path:
    """LAION's head, small enough to be written at its true size."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({"weight": torch.randn(1, 768), "bias": torch.randn(1)} | changed, folder / HEAD)
    return folder / HEAD


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


def test_the_first_folder_wins_and_shallow_files_come_before_deep_ones(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    deep, shallow = touch(first / "raft_model/models/raft-things.pth"), touch(first / "models/raft-things.pth")
    touch(second / "raft-things.pth")
    assert find("raft_things", [first, second]) == shallow
    assert find("raft_things", [second, first]) == second / "raft-things.pth"
    shallow.unlink()
    assert find("raft_things", [first]) == deep
    assert find("raft_things", [tmp_path / "absent"]) is None


def test_folders_of_transformers_count_by_their_name(tmp_path: Path) -> None:
    stock = touch(tmp_path / "clip-vit-base-patch32/model.safetensors")
    touch(tmp_path / "some-other-model/model.safetensors")
    assert find("clip_vitb32", [tmp_path]) == stock
    assert find("clip_vitb32", [stock.parent]) == stock
    assert find("clip_vitl14", [tmp_path]) is None
    own = touch(tmp_path / "ViT-B-32.pt")
    assert find("clip_vitb32", [tmp_path]) == own  # the file whose checksum is known is asked first


def test_the_cache_of_the_hub_is_asked_last(tmp_path: Path) -> None:
    snapshot = tmp_path / "hub/models--OpenGVLab--VBench_Used_Models"
    cached = touch(snapshot / "snapshots/abc/ViClip-InternVid-10M-FLT.pth")
    touch(snapshot / "refs/main").write_text("abc")
    assert find("viclip_internvid", []) == cached
    assert find("umt_l16_k400", []) is None
    own = touch(tmp_path / "own/ViClip-InternVid-10M-FLT.pth")
    assert find("viclip_internvid", [own.parent]) == own


def test_what_is_missing_says_what_from_where_and_on_what_terms(tmp_path: Path) -> None:
    head(tmp_path)
    absent = {row.name: row.wanted for row in missing([tmp_path])}
    assert absent.keys() == CHECKPOINTS.keys() - {"laion_aesthetic"} and len(CHECKPOINTS) == 11
    assert absent["amt_s"] == (
        "amt_s is not here: put amt-s.pth from MCG-NKU/AMT on GitHub (CC BY-NC 4.0, not for commercial use) into a "
        "folder and name it with --weights FOLDER"
    )
    with pytest.raises(Unscored, match=r"dino_vitbase16_pretrain\.pth \(or the folder dino-vitb16 with model\.safet"):
        load_backbone("dino_vitb16", [tmp_path], CPU)
    with pytest.raises(Unscored, match="grit does not run here"):
        load_backbone("grit", [tmp_path], CPU)


def test_a_head_is_loaded_frozen_and_ready(tmp_path: Path) -> None:
    tensors = torch.load(head(tmp_path))
    network = load_backbone("laion_aesthetic", [tmp_path], CPU)
    assert not network.training and not any(parameter.requires_grad for parameter in network.parameters())
    feature = torch.randn(2, 768)
    torch.testing.assert_close(network(feature), feature @ tensors["weight"].T + tensors["bias"])


def test_half_precision_files_become_float32(tmp_path: Path) -> None:
    head(tmp_path, weight=torch.ones(1, 768).half())
    network = load_backbone("laion_aesthetic", [tmp_path], CPU)
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}


def test_a_wrong_checksum_is_refused_with_both_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = head(tmp_path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    row = CHECKPOINTS["laion_aesthetic"]
    for published, right in ((digest, True), (digest[:8], True), ("0" * 64, False), ("00000000", False)):
        monkeypatch.setitem(CHECKPOINTS, row.name, dataclasses.replace(row, sha256=published))
        if right:
            assert verified(row.name, path)
        else:
            with pytest.raises(Unscored, match=f"{HEAD} is not .* {digest[: len(published)]}, expected {published}"):
                load_backbone(row.name, [tmp_path], CPU)


def test_a_checksum_nobody_published_is_not_called_verified(tmp_path: Path) -> None:
    assert not verified("laion_aesthetic", head(tmp_path))
    stock = touch(tmp_path / "clip-vit-base-patch32/model.safetensors")  # OpenAI's checksum is of another file
    assert not verified("clip_vitb32", stock)


def test_a_checksum_follows_the_file(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    for content in (b"one", b"three"):
        path.write_bytes(content)
        assert checksum(path) == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"weight": torch.zeros(1, 512)}, r"weight has shape \(1, 512\), expected \(1, 768\)"),
        ({"gain": torch.zeros(1)}, "tensor gain is none of the 2 expected"),
    ],
)
def test_other_tensors_are_another_network(tmp_path: Path, changed: dict[str, torch.Tensor], complaint: str) -> None:
    head(tmp_path, **changed)
    with pytest.raises(Unscored, match=f"{HEAD} is another network: its {complaint}|{HEAD} .*{complaint}"):
        load_backbone("laion_aesthetic", [tmp_path], CPU)


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(1, 768)}, tmp_path / HEAD)
    with pytest.raises(Unscored, match="it lacks the tensor bias"):
        load_backbone("laion_aesthetic", [tmp_path], CPU)


@pytest.mark.parametrize("name", ["dino_vitb16", "clip_vitb32", "clip_vitl14"])
def test_the_file_of_another_network_under_a_right_name(tmp_path: Path, name: str,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    row = CHECKPOINTS[name]
    monkeypatch.setitem(CHECKPOINTS, name, dataclasses.replace(row, sha256=None))
    torch.save({"encoder.layer.0.attention.attention.query.weight": torch.zeros(2, 2)}, tmp_path / row.files[0])
    with pytest.raises(Unscored, match=f"{row.files[0]} is another network"):
        load_backbone(name, [tmp_path], CPU)


@pytest.mark.parametrize("kept", [0, 10, 400])
def test_a_truncated_file_is_named(tmp_path: Path, kept: int) -> None:
    path = head(tmp_path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(Unscored, match=f"{HEAD} cannot be read"):
        load_backbone("laion_aesthetic", [tmp_path], CPU)


def test_safetensors_are_read_and_refused_when_cut(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.arange(3.0)}, path)
    assert read_checkpoint(path)["a"].tolist() == [0, 1, 2]
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(Unscored, match="cannot be read"):
        read_checkpoint(path)


def test_tensors_may_lie_inside(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "model": {"a": torch.ones(2)}}, tmp_path / "nested.pth")
    assert read_checkpoint(tmp_path / "nested.pth", ("state_dict", "model")).keys() == {"a"}
    with pytest.raises(Unscored, match="holds no tensors, but epoch, model"):
        read_checkpoint(tmp_path / "nested.pth")
    torch.save([torch.ones(2)], tmp_path / "list.pth")
    with pytest.raises(Unscored, match="a list, not a table of tensors"):
        read_checkpoint(tmp_path / "list.pth")


def test_a_pickle_that_would_run_code_is_not_opened(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    torch.save({"weight": Trap()}, tmp_path / HEAD)
    with pytest.raises(Unscored, match="cannot be read"):
        load_backbone("laion_aesthetic", [tmp_path], CPU)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_scripted_archives_give_their_tensors(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
    torch.jit.script(network).save(str(tmp_path / "ViT-B-32.pt"))
    tensors = read_checkpoint(tmp_path / "ViT-B-32.pt")
    assert {name: value.tolist() for name, value in tensors.items()} == {
        name: value.tolist() for name, value in network.state_dict().items()
    }


def test_a_network_on_the_meta_device_takes_the_tensors(tmp_path: Path) -> None:
    with torch.device("meta"):
        network = nn.Linear(3, 2)
    tensors = {"weight": torch.randn(2, 3).half(), "bias": torch.randn(2)}
    fill(network, tensors, tmp_path)
    assert network.weight.dtype == torch.float32 and torch.equal(network.weight, tensors["weight"].float())


def test_the_vocabulary_is_found_in_either_form(tmp_path: Path) -> None:
    with pytest.raises(Unscored, match=r"put bpe_simple_vocab_16e6\.txt\.gz from openai/CLIP"):
        vocabulary([tmp_path])
    stock = touch(tmp_path / "clip-vit-base-patch32/vocab.json")
    assert find_vocabulary([tmp_path]) is None  # of no use without its merges
    touch(stock.with_name("merges.txt"))
    assert vocabulary([tmp_path]) == stock
    own = touch(tmp_path / "ViCLIP/bpe_simple_vocab_16e6.txt.gz")
    assert vocabulary([tmp_path]) == own
    cached = touch(tmp_path / "hub/models--openai--clip-vit-base-patch32/snapshots/abc/vocab.json")
    touch(cached.with_name("merges.txt"))
    touch(tmp_path / "hub/models--openai--clip-vit-base-patch32/refs/main").write_text("abc")
    assert vocabulary([tmp_path / "empty"]) == cached


def test_every_loader_there_is_can_be_called() -> None:
    import importlib

    for row in CHECKPOINTS.values():
        assert row.files and row.source and row.licence, row.name
        if row.load:
            module, _, function = row.load.partition(":")
            assert callable(getattr(importlib.import_module(module), function)), row.load
    assert {name for name, row in CHECKPOINTS.items() if not row.load} == {"tag2text_swin", "grit"}
    assert checkpoints.DEPTH >= 3  # the original keeps raft_model/models/raft-things.pth
