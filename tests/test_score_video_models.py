"""UMT and ViCLIP in small: parameter names, sums written out slowly, checkpoints; and the dimensions they give."""

from __future__ import annotations

import gzip
import itertools
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from manzar.score.backbones import bpe, umt, viclip
from manzar.score.backbones.kinetics import classes
from manzar.score.bench import Bench
from manzar.score.dimension import Unscored
from manzar.score.dimensions import human_action, overall_consistency, temporal_style
from manzar.score.film import Asked, Film
from manzar.score.suite import action_label, entries

SMALL_UMT = umt.UMTConfig(frames=2, width=16, depth=2, heads=2, classes=400)
SMALL_VICLIP = viclip.ViCLIPConfig(
    side=28, frames=3, width=16, depth=2, heads=2, text_width=8, text_depth=1, text_heads=2, space=6, context=5,
    vocabulary=11,
)  # fmt: skip
FILM = Film(Path("A person is riding a bike-0.mp4"), np.full((20, 30, 40, 3), 90, np.uint8), 8.0, "12" * 32)


@torch.no_grad()
def wild(network: Any) -> Any:
    """Weights spread widely, so that no two inputs look alike."""
    torch.manual_seed(0)
    for parameter in network.parameters():
        parameter.normal_(0, 0.3)
    return network.eval()


# UMT


def test_umt_s_names_are_those_of_the_released_checkpoint() -> None:
    names = set(umt.UMT(SMALL_UMT).state_dict())
    block = {
        "norm1.weight", "norm1.bias", "attn.q_bias", "attn.v_bias", "attn.qkv.weight", "attn.proj.weight",
        "attn.proj.bias", "norm2.weight", "norm2.bias", "mlp.fc1.weight", "mlp.fc1.bias", "mlp.fc2.weight",
        "mlp.fc2.bias",
    }  # fmt: skip
    blocks = {f"blocks.{number}.{name}" for number in range(2) for name in block}
    assert names == blocks | {
        "patch_embed.proj.weight", "patch_embed.proj.bias", "pos_embed", "fc_norm.weight", "fc_norm.bias",
        "head.weight", "head.bias",
    }  # fmt: skip
    with torch.device("meta"):
        whole = umt.UMT()
    assert sum(parameter.numel() for parameter in whole.parameters()) == 303_484_304
    assert whole.state_dict()["patch_embed.proj.weight"].shape == (1024, 3, 1, 16, 16)
    assert whole.state_dict()["pos_embed"].shape == (1, 3136, 1024)


