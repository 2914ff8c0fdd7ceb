"""The transformer against diffusers' class: same weights, same input, same output and gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from manzar.dit import DiT, DiTConfig
from manzar.nouns import ModelError, ShapeError

SMALL: dict[str, Any] = {
    "num_attention_heads": 3, "attention_head_dim": 20, "in_channels": 4, "out_channels": 4, "text_dim": 24,
    "freq_dim": 32, "ffn_dim": 96, "num_layers": 2,
}
GRIDS = [(1, 2, 2), (5, 8, 6), (3, 4, 12)]


def pair(**changes: Any) -> tuple[DiT, torch.nn.Module]:
    """Ours and the stock class with the same random weights, gates and norms away from their initial values."""
    from diffusers import WanTransformer3DModel

    torch.manual_seed(0)
    config = DiTConfig(**(SMALL | changes))
    stock = WanTransformer3DModel(**{k: v for k, v in config.to_json().items() if not k.startswith("_")})
    for name, parameter in stock.named_parameters():
        spread = parameter[0].numel() ** -0.5 if parameter.ndim > 1 and "table" not in name else 0.3
        centre = 1.0 if "norm" in name and name.endswith("weight") else 0.0
        torch.nn.init.normal_(parameter, centre, spread)
    ours = DiT(config)
    ours.load_state_dict(stock.state_dict())
    return ours, stock


def inputs(grid: tuple[int, int, int], batch: int = 2, per_token: bool = False, length: int = 7) -> list[Tensor]:
    torch.manual_seed(1)
    latents = torch.randn(batch, 4, *grid)
    tokens = grid[0] * (grid[1] // 2) * (grid[2] // 2)
    timestep = torch.rand(batch) * 1000
    if per_token:
        timestep = timestep[:, None].repeat(1, tokens)
        timestep[:, : tokens // 2] = 0.0
    return [latents, timestep, torch.randn(batch, length, 24)]


def worst(a: Tensor, b: Tensor) -> float:
    return (a - b).abs().max().item()


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("per_token", [False, True])
def test_equals_stock(grid: tuple[int, int, int], per_token: bool) -> None:
    ours, stock = pair()
    arguments = inputs(grid, per_token=per_token)
    with torch.no_grad():
        expected = stock(*arguments, return_dict=False)[0]
        assert expected.std() > 0.1
        assert worst(ours(*arguments), expected) <= 1e-5


@pytest.mark.parametrize(
    "changes",
    [
        {"cross_attn_norm": False},
        {"qk_norm": None, "eps": 1e-5},
        {"patch_size": (2, 2, 1), "out_channels": 6, "freq_dim": 33},
        {"out_channels": None, "attention_head_dim": 64, "num_attention_heads": 1},
    ],
)
def test_equals_stock_for_other_configurations(changes: dict[str, Any]) -> None:
    ours, stock = pair(**changes)
    latents, timestep, text = inputs((4, 4, 4))
    with torch.no_grad():
        assert worst(ours(latents, timestep, text), stock(latents, timestep, text, return_dict=False)[0]) <= 1e-5


def test_weights_go_back_into_the_stock_class() -> None:
    from diffusers import WanTransformer3DModel

    config = DiTConfig(**SMALL)
    ours = DiT(config)
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    stock = WanTransformer3DModel.from_config(config.to_json())
    assert dict(stock.config)["ffn_dim"] == 96
    assert DiTConfig.from_json({**stock.config}) == config
    stock.load_state_dict(ours.state_dict(), strict=True)
    arguments = inputs((3, 4, 6), per_token=True)
    with torch.no_grad():
        assert worst(ours(*arguments), stock(*arguments, return_dict=False)[0]) <= 1e-5


@pytest.mark.parametrize("per_token", [False, True])
def test_gradients_equal_stock(per_token: bool) -> None:
    ours, stock = pair()
    latents, timestep, text = inputs((3, 4, 6), per_token=per_token)
    target = torch.randn(latents.shape)
    gradients = []
    for model in (ours, lambda *x: stock(*x, return_dict=False)[0]):
        leaf, prompt = latents.clone().requires_grad_(), text.clone().requires_grad_()
        ((model(leaf, timestep, prompt) - target) ** 2).mean().backward()
        gradients.append((leaf.grad, prompt.grad))
    for mine, theirs in zip(*gradients, strict=True):
        assert worst(mine, theirs) <= 1e-5 * max(1.0, theirs.abs().max().item())
    theirs_by_name = dict(stock.named_parameters())
    for name, parameter in ours.named_parameters():
        expected = theirs_by_name[name].grad
        assert worst(parameter.grad, expected) <= 1e-5 * max(1.0, expected.abs().max().item()), name


@pytest.mark.parametrize("padded_length", [7, 8, 512])
def test_padding_key_equals_zero_padded_text(padded_length: int) -> None:
    ours, stock = pair()
    latents, timestep, text = inputs((3, 4, 6), batch=3)
    lengths = torch.tensor([7, 3, 1])
    padded = torch.zeros(3, padded_length, 24)
    for row, length in enumerate(lengths.tolist()):
        padded[row, :length] = text[row, :length]
    with torch.no_grad():
        expected = stock(latents, timestep, padded, return_dict=False)[0]
        assert worst(ours(latents, timestep, text, lengths, padded_length), expected) <= 1e-5
        keys = ours.read_text(text, lengths, padded_length)
        assert worst(ours(latents, timestep, keys), expected) <= 1e-5
        assert worst(ours(latents, timestep, text), expected) > 1e-3  # the padding matters


def test_checkpointing_changes_nothing() -> None:
    ours, _ = pair()
    arguments = inputs((3, 4, 6), per_token=True)
    gradients = []
    for ours.checkpointing in (False, True):
        ours.zero_grad()
        ours(*arguments).square().mean().backward()
        gradients.append([p.grad.clone() for p in ours.parameters() if p.grad is not None])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_bf16_autocast_stays_close_and_gradients_are_fp32() -> None:
    ours, _ = pair(attention_head_dim=32, num_attention_heads=2)
    latents, timestep, text = inputs((3, 4, 6))
    exact = ours(latents, timestep, text)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = ours(latents, timestep, text)
    assert ((rough.float() - exact).norm() / exact.norm()).item() < 0.03
    rough.float().square().mean().backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in ours.parameters())


def test_fresh_weights_predict_zero_and_all_branches_learn() -> None:
    torch.manual_seed(0)
    ours = DiT(DiTConfig(**SMALL))
    arguments = inputs((3, 4, 6))
    target = torch.randn(arguments[0].shape)
    assert ours(*arguments).abs().max() == 0
    optimiser = torch.optim.Adam(ours.parameters(), 1e-3)
    for _ in range(4):
        optimiser.zero_grad()
        (ours(*arguments) - target).square().mean().backward()
        optimiser.step()
    still = [name for name, p in ours.named_parameters() if p.grad is None or p.grad.abs().max() == 0]
    # a key's bias moves all logits of a query alike only without norm_k; with it every parameter matters
    assert still == []


def test_refusals_name_the_field() -> None:
    for changes, word in [
        ({"image_dim": 1280}, "image_dim"),
        ({"added_kv_proj_dim": 64}, "added_kv_proj_dim"),
        ({"qk_norm": "layer_norm"}, "qk_norm"),
        ({"patch_size": (1, 2)}, "patch_size"),
        ({"attention_head_dim": 7}, "attention_head_dim"),
    ]:
        with pytest.raises(ModelError, match=word):
            DiTConfig(**(SMALL | changes))
    with pytest.raises(ModelError, match="no_such_field"):
        DiTConfig.from_json({"no_such_field": 1})
    with pytest.raises(ModelError, match="FluxTransformer"):
        DiTConfig.from_json({"_class_name": "FluxTransformer2DModel"})


@pytest.mark.parametrize("size", [(3, 5, 4), (3, 4, 0), (1, 2, 4096)])
def test_grids_that_do_not_fit(size: tuple[int, int, int]) -> None:
    ours = DiT(DiTConfig(**(SMALL | {"num_layers": 1})))
    with pytest.raises(ShapeError, match="grid"):
        ours(torch.zeros(1, 4, *size), torch.zeros(1), torch.zeros(1, 2, 24))


def test_small_slices_change_no_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiny inputs fit one slice; cut into many, output and gradients must stay the same."""
    from manzar.dit import hot

    ours, _ = pair()
    latents, timestep, text = inputs((3, 4, 6))
    results = []
    for budget in (2**17, 100):
        monkeypatch.setattr(hot, "SLICE", budget)
        monkeypatch.setattr(hot, "SCORES", budget)
        ours.zero_grad()
        out = ours(latents, timestep, text, torch.tensor([7, 3]), 64)
        out.square().mean().backward()
        results.append([out.detach(), *(p.grad.clone() for p in ours.parameters() if p.grad is not None)])
    assert len(results[0]) > 50
    assert all(worst(a, b) <= 1e-5 for a, b in zip(*results, strict=True))


