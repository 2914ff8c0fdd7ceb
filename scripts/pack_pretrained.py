"""A finished run to the folder that the package ships: half the bytes, and a card that says what it is.

    python scripts/pack_pretrained.py RUN --vae RUN_OF_THE_DECODER --out manzar/pretrained --scores judged.json
        --note "What else a person should know."

Weights are rounded to bf16, which stock libraries widen again when they load the folder.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from door import run_script

from manzar.generate import load_parts, save_parts
from manzar.generate.boxes import load_control
from manzar.generate.folder import load_vae, model_folder
from manzar.generate.layout import load_layout
from manzar.nouns import UsageError, existing
from manzar.vae import VideoVAE
from manzar.weights import write_text

LIMIT_BYTES = 40_000_000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run or model folder")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--vae", type=Path, help="a compression network whose decoder was trained on, alone")
    parser.add_argument("--control", type=Path, help="box control for a run that has none, from `manzar train boxes`")
    parser.add_argument("--layout", type=Path, help="a run of `manzar train layout` on its text encoder")
    parser.add_argument("--scores", type=Path, help="what scripts/judge_world.py --json wrote")
    parser.add_argument("--note", default="", help="what else the card says")
    given = parser.parse_args()
    parts = load_parts(given.run)
    if given.vae:
        parts.vae = with_decoder(parts.vae, load_vae(model_folder(given.vae)))
    if given.control:
        parts.control = load_control(given.control, parts.dit)
    if given.layout:
        parts.layout = load_layout(model_folder(given.layout), parts.text.config.d_model)
    for module in (*parts.modules.values(), parts.control, parts.layout):
        if module is not None:
            module.to(torch.bfloat16)
    if given.scores:
        scores = json.loads(existing(given.scores, "file").read_text(encoding="utf-8"))
        parts.info["scores"] = {key: scores[key] for key in ("n", "groups")}
    save_parts(parts, given.out)
    parameters = sum(p.numel() for module in parts.modules.values() for p in module.parameters())
    steered = parts.control is not None and parts.layout is not None
    write_text(given.out / "README.md", card(parts.info, parameters, parts.stride.height, given.note, steered))
    size = sum(path.stat().st_size for path in given.out.rglob("*.safetensors"))
    if size > LIMIT_BYTES:
        raise UsageError(f"{given.out} holds {size:,} bytes of weights and the package has room for {LIMIT_BYTES:,}; "
                         "train a smaller model")
    print(f"{given.out}: {size / 1e6:.1f} MB of weights")
    return 0


def with_decoder(old: VideoVAE, new: VideoVAE) -> VideoVAE:
    """`new`, if it encodes as `old` does; else the transformer would be given latents that it was not trained on."""
    encoders = (vae.state_dict() for vae in (old, new))
    a, b = ({name: t for name, t in state.items() if name.startswith(("encoder", "quant"))} for state in encoders)
    if old.config != new.config or any(not torch.equal(a[name], b[name]) for name in a):
        raise UsageError("the encoder of --vae is not the one that the run was trained with; give one that was "
                         "trained with --set decoder_only=true")
    return new


def sittings(trained: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    """The run that made the folder, the one it started from, and so on."""
    while trained:
        yield trained
        trained = trained.get("before")


def card(info: dict[str, Any], parameters: int, side: int, note: str, steered: bool) -> str:
    """The model card: what it is for, what it was trained on and for how long, what it can do.

    side: of a token, in pixels. steered: whether it has box control and a layout.
    """
    defaults, runs = info["defaults"], [*sittings(info["trained"])]
    lines = [
        "---", "license: apache-2.0", "library_name: diffusers", "pipeline_tag: text-to-video",
        "language: [" + ", ".join(info["languages"]) + "]", "---", "# Manzar, the small model",
        f"A text-to-video model of {parameters / 1e6:.1f} million parameters for simple scenes: coloured shapes, "
        "animals and vehicles that move. It was trained on the procedural world of Manzar, to show the whole loop on a "
        "laptop and to be tuned on footage; it knows no photographs and no people.",
        "", *([note, ""] if note else []),
        f"- {defaults['frames']} frames of {defaults['width']}x{defaults['height']} at {defaults['fps']:g} fps by "
        f"default, up to {defaults['window']} frames at once, longer by extension; any sides that are multiples of "
        f"{side}",
        f"- {runs[0]['clips']:,} clips, {sum(run['samples_seen'] for run in runs):,} samples, "
        f"{sum(run['seconds'] for run in runs) / 3600:.1f} hours",
        "- opens in plain `diffusers`: `WanPipeline.from_pretrained(folder)`"
        + (", which wants sides that are multiples of 16" if side % 16 else ""),
    ]
    if steered:
        lines.append("- beside the stock parts lie `boxes/`, which draws things into boxes, and `layout/`, which says "
                     "where the things of a prompt are before they are drawn; `diffusers` does without them, the "
                     "shares below are with both")
    if "scores" not in info:
        lines += ["", "How often it does what it is asked has not been measured."]
    for group, table in info.get("scores", {}).get("groups", {}).items():
        lines += ["", f"## Held-out prompts: {group}", ""]
        lines += ["| | share | 95 % interval | n |", "| --- | --- | --- | --- |"]
        for name, row in table.items():
            share, (low, high), n = row["all"]["value"], row["all"]["interval"], row["all"]["n"]
            lines.append(f"| {name} | {share:.1%} | {low:.1%}–{high:.1%} | {n} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    run_script(main)
