"""Files that a person gives, as the conditions of a request.

Clips are decoded at the size and rate of the video that is to be, so an hour of footage in 4K takes the memory of an
hour of small frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from manzar.boxes import read_script
from manzar.generate.boxes import Boxes
from manzar.generate.conditions import Connect, Extend, FirstFrame, Keyframes, Loop
from manzar.generate.edit import Edit, check_strength
from manzar.generate.fitting import Canvas, covering, matching
from manzar.generate.folder import ModelParts
from manzar.generate.plan import fill_in
from manzar.media import picture, probe, read
from manzar.nouns import Condition, Request, UsageError, Video, existing

if TYPE_CHECKING:
    from manzar.nouns import Frames

STRENGTH = 0.6  # of an edit, where none is asked for


@dataclass(frozen=True)
class Inputs:
    """What was given on the command line, each with the flag of the same name; None and () were not given."""

    image: Path | None = None
    keyframe: tuple[str, ...] = ()  # INDEX=picture
    extend: Path | None = None
    direction: Literal["forward", "backward"] | None = None
    connect: tuple[Path, Path] | None = None
    loop: bool = False
    edit: Path | None = None
    strength: float | None = None
    mask: Path | None = None
    boxes: Path | None = None

    @property
    def clips(self) -> list[Path]:
        """The clips among them; no two kinds of them go together."""
        return [path for path in (self.extend, *(self.connect or ()), self.edit) if path is not None]

    @property
    def adds(self) -> bool:
        """Whether what is asked for comes on top of what is given."""
        return self.extend is not None or self.connect is not None

    def check(self) -> None:
        """Raise UsageError for flags that contradict each other and files that are not there; no model is needed."""
        backward = self.direction == "backward"
        for one, other in (
            ("extend", "connect"), ("extend", "edit"), ("connect", "edit"), ("edit", "image"), ("edit", "loop"),
            ("connect", "image"), ("connect", "loop"), ("keyframe", "extend"), ("keyframe", "connect"),
            ("keyframe", "edit"),
        ):  # fmt: skip
            if getattr(self, one) and getattr(self, other):
                raise UsageError(f"--{one} and --{other} cannot be combined; give one of the two")
        if self.extend and self.image and not backward:
            raise UsageError("--extend and --image cannot be combined, for the clip's end is what comes first; "
                             "with --direction backward they can")
        if self.extend and self.loop and backward:
            raise UsageError("--loop and --direction backward cannot be combined; a loop goes on from the clip's end")
        for flag, needs in (("direction", "extend"), ("strength", "edit"), ("mask", "edit")):
            if getattr(self, flag) is not None and not getattr(self, needs):
                raise UsageError(f"--{flag} is of no use without --{needs}; give both or neither")
        if self.strength is not None:
            check_strength(self.strength)
        for path in (self.image, self.mask, self.boxes, *self.clips, *(path for _, path in self.keyframes)):
            if path is not None:
                existing(path)

    @property
    def keyframes(self) -> list[tuple[int, Path]]:
        """(frame index, picture). Raises UsageError for what is not INDEX=PICTURE."""
        found = []
        for text in self.keyframe:
            index, equals, path = text.partition("=")
            if not (equals and path and index.removeprefix("-").isdecimal()):
                raise UsageError(f"--keyframe {text!r} is not INDEX=PICTURE, such as 0=first.png or -1=last.png")
            found.append((int(index), Path(path)))
        if self.image is not None and any(index == 0 for index, _ in found):
            raise UsageError("--image and --keyframe 0=PICTURE cannot be combined; both say what the first frame is")
        if len({index for index, _ in found}) < len(found):
            raise UsageError(f"--keyframe gives one index twice: {', '.join(self.keyframe)}")
        return found

    def add_to(self, request: Request, parts: ModelParts) -> Request:
        """The request with what was given as its conditions, and in the size of the clip if it asks for none.

        Raises UsageError or MediaError for files that cannot be used.
        """
        if self.clips and request.height is None and request.width is None:
            first, canvas = probe(self.clips[0]), fill_in(request, parts)
            shape = matching(first.width, first.height, canvas.width * canvas.height, parts.stride)
            request = replace(request, height=shape.height, width=shape.width)
        canvas = fill_in(request, parts)
        return replace(request, conditions=tuple(self.conditions([read_clip(path, canvas) for path in self.clips])))

    def conditions(self, clips: list[Video]) -> Iterator[Condition]:
        """`clips` are those of the paths of the same name."""
        if self.keyframe:
            first = [] if self.image is None else [(0, self.image)]
            yield Keyframes({index: picture(path) for index, path in (*first, *self.keyframes)})
        elif self.image is not None:
            yield FirstFrame(picture(self.image))
        if self.edit is not None:
            mask = None if self.mask is None else read_mask(self.mask, self.edit, clips[0])
            yield Edit(clips[0], STRENGTH if self.strength is None else self.strength, mask)
        elif self.connect is not None:
            yield Connect(*clips)
        elif self.loop:
            yield Loop(*clips)
        elif self.extend is not None:
            yield Extend(clips[0], self.direction or "forward")
        if self.boxes is not None:
            yield Boxes(read_script(self.boxes))


def read_clip(path: Path, canvas: Canvas) -> Video:
    info = probe(path)
    return read(path, fps=canvas.fps, size=covering(info.width, info.height, canvas.width, canvas.height))


def read_mask(path: Path, clip: Path, video: Video) -> Frames:
    """(T or 1, H, W) uint8, the size of `video`, which was read from `clip`. Raises UsageError for another size."""
    own, info = probe(path), probe(clip)
    if (own.width, own.height) != (info.width, info.height):
        raise UsageError(f"{path}: the mask is {own.width}x{own.height}, but {clip} is {info.width}x{info.height}; "
                         "make the mask the size of the clip")
    height, width = video.frames.shape[1:3]
    mask: Frames = read(path, fps=video.fps, size=(width, height)).frames.max(axis=-1)
    return mask
