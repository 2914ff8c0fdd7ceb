"""In training, tokens half-way through the transformer are asked for the object that they are part of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_model import tiny_parts

from manzar.curate import save_clips
from manzar.generate import save_parts
from manzar.nouns import Box, BoxTrack, Stride, VideoShape
from manzar.train import Budget, train_run
from manzar.train.data import open_splits
from manzar.train.latents import Item
from manzar.train.log import read_log
from manzar.train.naming import REACH, Naming, naming_head
from manzar.weights import read_tensors
from manzar.world import WorldConfig, clips

TINY = ["mode=full", "batch=4", "size=32", "frames=9", "validations=1", "sample_steps=2", "given=0", "warmup=0"]


class Tracked:
    """All that a head asks of clips: a red star moving right over the left half, a blue cat standing above it."""

    stride = Stride(4, 8, 8)

    def __len__(self) -> int:
        return 1

    def tracks(self, index: int) -> tuple[BoxTrack, ...]:
        star = tuple(Box(0.1 * k, 0.5, 0.5 + 0.1 * k, 1.0) for k in range(5))
        cat = (None, *(Box(0.0, 0.25, 0.5, 0.75) for _ in range(4)))
        return BoxTrack("red star", star), BoxTrack("blue cat", cat), BoxTrack("grey ghost", (None,) * 5)


@pytest.fixture
def head() -> Naming:
    found = naming_head(Tracked(), tiny_parts().dit.config, 0.5)  # type: ignore[arg-type]
    assert found is not None
    return found


def test_a_token_has_the_words_and_the_sides_of_the_object_painted_last(head: Naming) -> None:
    assert head.words == ["blue", "cat", "ghost", "grey", "red", "star"]
    words, sides = (x.view(2, 4, 4, -1) for x in head._targets([Item(0, 0, 5, 32, 32)], 0, (2, 4, 4)))
    shown = [[" ".join(w for w, on in zip(head.words, cell, strict=True) if on) for cell in row] for row in words[1]]
    assert shown[0] == ["", "", "", ""]
    assert shown[1] == ["blue cat", "blue cat", "", ""]
    assert shown[2] == ["blue cat", "blue cat", "red star", ""]  # frame 3 of 1 to 4: the star is at 0.3 to 0.8
    assert shown[3][1:] == ["red star", "red star", ""]
    # token (2, 2) lies around (2.5, 2.5): 1.3 right of the star's left side, half a token below its top
    assert torch.allclose(sides[1, 2, 2], torch.tensor([1.3, 0.5, 0.7, 1.5]))
    near = sides[words.amax(-1) > 0]
    assert (near > -REACH).all() and (sides[words.amax(-1) == 0] == 0).all()


def test_a_window_is_asked_for_the_objects_of_its_own_frames(head: Naming) -> None:
    item = Item(0, 0, 5, 32, 32)
    whole = head._targets([item], 0, (2, 4, 4))
    window = head._targets([item], 1, (1, 4, 4))
    assert all(torch.equal(a[:, 16:], b) for a, b in zip(whole, window, strict=True))
    assert not torch.equal(whole[0][:, :16], window[0])


def test_the_head_reads_the_middle_and_changes_nothing(head: Naming) -> None:
    dit = tiny_parts().dit
    latents, text = torch.randn(1, 4, 2, 8, 8), torch.randn(1, 3, 24)
    level = torch.tensor([500.0])
    plain = dit(latents, level, text)
    assert torch.equal(dit(latents, level, text, control=head.hooks()), plain)
    torch.nn.init.normal_(head.linear.weight)
    loss, terms = head.loss([Item(0, 0, 5, 32, 32)], 0, (2, 4, 4))
    assert terms.keys() == {"words", "sides"}
    loss.backward()
    assert dit.blocks[0].ffn.net[2].weight.grad.abs().sum() > 0  # type: ignore[union-attr, index]
    assert dit.proj_out.weight.grad is None


def test_naming_is_learned_beside_denoising_and_left_out_of_the_model(tmp_path: Path) -> None:
    save_parts(tiny_parts(), tmp_path / "base")
    save_clips(clips(24, 0, VideoShape(9, 32, 32), 8.0, WorldConfig(actors=(1, 2))), tmp_path / "data")
    outcome = train_run("tune", tmp_path / "data", tmp_path / "run", Budget(steps=20), source=tmp_path / "base",
                        pairs=[*TINY, "naming=0.5", "adam_lr=0.01"], quiet=True)
    steps = [row for row in read_log(tmp_path / "run") if row["kind"] == "step"]
    assert steps[-1]["words"] < 0.8 * steps[0]["words"]
    first = steps[0]
    assert first["loss"] == pytest.approx(first["denoising"] + 0.5 * (first["words"] + 0.25 * first["sides"]))
    assert not any("naming" in name for name in read_tensors(
        outcome.model / "transformer" / "diffusion_pytorch_model.safetensors"))


def test_clips_without_tracks_have_no_head(tmp_path: Path) -> None:
    bare = ((video, replace(clip, tracks=())) for video, clip in clips(4, 0, VideoShape(9, 32, 32), 8.0))
    save_clips(bare, tmp_path / "data")
    train, _ = open_splits(tmp_path / "data", size=32, fps=8.0, stride=Stride(4, 8, 8))
    config = tiny_parts().dit.config
    assert naming_head(train, config, 0.5) is None
    assert naming_head(Tracked(), config, 0.0) is None  # type: ignore[arg-type]