def test_bf16_gelu_and_its_slope(monkeypatch: pytest.MonkeyPatch) -> None:
    from manzar.dit import hot

    monkeypatch.setattr(hot, "SLICE", 300)
    x = torch.linspace(-12, 12, 1001).bfloat16().requires_grad_()
    exact = x.detach().double().requires_grad_()
    torch.nn.functional.gelu(exact, approximate="tanh").sum().backward()
    out = hot.gelu(x)
    out.sum().backward()
    expected = torch.nn.functional.gelu(exact, approximate="tanh")
    assert torch.allclose(out.double(), expected, rtol=2**-8, atol=1e-5)
    assert x.grad is not None
    assert exact.grad is not None
    assert worst(x.grad.double(), exact.grad) <= 2**-8


def test_a_new_transformer_starts_as_the_identity() -> None:
    torch.manual_seed(0)
    dit = DiT(DiTConfig(num_attention_heads=2, attention_head_dim=32, in_channels=4, out_channels=4, text_dim=32,
                        ffn_dim=64, num_layers=2))
    for block in dit.blocks:
        last = (block.attn1.to_out[0], block.attn2.to_out[0], block.ffn.net[2])
        assert not any(linear.weight.any() for linear in last)
    with torch.no_grad():
        assert not dit(torch.randn(1, 4, 1, 4, 4), torch.tensor([500.0]), torch.randn(1, 5, 32)).any()


@pytest.mark.parametrize("growth", [1.0, 4.0])  # what Muon makes of the queries within two thousand steps
@pytest.mark.parametrize("words", [12, 100])
def test_a_new_transformer_reads_the_prompt_and_not_its_padding(words: int, growth: float) -> None:
    torch.manual_seed(0)
    dit = DiT(DiTConfig(num_attention_heads=2, attention_head_dim=64, in_channels=4, out_channels=4, text_dim=32,
                        ffn_dim=64, num_layers=2))
    with torch.no_grad():
        x = torch.randn(1, 12, 128)
        rows = torch.cat([torch.randn(1, words, 32), torch.zeros(1, 512 - words, 32)], dim=1)
        prompt = dit.condition_embedder.text(rows)
        for block in dit.blocks:
            attention = block.attn2
            attention.to_q.weight.mul_(growth)
            q = attention.norm_q(attention.to_q(x)).unflatten(-1, (2, 64))
            k = attention.norm_k(attention.to_k(prompt)).unflatten(-1, (2, 64))
            weights = (torch.einsum("bnhc,blhc->bhnl", q, k) / 64**0.5).softmax(-1)
            assert weights[..., words:].sum(-1).mean() < 0.02  # 0.98 and 0.8 if nothing were done
