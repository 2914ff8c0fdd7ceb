"""The detector and the captioner that come along: transformers models from folders on this machine, as stand-ins.

They look at films in place of GRiT and Tag2Text, which do not run here. What they see goes into a file of sightings,
and the dimensions made of it bear their names: it is never VBench's own figure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from manzar.nouns import Frames, MediaError, ModelError, Progress, UsageError, existing
from manzar.score.checkpoints import checksum
from manzar.score.film import Film, file_digest, open_film
from manzar.score.sampling import middle
from manzar.score.sightings import (
    LOOKED_AT,
    Captioner,
    DenseCaption,
    Detection,
    Detector,
    Maker,
    Part,
    Sightings,
    append,
    read,
)
from manzar.score.suite import both_objects, colour_object, entries, relation

SEEN = 0.3  # score from which a detection counts
LONGEST = 30  # tokens of a caption, as Tag2Text's

UNOPENED = (OSError, ValueError, KeyError, ImportError, RuntimeError)


def suite_objects() -> list[str]:
    """Every object that the prompt suite asks for, so that a detector may choose among them as GRiT's 80 names do."""
    names = {entry.details["object_class"]["object"] for entry in entries("object_class")}
    names |= {colour_object(entry.prompt, entry.details["color"]["color"]) for entry in entries("color")}
    for entry in entries("multiple_objects"):
        names |= set(both_objects(entry.details["multiple_objects"]["object"]))
    for entry in entries("spatial_relationship"):
        wanted = relation(entry.details)
        names |= {wanted.first, wanted.second}
    return sorted(names)


@dataclass(frozen=True)
class Look:
    """What came of looking: films newly written down, films that the file had already, and why others were not."""

    seen: list[Path] = field(default_factory=list)
    known: list[Path] = field(default_factory=list)
    refused: dict[Path, str] = field(default_factory=dict)


def look_at_all(films: Sequence[Path], out: Path, detector: Detector | None, captioner: Captioner | None,
                progress: Progress | None = None) -> Look:  # fmt: skip
    """Look at films and append what is seen to `out`; what it holds already is not looked at again.

    Raises UsageError if nobody is to look, DataError if `out` is damaged, StorageError where it cannot be written.
    """
    parts = makers(detector, captioner)
    if not parts:
        raise UsageError("neither a detector nor a captioner is named; at least one of them must look")
    look, names = Look(), suite_objects()
    book = read(out) if out.exists() else None
    for number, path in enumerate(films):
        if progress:
            progress(number, len(films), path.name)
        digest = file_digest(path)
        if book and all(book.about(digest, part, maker.name) for part, maker in parts):
            look.known.append(path)
            continue
        try:
            film = open_film(path)
        except MediaError as error:
            look.refused[path] = str(error)
            continue
        for seen in see(film, names, detector, captioner):
            append(out, seen)
        look.seen.append(path)
    return look


def makers(detector: Detector | None, captioner: Captioner | None) -> list[tuple[Part, Maker]]:
    """Which parts of a film's sightings these two give, and under whose name. A crop's caption is the work of both."""
    given: list[tuple[Part, Maker]] = []
    if detector:
        given.append(("objects", detector.maker))
    if detector and captioner:
        both = hashlib.sha256(f"{detector.maker.sha256} {captioner.maker.sha256}".encode()).hexdigest()
        given.append(("dense", Maker(f"{detector.maker.name}+{captioner.maker.name}", both)))
    if captioner:
        given.append(("scenes", captioner.maker))
    return given


def see(film: Film, names: Sequence[str], detector: Detector | None, captioner: Captioner | None) -> list[Sightings]:
    """What the two see in the sixteen frames of a film, a record each: objects, captions of their crops, scenes."""
    indices = middle(len(film.frames), LOOKED_AT)
    frames = film.frames[sorted(set(indices))]  # a short film repeats its last frame; it is looked at once
    place = [sorted(set(indices)).index(index) for index in indices]
    found = detector(frames, names) if detector else []
    parts: dict[Part, list[Any]] = {"objects": found}
    if captioner:
        parts["scenes"] = captioner(list(frames))
        parts["dense"] = [
            _describe(frame, objects, captioner) for frame, objects in zip(frames, found, strict=False)
        ]
    return [
        Sightings(film.path.name, film.digest, maker, tuple(indices), **{part: tuple(_each(parts[part], place))})
        for part, maker in makers(detector, captioner)
    ]


def _each(items: Sequence[Any], place: Sequence[int]) -> list[Any]:
    return [tuple(items[i]) if isinstance(items[i], list) else items[i] for i in place]


