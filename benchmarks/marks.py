"""The invisible mark: how much of it is read back after what happens to films on their way, and what is read from films
that have none.

    python benchmarks/marks.py [--films 60] [--unmarked 200] [--given FOLDER ...] [--size 64x64] [--frames 33]

Films come from the procedural world, of scenes that no model was trained on, and from the folders given: films that a
model made, or real ones as the second, larger kind of unmarked films. Each is marked with its own id, encoded as
`media.write` does, and put through every treatment by itself. "found" is by the blind threshold, for a chance of a
false alarm of 1e-6 a film; "with the id" is where the reader is told what id to look for. Bit accuracy is over all
films, found or not. Last, the same reader on films without a mark, with the largest correlation that it met.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from manzar import media
from manzar.nouns import ManzarError, Video, VideoShape
from manzar.provenance.invisible import BITS, Reader, Reading, embed, payload_of
from manzar.world import clips

FIRST_SCENE = 5_000_000
FPS = 8.0
MOST_FRAMES = 150

Pictures = NDArray[np.uint8]


class Outcome(NamedTuple):
    right: int
    blind: Reading
    told: Reading


def world_films(count: int, shape: VideoShape, first: int) -> Iterator[Video]:
    return (video for video, _ in clips(count, first, shape, FPS))


def given_films(folders: Iterable[Path]) -> Iterator[Video]:
    """Every film below the folders that can be read, its sides made even."""
    for folder in folders:
        for path in sorted(each for each in folder.rglob("*") if each.suffix.lower() in media.SUFFIXES):
            try:
                video = media.read(path, max_frames=MOST_FRAMES)
            except ManzarError as error:
                print(f"  left out: {error}")
                continue
            height, width = (side // 2 * 2 for side in video.frames.shape[1:3])
            if min(height, width) >= 32:
                yield Video(video.frames[:, :height, :width], video.fps)


def encoded(video: Video, crf: int, folder: Path) -> Pictures:
    """Through H.264 at this quality, in x264's own default effort."""
    path = folder / "encoded.mp4"
    with av.open(str(path), "w") as output:
        rate = Fraction(video.fps).limit_denominator(1001)
        stream = output.add_stream("libx264", rate=rate, options={"crf": str(crf), "preset": "medium"})
        stream.height, stream.width, stream.pix_fmt = *video.frames.shape[1:3], "yuv420p"
        stream.codec_context.thread_count = 1
        for frame in video.frames:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        output.mux(stream.encode(None))
    return media.read(path).frames


def written(video: Video, suffix: str, folder: Path) -> Pictures:
    return media.read(media.write(video, folder / f"written{suffix}")).frames


def scaled(frames: Pictures, share: float) -> Pictures:
    height, width = (round(side * share / 2) * 2 for side in frames.shape[1:3])
    return np.stack([np.asarray(Image.fromarray(each).resize((width, height), Image.Resampling.BICUBIC))
                     for each in frames])  # fmt: skip


def cropped(frames: Pictures, share: float, *, at_edge: bool) -> Pictures:
    """Without so much of width and height: half of it on either side, or all of it at the left and the bottom."""
    height, width = (round(side * (1 - share) / 2) * 2 for side in frames.shape[1:3])
    top = 0 if at_edge else (frames.shape[1] - height) // 2
    left = frames.shape[2] - width if at_edge else (frames.shape[2] - width) // 2
    return frames[:, top : top + height, left : left + width]


