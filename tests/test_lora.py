"""Low-rank adapters: neutral at first, read by stock diffusers, merged without a trace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from manzar.dit import DiT, DiTConfig
from manzar.dit.lora import TARGETS, add_lora, load_lora, lora_tensors, merge_lora
from manzar.nouns import ModelError, SettingError
from manzar.weights import read_tensors, write_tensors

CONFIG = DiTConfig(
    num_attention_heads=2, attention_head_dim=24, in_channels=4, out_channels=4, text_dim=16, freq_dim=32, ffn_dim=64,
    num_layers=2,
)


def model() -> DiT:
    torch.manual_seed(0)
    dit = DiT(CONFIG)
    with torch.no_grad():
        for parameter in dit.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return dit


def arguments() -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(2, 4, 3, 4, 6), torch.rand(2) * 1000, torch.randn(2, 5, 16)


def trained(dit: DiT, **settings: Any) -> DiT:
    """Adapters with every entry away from zero."""
    with torch.no_grad():
        for parameter in add_lora(dit, **({"rank": 4, "alpha": 10.0} | settings)):
            parameter.add_(0.1 * torch.randn_like(parameter))
    return dit


def output(dit: DiT) -> Tensor:
    with torch.no_grad():
        return dit(*arguments())


def test_new_adapters_change_nothing_and_alone_learn() -> None:
    dit = model()
    before = output(dit)
    parameters = add_lora(dit, rank=4, alpha=8.0)
    assert len(parameters) == 2 * 10 * CONFIG.num_layers
    assert torch.equal(output(dit), before)
    dit(*arguments()).square().mean().backward()
    learning = {id(p) for p in dit.parameters() if p.grad is not None}
    assert learning == {id(p) for p in parameters}


@pytest.mark.parametrize("targets", [TARGETS, ("to_q", "to_v"), ("ffn.net.2",)])
def test_stock_transformer_reads_the_adapters(targets: tuple[str, ...]) -> None:
    from diffusers import WanTransformer3DModel

    dit = model()
    stock = WanTransformer3DModel.from_config(CONFIG.to_json())
    stock.load_state_dict(dit.state_dict())
    plain = output(dit)
    trained(dit, targets=targets)
    stock.load_lora_adapter(lora_tensors(dit), prefix="transformer")
    with torch.no_grad():
        expected = stock(*arguments(), return_dict=False)[0]
    assert (expected - plain).abs().max() > 1e-3
    assert (output(dit) - expected).abs().max() <= 1e-5


def test_stock_pipeline_reads_the_file(tmp_path: Path) -> None:
    from diffusers import AutoencoderKLWan, FlowMatchEulerDiscreteScheduler, WanPipeline, WanTransformer3DModel

    dit = model()
    stock = WanTransformer3DModel.from_config(CONFIG.to_json())
    stock.load_state_dict(dit.state_dict())
    trained(dit)
    write_tensors(tmp_path / "pytorch_lora_weights.safetensors", lora_tensors(dit))
    vae = AutoencoderKLWan(base_dim=4, z_dim=4, dim_mult=[1, 1], num_res_blocks=1, temperal_downsample=[False],
                           latents_mean=[0.0] * 4, latents_std=[1.0] * 4)
    pipeline = WanPipeline(tokenizer=None, text_encoder=None, vae=vae, transformer=stock,
                           scheduler=FlowMatchEulerDiscreteScheduler())
    pipeline.load_lora_weights(str(tmp_path))
    with torch.no_grad():
        expected = pipeline.transformer(*arguments(), return_dict=False)[0]
    assert (output(dit) - expected).abs().max() <= 1e-5

    fresh = model()
    load_lora(fresh, read_tensors(tmp_path / "pytorch_lora_weights.safetensors"))
    assert (output(fresh) - expected).abs().max() <= 1e-5


def test_merge_keeps_the_output_and_the_stock_keys() -> None:
    dit = model()
    keys = list(dit.state_dict())
    trained(dit)
    adapted = output(dit)
    merge_lora(dit)
    assert list(dit.state_dict()) == keys
    assert (output(dit) - adapted).abs().max() <= 1e-5
    assert all(parameter.requires_grad for parameter in dit.parameters())


def test_refusals() -> None:
    dit = model()
    with pytest.raises(SettingError, match="rank 0"):
        add_lora(dit, rank=0, alpha=1.0)
    with pytest.raises(SettingError, match="to_z"):
        add_lora(dit, rank=2, alpha=1.0, targets=("to_z",))
    tensors = lora_tensors(trained(model()))
    first = next(iter(tensors))
    with pytest.raises(ModelError, match="lora_A is missing"):
        load_lora(dit, {key: value for key, value in tensors.items() if key != first})
    with pytest.raises(ModelError, match="do not fit"):
        load_lora(dit, {**tensors, first: torch.zeros(4, 5)})
    with pytest.raises(ModelError, match="elsewhere"):
        load_lora(dit, {"transformer.elsewhere.lora_A.weight": torch.zeros(1, 1)})
    assert not any("lora" in name for name in dit.state_dict())