def _describe(frame: Frames, objects: Sequence[Detection], captioner: Captioner) -> list[DenseCaption]:
    """A caption of what lies in each object's box."""
    crops = [crop(frame, one.box) for one in objects]
    texts = iter(captioner([piece for piece in crops if piece.size]))
    return [
        DenseCaption(one.name, next(texts) if piece.size else "") for one, piece in zip(objects, crops, strict=True)
    ]


def crop(frame: Frames, box: tuple[float, float, float, float]) -> Frames:
    """The pixels that a box touches, which may be none."""
    (x0, y0), (x1, y1) = np.floor(box[:2]).astype(int), np.ceil(box[2:]).astype(int)
    return frame[max(0, y0) : max(0, y1), max(0, x0) : max(0, x1)]


class OpenVocabularyDetector:
    """A zero-shot detector as the hub has them, such as OWL-ViT or Grounding DINO; OWLv2 needs scipy beside it.

    Raises UsageError for a missing folder, ModelError for one that transformers cannot open as such.
    """

    def __init__(self, folder: Path, device: torch.device | str = "cpu", threshold: float = SEEN) -> None:
        from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

        location = existing(folder, "folder")
        try:
            self._processor = AutoProcessor.from_pretrained(location, local_files_only=True)
            model = AutoModelForZeroShotObjectDetection.from_pretrained(location, local_files_only=True)
            # What a processor lacks it says only when it is used.
            self._processor(images=np.zeros((8, 8, 3), np.uint8), text=[["a cat"]], return_tensors="pt")
        except UNOPENED as error:
            raise ModelError(f"{location} cannot be opened as an open-vocabulary detector: {_reason(error)}") from error
        self._model = model.float().to(device).eval()
        self._threshold = threshold
        self.maker = Maker(str(model.config.model_type), weights_digest(location))

    @torch.inference_mode()
    def __call__(self, frames: Frames, names: Sequence[str]) -> list[list[Detection]]:
        """Objects of these names in each of `frames` (T, H, W, 3), the surest first."""
        return [self._one(frame, list(names)) for frame in frames]

    def _one(self, frame: Frames, names: list[str]) -> list[Detection]:
        height, width = frame.shape[:2]
        inputs = self._processor(images=frame, text=[names], return_tensors="pt").to(self._model.device)
        [found] = self._processor.post_process_grounded_object_detection(
            self._model(**inputs), threshold=self._threshold, target_sizes=[(height, width)], text_labels=[names]
        )
        edge = torch.tensor([width, height, width, height], dtype=torch.float32)
        boxes = found["boxes"].float().cpu().clamp(min=0).minimum(edge).tolist()
        seen = [
            Detection(name, (box[0], box[1], box[2], box[3]), score)
            for name, box, score in zip(found["text_labels"], boxes, found["scores"].tolist(), strict=True)
        ]
        return sorted(seen, key=lambda one: -one.score)


class ImageCaptioner:
    """A captioner as the hub has them, such as BLIP. Raises UsageError for a missing folder, ModelError for one that
    transformers cannot open as such, or that answers questions instead."""

    def __init__(self, folder: Path, device: torch.device | str = "cpu") -> None:
        from transformers import AutoModelForImageTextToText, AutoProcessor

        location = existing(folder, "folder")
        try:
            self._processor = AutoProcessor.from_pretrained(location, local_files_only=True)
            model = AutoModelForImageTextToText.from_pretrained(location, local_files_only=True)
        except UNOPENED as error:
            raise ModelError(f"{location} cannot be opened as a captioner: {_reason(error)}") from error
        if getattr(self._processor, "chat_template", None):
            raise ModelError(f"{location} answers questions; a model that only captions is needed, such as BLIP")
        self._model = model.float().to(device).eval()
        self.maker = Maker(str(model.config.model_type), weights_digest(location))

    @torch.inference_mode()
    def __call__(self, pictures: Sequence[Frames]) -> list[str]:
        """A caption of each picture (H, W, 3), in lower case, found greedily."""
        return [self._one(picture) for picture in pictures]

    def _one(self, picture: Frames) -> str:
        inputs = self._processor(images=picture, return_tensors="pt", input_data_format="channels_last")
        output = self._model.generate(**inputs.to(self._model.device), max_new_tokens=LONGEST, do_sample=False)
        text: str = self._processor.decode(output[0], skip_special_tokens=True)
        return text.strip().lower()


def weights_digest(folder: Path) -> str:
    """sha256 of a model folder's weights; where they are in several files, of their sha256s."""
    files = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("*.bin"))
    digests = [checksum(file) for file in files]
    return digests[0] if len(digests) == 1 else hashlib.sha256(" ".join(digests).encode()).hexdigest()


def _reason(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
