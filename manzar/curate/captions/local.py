"""Captions from a vision-language model in a folder on this machine, run by transformers; nothing is fetched."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from manzar.curate.captions.answers import Captioned, CaptionError, fault_of, plain_question, without_thoughts
from manzar.curate.captions.endpoint import shrunk
from manzar.curate.captions.languages import clean
from manzar.nouns import Frames, ModelError, existing


class LocalCaptioner:
    """A model of the image-text-to-text kind as the hub has them, such as Idefics3 or LLaVA.

    Those that also take video (Qwen-VL, SmolVLM2) need torchvision to be opened, which is no part of this package.
    Each language is asked for on its own, in plain words, as small models keep to no JSON; what fails greedily is tried
    once more by sampling. device is torch's name of it. One clip runs at a time, however many threads ask.
    Raises UsageError for a missing folder, ModelError for one that transformers cannot open here.
    """

    def __init__(self, folder: str | Path, *, device: str = "cpu", max_tokens: int = 256, side: int = 512) -> None:
        import torch
        from transformers import AutoModelForImageTextToText, AutoProcessor

        location = existing(folder, "folder")
        assert max_tokens >= 1 and side >= 16, f"{max_tokens=}, {side=}"
        try:
            self._processor = AutoProcessor.from_pretrained(location, local_files_only=True)
            model = AutoModelForImageTextToText.from_pretrained(location, local_files_only=True, dtype="auto")
        except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            needs = " A model that also takes video needs torchvision; behind a server it can be asked without."
            raise ModelError(f"{location} cannot be opened as a vision-language model: {reason}."
                             + needs * ("video processor" in reason or isinstance(error, ImportError))) from error
        if model.dtype == torch.float16:  # its range is too small for most models, and on a CPU it is far slower
            model = model.to(torch.bfloat16)
        self._model = model.to(device).eval()
        self.name = location.resolve().name
        self._device, self._max_tokens, self._side = device, max_tokens, side
        self._lock = threading.Lock()

    def caption(self, pictures: Sequence[Frames], languages: Sequence[str]) -> Captioned:
        """Captions for `pictures`, uint8 (H, W, 3). Raises CaptionError where it can write in none of `languages`."""
        assert pictures and languages, f"{len(pictures)} pictures and {len(languages)} languages; at least one of each"
        images = [shrunk(picture, self._side) for picture in pictures]
        captions: dict[str, str] = {}
        fault, read, written = "", 0, 0
        for code in languages:
            for sample in (False, True):
                try:
                    text, more_read, more_written = self._answer(images, plain_question(len(images), code), sample)
                except (RuntimeError, ValueError) as error:  # out of memory, or too many pictures for it
                    fault = f"it fails on {len(images)} pictures ({error})"
                    break
                read, written = read + more_read, written + more_written
                caption = clean(without_thoughts(text))
                fault = fault_of(caption, code)
                if not fault:
                    captions[code] = caption
                    break
        if not captions:
            raise CaptionError(f"{self.name} gave no caption; the last: {fault}", read, written)
        return Captioned(captions, read, written)

    def _answer(self, images: Sequence[Frames], text: str, sample: bool) -> tuple[str, int, int]:
        """(answer, tokens read, tokens written) to `text` about `images`."""
        import torch
        from PIL import Image

        parts: list[dict[str, Any]] = [{"type": "image", "image": Image.fromarray(image)} for image in images]
        messages = [{"role": "user", "content": [*parts, {"type": "text", "text": text}]}]
        with self._lock, torch.inference_mode():
            inputs = self._processor.apply_chat_template(
                messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
            ).to(self._device, self._model.dtype)  # whole numbers keep their type
            output = self._model.generate(**inputs, max_new_tokens=self._max_tokens, do_sample=sample)  # (1, n + new)
        read = inputs["input_ids"].shape[1]
        answer: str = self._processor.decode(output[0, read:], skip_special_tokens=True)
        return answer, read, output.shape[1] - read