def test_umt_s_positions() -> None:
    table = umt.positions(8, 6)[0]  # as it was trained: nothing is stretched
    for place, channel in [(0, 0), (0, 1), (5, 2), (1567, 3), (700, 5)]:
        angle = place / 10000 ** (2 * (channel // 2) / 6)
        assert table[place, channel].item() == pytest.approx((math.sin, math.cos)[channel % 2](angle), abs=1e-6)
    stretched = umt.positions(16, 6)[0].reshape(16, 196, 6)
    trained = table.reshape(8, 196, 6)
    # Sixteen centres over eight: the first lies before the first, the second a quarter on from it.
    assert torch.equal(stretched[0], trained[0])
    torch.testing.assert_close(stretched[1], 0.75 * trained[0] + 0.25 * trained[1])
    torch.testing.assert_close(stretched[14], 0.25 * trained[6] + 0.75 * trained[7])


def test_umt_against_its_sums_written_out() -> None:
    network = wild(umt.UMT(SMALL_UMT))
    clip = torch.randn(2, 3, 2, 224, 224)
    with torch.no_grad():
        weight = network.patch_embed.proj.weight[:, :, 0]
        tokens = torch.stack([
            torch.einsum("dchw,bchw->bd", weight, clip[:, :, t, y : y + 16, x : x + 16])
            for t in range(2) for y in range(0, 224, 16) for x in range(0, 224, 16)
        ], 1)  # fmt: skip
        x = tokens + network.patch_embed.proj.bias + network.pos_embed
        for block in network.blocks:
            x = x + slow_attention(block.attn, block.norm1(x))
            hidden = block.mlp.fc1(block.norm2(x))
            x = x + block.mlp.fc2(hidden * (1 + torch.erf(hidden / math.sqrt(2))) / 2)
        torch.testing.assert_close(network(clip), network.head(network.fc_norm(x.mean(1))), atol=1e-4, rtol=1e-4)
        assert network(clip).std() > 0.1


def slow_attention(own: Any, x: Tensor) -> Tensor:
    width = x.shape[-1] // own.heads
    query, key, value = (x @ weight.T for weight in own.qkv.weight.chunk(3))
    query, value = query + own.q_bias, value + own.v_bias
    heads = []
    for head in range(own.heads):
        part = slice(head * width, (head + 1) * width)
        weights = (query[..., part] @ key[..., part].mT / math.sqrt(width)).softmax(-1)
        heads.append(weights @ value[..., part])
    out: Tensor = own.proj(torch.cat(heads, -1))
    return out


def test_umt_s_checkpoint_lacks_the_position_table_and_nothing_else(tmp_path: Path) -> None:
    network, path = wild(umt.UMT(SMALL_UMT)), tmp_path / "umt.pth"
    stored = {name: tensor for name, tensor in network.state_dict().items() if name != "pos_embed"}
    clip = torch.randn(1, 3, 2, 224, 224)
    for content in (stored, {"model": stored}, network.state_dict()):
        torch.save(content, path)
        assert torch.equal(umt.load(path, SMALL_UMT).eval()(clip), network(clip))
    for content, message in (
        ({name: tensor for name, tensor in stored.items() if name != "head.bias"}, "lacks the tensor head.bias"),
        (stored | {"blocks.0.gamma_1": torch.ones(16)}, r"its tensor blocks.0.gamma_1 is none of"),
        (stored | {"head.bias": torch.ones(710)}, r"head.bias has shape \(710,\), expected \(400,\)"),
    ):
        torch.save(content, path)
        with pytest.raises(Unscored, match=message):
            umt.load(path, SMALL_UMT)
    with pytest.raises(AssertionError, match=r"takes \(3, 2, 224, 224\)"):
        network(clip[..., :200])


# Human action


class Sure(nn.Module):
    """A classifier whose logits are given."""

    def __init__(self, **logits: float) -> None:
        super().__init__()
        self.logits = torch.full((1, 400), -9.0)
        for name, logit in logits.items():
            self.logits[0, classes().index(name.replace("_", " "))] = logit
        self.seen: tuple[int, ...] = ()

    def forward(self, clip: Tensor) -> Tensor:
        self.seen = tuple(clip.shape)
        return self.logits


def bench_of(**backbones: nn.Module) -> Bench:
    bench = Bench()
    bench._backbones.update(backbones)
    return bench


def logit(probability: float) -> float:
    return math.log(probability / (1 - probability))


def test_classes_in_the_order_of_the_logits() -> None:
    assert len(classes()) == 400
    assert [classes()[i] for i in (0, 1, 2, 399)] == ["riding a bike", "marching", "dodgeball", "playing badminton"]
    assert "passing american football (in game)" in classes()  # in lower case, as labels are
    assert {action_label(f"{entry.prompt}-0") for entry in entries("human_action")} <= set(classes())


@pytest.mark.parametrize(
    ("logits", "value"),
    [
        ({"riding_a_bike": logit(0.84996)}, True),  # rounded to 0.8500
        ({"riding_a_bike": logit(0.84994)}, False),
        ({"marching": 5.0, "dodgeball": 5.0, "riding_a_bike": 2.0}, True),  # it need not be the likeliest
        ({"marching": 5.0}, False),
        (dict.fromkeys(["marching", "dodgeball", "zumba", "yoga", "busking"], 5.0) | {"riding_a_bike": 4.0}, False),
    ],
)
def test_human_action_of_a_film(logits: dict[str, float], value: bool) -> None:
    network = Sure(**logits)
    measured = human_action.measure(FILM, bench_of(umt_l16_k400=network))
    assert measured.value is value and measured.parts == (float(value),)
    assert network.seen == (1, 3, 16, 224, 224)
    assert measured.detail["label"] == "riding a bike"
    assert all(probability >= 0.85 for probability in measured.detail["sure_of"].values())


def test_human_action_of_a_label_that_no_classifier_knows() -> None:
    with pytest.raises(Unscored, match='"a dog runs", which its name asks for, is none of the 400 actions'):
        human_action.measure(replace(FILM, path=Path("A dog runs-1.mp4")), bench_of(umt_l16_k400=Sure()))


def test_human_action_without_its_network() -> None:
    with pytest.raises(Unscored, match=r"l16_ptk710_ftk710_ftk400_f16_res224.pth"):
        human_action.measure(FILM, Bench())


# ViCLIP


def test_viclip_s_names_are_those_of_the_released_checkpoint() -> None:
    names = set(viclip.ViCLIP(SMALL_VICLIP).state_dict())
    block = {
        "ln_1.weight", "ln_1.bias", "attn.in_proj_weight", "attn.in_proj_bias", "attn.out_proj.weight",
        "attn.out_proj.bias", "ln_2.weight", "ln_2.bias", "mlp.c_fc.weight", "mlp.c_fc.bias", "mlp.c_proj.weight",
        "mlp.c_proj.bias",
    }  # fmt: skip
    towers = {"vision_encoder": 2, "text_encoder": 1}
    blocks = {
        f"{tower}.transformer.resblocks.{i}.{name}" for tower, n in towers.items() for i in range(n) for name in block
    }
    assert names == blocks | {"temp"} | {f"vision_encoder.{name}" for name in (
        "conv1.weight", "class_embedding", "positional_embedding", "temporal_positional_embedding", "ln_pre.weight",
        "ln_pre.bias", "ln_post.weight", "ln_post.bias", "proj",
    )} | {f"text_encoder.{name}" for name in (
        "token_embedding.weight", "positional_embedding", "ln_final.weight", "ln_final.bias", "text_projection",
    )}  # fmt: skip
    with torch.device("meta"):
        whole = viclip.ViCLIP()
    assert sum(parameter.numel() for parameter in whole.parameters()) == 427_590_145
    shapes = {name: tuple(tensor.shape) for name, tensor in whole.state_dict().items()}
    assert shapes["vision_encoder.temporal_positional_embedding"] == (1, 8, 1024)
    assert shapes["text_encoder.positional_embedding"] == (32, 768)


def test_viclip_s_video_tower_against_torch_s_own_attention() -> None:
    network = wild(viclip.ViCLIP(SMALL_VICLIP))
    tower, clip = network.vision_encoder, torch.randn(2, 3, 3, 28, 28)
    with torch.no_grad():
        rows = [tower.class_embedding + tower.positional_embedding[0]]
        features = []
        for film in clip:
            tokens = list(rows)
            for t, frame in enumerate(film):
                for place, (y, x) in enumerate([(0, 0), (0, 14), (14, 0), (14, 14)]):
                    token = torch.einsum("dchw,chw->d", tower.conv1.weight[:, :, 0], frame[:, y : y + 14, x : x + 14])
                    token = token + tower.positional_embedding[1 + place]
                    tokens.append(token + tower.temporal_positional_embedding[0, t])
            x = tower.ln_pre(torch.stack(tokens)[None])
            for block in tower.transformer.resblocks:
                stock = nn.MultiheadAttention(16, 2, batch_first=True)
                stock.load_state_dict(block.attn.state_dict())
                normed = block.ln_1(x)
                x = x + stock(normed, normed, normed, need_weights=False)[0]
                hidden = block.mlp.c_fc(block.ln_2(x))
                x = x + block.mlp.c_proj(hidden / (1 + torch.exp(-1.702 * hidden)))
            features.append(tower.ln_post(x[0, 0]) @ tower.proj)
        slow = torch.stack(features)
        slow = slow / slow.norm(dim=-1, keepdim=True)
        torch.testing.assert_close(network.embed_clip(clip), slow, atol=1e-5, rtol=1e-4)


def test_viclip_s_text_is_read_up_to_its_end() -> None:
    network = wild(viclip.ViCLIP(SMALL_VICLIP))
    with torch.no_grad():
        short = network.embed_tokens(torch.tensor([[9, 3, 10, 0, 0]]))
        assert short.norm().item() == pytest.approx(1, abs=1e-6)
        assert torch.allclose(short, network.embed_tokens(torch.tensor([[9, 3, 10, 7, 8]])), atol=1e-6)
        assert not torch.allclose(short, network.embed_tokens(torch.tensor([[9, 4, 10, 0, 0]])), atol=1e-2)


def test_viclip_s_checkpoint(tmp_path: Path) -> None:
    network, path = wild(viclip.ViCLIP(SMALL_VICLIP)), tmp_path / "viclip.pth"
    torch.save({"model": network.state_dict(), "epoch": 3}, path)
    clip = torch.randn(1, 3, 3, 28, 28)
    loaded: Any = viclip.load(path, SMALL_VICLIP).eval()
    assert torch.equal(loaded.embed_clip(clip), network.embed_clip(clip))
    torch.save({"model": {name: tensor for name, tensor in network.state_dict().items() if name != "temp"}}, path)
    with pytest.raises(Unscored, match="lacks the tensor temp"):
        viclip.load(path, SMALL_VICLIP)


# Temporal style and overall consistency


class Towers(nn.Module):
    """Features that are easy to tell: of a clip its first value, of a prompt its number of tokens."""

    config = viclip.ViCLIPConfig()

    def __init__(self) -> None:
        super().__init__()
        self.clips: list[Tensor] = []
        self.prompts: list[Tensor] = []

    def embed_clip(self, clip: Tensor) -> Tensor:
        self.clips.append(clip)
        return torch.tensor([[0.6, 0.8]])

    def embed_tokens(self, tokens: Tensor) -> Tensor:
        self.prompts.append(tokens)
        return torch.tensor([[1.0, 0.0]])


@pytest.fixture
def vocabulary(tmp_path: Path) -> Path:
    """A vocabulary of CLIP's size whose merges are all pairs of its characters."""
    pairs = itertools.islice(itertools.product(bpe._alphabet(), repeat=2), bpe.MERGES)
    lines = ["#version", *(f"{first} {second}" for first, second in pairs)]
    (tmp_path / "bpe_simple_vocab_16e6.txt.gz").write_bytes(gzip.compress("\n".join(lines).encode(), compresslevel=1))
    return tmp_path


def test_film_and_prompt_are_each_looked_at_once(vocabulary: Path) -> None:
    towers = Towers()
    bench = bench_of(viclip_internvid=towers)
    bench.weights = (vocabulary,)
    film = replace(FILM, asked=Asked("a cat"))
    for dimension in (temporal_style.DIMENSION, overall_consistency.DIMENSION):
        assert (dimension.kind, dimension.backbones) == ("official", ("viclip_internvid",))
        measured = dimension.measure(film, bench)
        assert measured.value == pytest.approx(0.6) and len(measured.parts) == 1
    assert [tuple(clip.shape) for clip in towers.clips] == [(1, 8, 3, 224, 224)]
    [tokens] = towers.prompts
    assert tokens.shape == (1, 32) and tokens[0, 0] == 49406 and tokens.max() == 49407
    overall_consistency.DIMENSION.measure(replace(film, asked=Asked("another")), bench)
    assert (len(towers.clips), len(towers.prompts)) == (1, 2)


def test_what_is_missing_is_said() -> None:
    with pytest.raises(Unscored, match="prompt is not known"):
        overall_consistency.DIMENSION.measure(FILM, Bench())
    with pytest.raises(Unscored, match=r"ViClip-InternVid-10M-FLT.pth"):
        overall_consistency.DIMENSION.measure(replace(FILM, asked=Asked("a cat")), Bench())
    with pytest.raises(Unscored, match=r"bpe_simple_vocab_16e6.txt.gz"):
        overall_consistency.DIMENSION.measure(replace(FILM, asked=Asked("a cat")), bench_of(viclip_internvid=Towers()))
