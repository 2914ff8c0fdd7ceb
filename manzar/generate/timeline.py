"""How a generation lies in time: what is given before and after, what is made between, and in which windows.

All is counted in latent frames. A model has seen videos up to a certain length, its window. What is longer is made
window after window: each is given the last few latent frames of the one before it and goes on from there. Backwards
it is the other way round: each is given the first few of the one behind it, and leads up to them.
"""

from __future__ import annotations

from dataclasses import dataclass

CONTEXT = 3  # latent frames of the past, or of the future, that a window is shown at most
SMALLEST = 3  # a window must hold something given at either end and something made


@dataclass(frozen=True)
class Window:
    """Latent frames start … stop are sampled together; of these, fresh … end are new and are kept.

    What is neither fresh nor given, a backward window's first frame, is dropped: latent frame 0 of a sample covers one
    pixel frame where the whole has r of them.
    """

    start: int
    stop: int
    fresh: int
    end: int

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class Timeline:
    """`before` given latent frames, then `made` ones, then `after` given ones.

    backward: windows are made from the end towards the beginning.
    closing: what is given at the end is known only once the beginning is made, so that takes a window of its own.
    again: behind what is made stand so many latent frames over again, those after the first; see `Loop`.
    """

    made: int
    before: int = 0
    after: int = 0
    backward: bool = False
    closing: bool = False
    again: int = 0

    def __post_init__(self) -> None:
        assert self.made >= 1 and self.before >= 0 and self.after >= 0, self
        assert not (self.backward and self.before), f"backwards there is nothing before: {self}"
        assert not self.closing or (self.made >= 2 and self.after), f"too short to close: {self}"
        assert 0 <= self.again < self.made, self

    @property
    def total(self) -> int:
        return self.before + self.made + self.after + self.again

    def frames(self, r: int) -> int:
        """Pixel frames of what is made: r to a latent frame, but one to the very first; a round has that at its end."""
        if self.again:
            return r * (self.made - 1)
        return r * self.made - (0 if self.before else r - 1)

    def context(self, r: int) -> int:
        """Pixel frames of what is given before."""
        return 1 + r * (self.before - 1) if self.before else 0

    def windows(self, size: int | None) -> list[Window]:
        """In the order in which they are made. size: the longest window, None where any length will do."""
        if self.again:
            return [Window(0, self.total, 0, self.total)]
        size = max(self.total if size is None else size, SMALLEST)
        return self._backward(size) if self.backward else self._forward(size)

    def _forward(self, size: int) -> list[Window]:
        # The last windows are filled first. What is left for the first is then always more than what it hands on, and
        # the way back of a loop is as long as can be.
        carry = context(size, two_sided=self.after > 0)[0]
        counts: list[int] = []
        left = self.made
        while left + self.before + (0 if counts else self.after) > size or (self.closing and not counts):
            room = size - carry - (0 if counts else self.after)
            assert room > 0, f"{self.after} latent frames after and {carry} before leave no room in {size}"
            counts.append(min(room, left - 1))
            left -= counts[-1]
        counts.append(left)
        windows: list[Window] = []
        fresh = self.before
        for index, count in enumerate(reversed(counts)):
            end = fresh + count
            stop = self.total if index == len(counts) - 1 else end
            windows.append(Window(max(0, fresh - carry), stop, fresh, end) if index else Window(0, stop, 0, end))
            fresh = end
        return windows

    def _backward(self, size: int) -> list[Window]:
        windows: list[Window] = []
        end, behind = self.made, self.after
        while end + behind > size:
            start = end + behind - size
            assert start + 1 < end, f"{behind} given latent frames leave no room in a window of {size}"
            windows.append(Window(start, end + behind, start + 1, end))
            end, behind = start + 1, context(size)[1]
        return [*windows, Window(0, end + behind, 0, end)]


def context(size: int, two_sided: bool = False) -> tuple[int, int]:
    """Latent frames to give before and after what is made in a window, so that about half of it is left to make."""
    if two_sided:
        return min(CONTEXT, (size + 1) // 3), min(CONTEXT, size // 3)
    return min(CONTEXT, size // 2), min(CONTEXT, (size - 1) // 2)
