"""Twelve prompts in five languages and what a model makes of them, on one page.

    python scripts/contact_sheet.py --model FOLDER --out sheet.webp --moving moving.webp

The prompts are captions of scenes that training never saw, chosen for variety; a prompt is asked with the same noise
in every language. The page is laid out by a headless Chromium, which knows how to set all five scripts; the pictures
are put in afterwards, so that nothing is scaled.
"""

from __future__ import annotations

import argparse
import html
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from door import run_script
from PIL import Image
from world_clips import Case, Source, cases, in_batches, made_by, rendered, scenes

from manzar.nouns import LANGUAGES, Frames, UsageError, existing, storage
from manzar.world import PHRASINGS, Scene, caption

PROMPTS, SEED = 12, 350_000
POOL = 400  # scenes that the prompts are chosen from
LONGEST = 105  # letters of a caption that has room under its pictures
LIMIT_BYTES = 600_000
RIGHT_TO_LEFT = ("ur", "ar")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
STYLE = """body{margin:0;background:#f4f3ef;color:#222}
div{position:absolute;overflow:hidden;text-align:center;font:11px/14px "Noto Sans","Noto Sans CJK SC",sans-serif}
[lang=hi]{font-family:"Noto Sans Devanagari",sans-serif}[lang=ar]{font-family:"Noto Sans Arabic",sans-serif}
[lang=ur]{font-family:"Noto Naskh Arabic","Noto Sans Arabic",sans-serif}
[lang=zh]{font-family:"Noto Sans CJK SC",sans-serif}"""


@dataclass(frozen=True)
class Layout:
    """A grid of cells, each a picture of (width, height) pixels over a caption of so many lines."""

    width: int
    height: int
    lines: int
    across: bool  # languages across the page and prompts down, or the other way round
    gap: int = 8

    def corner(self, prompt: int, language: int) -> tuple[int, int]:
        column, row = (language, prompt) if self.across else (prompt, language)
        return self.gap + column * (self.width + self.gap), self.gap + row * (self.height + 14 * self.lines + self.gap)

    def size(self, prompts: int, languages: int) -> tuple[int, int]:
        return self.corner(prompts, languages)


def chosen(held_out: str) -> list[Scene]:
    """Twelve scenes of a pool, each time the one that shows the most that is new; every third has two actors."""
    pool = [
        scene
        for scene in scenes(POOL, SEED, held_out)
        if max(len(caption(scene, "en", phrasing)) for phrasing in range(PHRASINGS)) <= LONGEST
    ]
    shown: dict[str, int] = {}
    picked: list[Scene] = []
    while len(picked) < PROMPTS:
        count = 2 if len(picked) % 3 == 2 else 1
        # a word said for the n-th time is worth 1/n²
        best = max(
            (scene for scene in pool if len(scene.actors) == count and scene not in picked),
            key=lambda scene: sum(1 / (1 + shown.get(word, 0)) ** 2 for word in words(scene)) / len(words(scene)),
        )
        picked.append(best)
        for word in words(best):
            shown[word] = shown.get(word, 0) + 1
    return picked


def words(scene: Scene) -> list[str]:
    actors = [word for actor in scene.actors for word in (actor.colour, actor.shape, actor.motion)]
    return [*actors, scene.background, scene.camera, scene.look]


def captions_page(todo: Sequence[Case], layout: Layout, size: tuple[int, int], browser: str) -> Image.Image:
    """The page with all captions and with room for the pictures."""
    cells = []
    for case in todo:
        left, top = layout.corner(case.index, LANGUAGES.index(case.language))
        direction = "rtl" if case.language in RIGHT_TO_LEFT else "ltr"
        place = f"left:{left}px;top:{top + layout.height + 2}px;width:{layout.width}px;height:{14 * layout.lines}px"
        cells.append(f'<div lang="{case.language}" dir="{direction}" style="{place}">{html.escape(case.prompt)}</div>')
    with tempfile.TemporaryDirectory() as folder:
        page, picture = Path(folder) / "page.html", Path(folder) / "page.png"
        head = f'<!doctype html><meta charset="utf-8"><style>{STYLE}</style>'
        page.write_text(head + "".join(cells), encoding="utf-8")
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                   "--force-device-scale-factor=1", f"--user-data-dir={folder}/profile", f"--screenshot={picture}",
                   f"--window-size={size[0]},{size[1]}", page.as_uri()]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        if not picture.exists():
            raise UsageError(f"{browser}: made no picture of the page: {done.stderr.strip()[-300:]}")
        return Image.open(BytesIO(picture.read_bytes())).convert("RGB")


def strip(frames: Frames, shown: int) -> Image.Image:
    """`shown` frames from the beginning to the end of a clip, side by side."""
    moments = np.linspace(0, len(frames) - 1, shown).round().astype(int)
    return Image.fromarray(np.concatenate(list(frames[moments]), axis=1))