def treatments(folder: Path) -> dict[str, Callable[[Video], Pictures]]:
    """Each takes the film as it was written by `media.write` and gives what comes out at the other end."""

    def again(video: Video, frames: Pictures, crf: int = 23) -> Pictures:
        return encoded(Video(frames, video.fps), crf, folder)

    return {
        "nothing": lambda video: video.frames,
        "re-encoded, CRF 23": lambda video: again(video, video.frames),
        "re-encoded, CRF 28": lambda video: again(video, video.frames, 28),
        "re-encoded, CRF 35": lambda video: again(video, video.frames, 35),
        "scaled to 0.75, CRF 23": lambda video: again(video, scaled(video.frames, 0.75)),
        "scaled to 0.5, CRF 23": lambda video: again(video, scaled(video.frames, 0.5)),
        "cropped 10 %, middle, CRF 23": lambda video: again(video, cropped(video.frames, 0.1, at_edge=False)),
        "cropped 10 %, edge, CRF 23": lambda video: again(video, cropped(video.frames, 0.1, at_edge=True)),
        "cut to 2 s, CRF 23": lambda video: again(video, video.frames[: round(2 * video.fps)]),
        "to GIF": lambda video: written(video, ".gif", folder),
        "to WebP": lambda video: written(video, ".webp", folder),
    }


def read(frames: Pictures, expected: int | None = None) -> tuple[Reading, Reading]:
    """Blind, and told what to look for."""
    reader = Reader()
    for frame in frames[:MOST_FRAMES]:
        reader.add(frame)
    blind = reader.reading()
    assert blind is not None, "a film has pictures"
    told = blind if blind.found else reader.reading(expected)
    return blind, told or blind


def psnr(a: Pictures, b: Pictures) -> float:
    """dB."""
    return float(10 * np.log10(255**2 / np.square(a.astype(np.float32) - b).mean()))


def marked(films: Iterable[Video], folder: Path) -> None:
    ways = treatments(folder)
    outcomes: dict[str, list[Outcome]] = {name: [] for name in ways}
    noise = []
    for index, video in enumerate(films):
        payload = payload_of(f"video_{index:024x}")
        frames = next(embed([video.frames], payload))
        noise.append(psnr(frames, video.frames))
        film = Video(written(Video(frames, video.fps), ".mp4", folder), video.fps)
        for name, way in ways.items():
            blind, told = read(way(film), payload)
            outcomes[name].append(Outcome(BITS - (blind.payload ^ payload).bit_count(), blind, told))
    print(f"{len(noise)} films; PSNR of the mark {np.mean(noise):.1f} dB, worst film {min(noise):.1f} dB")
    print(f"{'':30} {'bits right':>10} {'worst':>6} {'all 32':>8} {'found':>8} {'with the id':>12} {'correlation':>12}")
    for name, each in outcomes.items():
        right = [one.right / BITS for one in each]
        of = f"/{len(each)}"
        print(f"{name:30} {np.mean(right):10.2%} {min(right):6.0%} {right.count(1.0):5d}{of} "
              f"{sum(one.blind.found for one in each):5d}{of} {sum(one.told.found for one in each):9d}{of} "
              f"{np.mean([one.blind.correlation for one in each]):12.1f}", flush=True)  # fmt: skip


def unmarked(name: str, films: Iterable[Video], folder: Path) -> None:
    """Both what is found blind and what is found when one id is asked for."""
    blind, told, largest = 0, 0, 0.0
    count = 0
    for count, video in enumerate(films, 1):
        readings = read(written(video, ".mp4", folder), payload_of(f"nobody's {count}"))
        blind, told = blind + readings[0].found, told + readings[1].found
        largest = max(largest, readings[0].correlation / readings[0].threshold)
    print(f"unmarked, {name}: {count} films, {blind} found, {told} found with an id; "
          f"the largest correlation was {largest:.2f} of its threshold", flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=int, default=60)
    parser.add_argument("--unmarked", type=int, default=200)
    parser.add_argument("--given", type=Path, nargs="*", default=[], help="folders of films")
    parser.add_argument("--size", default="64x64")
    parser.add_argument("--frames", type=int, default=33)
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    shape = VideoShape(options.frames, height, width)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.films:
            print(f"{shape} of the world")
            marked(world_films(options.films, shape, FIRST_SCENE), folder)
        if options.unmarked:
            unmarked("of the world", world_films(options.unmarked, shape, FIRST_SCENE + options.films), folder)
        if options.given:
            print("films given")
            marked(given_films(options.given), folder)
            unmarked("given", given_films(options.given), folder)


if __name__ == "__main__":
    main()