def still_sheet(clips: Sequence[tuple[Case, Frames]], browser: str, shown: int = 4) -> Image.Image:
    """Languages across, prompts down, a strip of frames for each."""
    height, width = clips[0][1].shape[1:3]
    layout = Layout(shown * width, height, lines=3, across=True)
    page = captions_page([case for case, _ in clips], layout, layout.size(PROMPTS, len(LANGUAGES)), browser)
    for case, frames in clips:
        page.paste(strip(frames, shown), layout.corner(case.index, LANGUAGES.index(case.language)))
    return page


def moving_sheet(clips: Sequence[tuple[Case, Frames]], browser: str) -> list[Image.Image]:
    """Prompts across, languages down, all clips playing at once."""
    height, width = clips[0][1].shape[1:3]
    scale = max(1, round(128 / width))
    layout = Layout(scale * width, scale * height, lines=6, across=False)
    page = captions_page([case for case, _ in clips], layout, layout.size(PROMPTS, len(LANGUAGES)), browser)
    pages = []
    for t in range(min(len(frames) for _, frames in clips)):
        pages.append(page.copy())
        for case, frames in clips:
            picture = Image.fromarray(frames[t]).resize((layout.width, layout.height), Image.Resampling.NEAREST)
            pages[-1].paste(picture, layout.corner(case.index, LANGUAGES.index(case.language)))
    return pages


def save(pages: Sequence[Image.Image], out: Path, fps: float = 8.0) -> int:
    """One picture, or several as an animation that rests for a second before it begins again; the size in bytes.

    A WebP keeps to LIMIT_BYTES, at the price of quality first and then of every second frame.
    """
    if out.suffix == ".png":
        tries = iter([encoded(pages, "PNG", optimize=True)])
    else:
        tries = (
            encoded(pages[::step], "WEBP", quality=quality, method=4, **timing(len(pages[::step]), step / fps))
            for step in (1, 2)
            for quality in (90, 75, 60, 45, 30)
        )
    data = b""
    for data in tries:
        if len(data) <= LIMIT_BYTES:
            break
    with storage(out):
        out.write_bytes(data)
    return len(data)


def encoded(pages: Sequence[Image.Image], kind: str, **options: Any) -> bytes:
    more = {"append_images": list(pages[1:])} if len(pages) > 1 else {}
    buffer = BytesIO()
    pages[0].save(buffer, kind, **options, **more)
    return buffer.getvalue()


def timing(frames: int, seconds: float) -> dict[str, Any]:
    """What an animation has to say beyond its frames; nothing for a single picture."""
    if frames == 1:
        return {}
    return {"save_all": True, "loop": 0, "duration": [round(1000 * seconds)] * (frames - 1) + [1000]}


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--model", type=Path, help="model folder to generate with")
    source.add_argument("--truth", action="store_true", help="show rendered scenes instead of generated clips")
    parser.add_argument("--seen", action="store_true", help="combinations that are trained on")
    parser.add_argument("--steps", type=int, help="instead of the model's own")
    parser.add_argument("--guidance", type=float, help="instead of the model's own")
    parser.add_argument("--out", type=Path, required=True, help="strips of frames (.webp or .png)")
    parser.add_argument("--moving", type=Path, help="also write the grid as an animation (.webp)")
    parser.add_argument("--browser", help="Chromium to lay out the page with; one on the PATH is found by itself")
    given = parser.parse_args(argv)
    given.browser = given.browser or next(filter(None, map(shutil.which, BROWSERS)), None)
    if given.browser is None:
        raise UsageError(f"no browser to lay out the page with: none of {', '.join(BROWSERS)} is on the PATH; "
                         "install one, or name it with --browser")  # fmt: skip
    for path, kinds in ((given.out, (".webp", ".png")), (given.moving, (".webp",))):
        if path is not None and path.suffix not in kinds:
            raise UsageError(f"{path}: must end in {' or '.join(kinds)}")
    return given


def main(argv: Sequence[str] | None = None) -> int:
    given = arguments(argv)
    source: Source = rendered
    if given.model:
        source, _ = made_by(existing(given.model, "folder"), given.steps, given.guidance)
    todo = cases(chosen("exclude" if given.seen else "only"), SEED, LANGUAGES)
    clips = list(in_batches(todo, source, 3 * len(LANGUAGES)))
    print(f"{given.out}: {save([still_sheet(clips, given.browser)], given.out):,} bytes")
    if given.moving:
        print(f"{given.moving}: {save(moving_sheet(clips, given.browser), given.moving):,} bytes")
    return 0


if __name__ == "__main__":
    run_script(main)
