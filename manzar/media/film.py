"""Files that FFmpeg decodes: one pass from front to back, or from the key frame before the part that is wanted.

Nothing here holds more than a picture or two. Sound and data streams are thrown away before they are decoded.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, suppress
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
from av.codec import CodecContext
from av.stream import Discard

from manzar.media.clock import GAP_S, Clock
from manzar.media.deinterlace import deinterlaced
from manzar.media.screen import HDR, Screen
from manzar.media.source import FALLBACK_FPS, MOST_PIXELS, TOO_LARGE, Probe
from manzar.nouns import MediaError

if TYPE_CHECKING:
    from manzar.media.source import Timed

    TimedPicture = tuple[float, av.VideoFrame]

DECODER_THREADS = 1 if os.environ.get("OMP_NUM_THREADS") == "1" else 2  # one where processes fill the cores
THREADED_PIXELS = 640 * 360  # below this a second decoding thread costs more than it brings
PLAUSIBLE_FPS = (0.1, 240.0)  # containers without a clock claim 1000 or 90000 frames per second
OPTIONS = {
    "protocol_whitelist": "file",  # a file that names others, over the network or on this disk, gets none of them
    "max_pixels": str(MOST_PIXELS),
    "probesize": "5000000",  # bytes
    "analyzeduration": "7000000",  # microseconds
}
PLAYLISTS = frozenset(("concat", "dash", "hls"))
# The decoders of FFmpeg itself drop the alpha of these; the library's own wrapper decodes it.
ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
NEAR_S = 2.0  # nearer than most key frames lie apart: decoded from the beginning
NEAR_FRAMES = 250
SEEK_BACK_S = (0.0, 10.0)  # where an index points too late, try once more from further back
KEY_FRAME_WITHIN = 600  # pictures
REORDER = 32  # pictures; codecs store one at most 16 places from where it is shown
ONE_PICTURE_A_PACKET = frozenset(("av1", "h264", "hevc", "libdav1d", "mjpeg", "prores", "vp9"))
PROGRESSIVE = (0, 1)  # AVFieldOrder: unknown, progressive


class Film:
    """An opened file. Raises MediaError if FFmpeg cannot open it or it holds no pictures."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.container = _container(path)
        try:
            self.stream = self._video_stream()
            self.fps = self._nominal_fps()
            self._decoder = self._alpha_decoder()
        except BaseException:
            self.close()
            raise
        self._screen: Screen | None = None
        self._sought_s: float | None = None  # where the file was sought to, if it was
        self.woven = False  # a picture of two fields was met

    def close(self) -> None:
        with suppress(av.error.FFmpegError, OSError):
            self.container.close()

    def probe(self) -> Probe:
        """Size and kind from the header and the first picture. Raises MediaError if there is none."""
        first = next(self._timed(Clock(self.fps)), None)
        if first is None or self._screen is None:
            raise MediaError(f"{self.path}: damaged, 0 frames survive; no picture can be decoded from it")
        picture, context = first[1], self.stream.codec_context
        width, height = self._screen.displayed
        return Probe(
            width=width,
            height=height,
            fps=self.fps,
            frames=self.stream.frames or None,
            seconds=self._declared_seconds(),
            codec=context.name,
            rotation=-90 * round(picture.rotation / 90) % 360,
            pixel_aspect=float(self._screen.pixel_aspect),
            interlaced=self.woven,
            hdr=HDR.get(picture.color_trc, ""),
            bit_depth=max(component.bits for component in picture.format.components),
            alpha=self._screen.see_through(picture),
            audio=bool(self.container.streams.audio),
        )

    def pictures(self, size: tuple[int, int] | None, *, start_s: float = 0.0, start_frame: int = 0) -> Iterator[Timed]:
        """(seconds since the first picture, uint8 (H, W, 3)) from one at or before `start_s`, or from exactly the
        `start_frame`-th on; MediaError at a damaged place, or if nothing can be decoded."""
        if start_s > NEAR_S or start_frame > NEAR_FRAMES:
            yield from self._far_pictures(size, start_s, start_frame)
            return
        for seconds, picture in islice(self._timed(Clock(self.fps)), start_frame, None):
            yield self._shown(seconds, picture, size)

    def _far_pictures(self, size: tuple[int, int] | None, start_s: float, start_frame: int) -> Iterator[Timed]:
        """By seeking where the file allows it, else from its beginning."""
        clock = Clock(self.fps)
        if next(self._timed(clock), None) is not None and clock.origin is not None:
            wanted = self._seconds_of(start_frame) if start_frame else start_s
            sought = None if wanted is None else self._sought(clock.origin, wanted)
            if sought is not None and start_frame:
                sought = _beginning_with(sought, wanted)
            if sought is not None:
                for seconds, picture in sought:
                    yield self._shown(seconds, picture, size)
                return
        with closing(Film(self.path)) as again:
            for seconds, picture in islice(again._timed(Clock(self.fps)), start_frame, None):
                yield again._shown(seconds, picture, size)

    def _shown(self, seconds: float, picture: av.VideoFrame, size: tuple[int, int] | None) -> Timed:
        assert self._screen is not None, "the first picture sets up the screen"
        try:
            return seconds, self._screen.show(picture, size or self._screen.displayed)
        except (av.error.FFmpegError, ValueError) as error:
            raise MediaError(f"{self.path}: a picture cannot be converted ({_reason(error)})") from error

    def _timed(self, clock: Clock) -> Iterator[TimedPicture]:
        """Progressive pictures with their times from where the file stands."""
        for picture in self._whole():
            if self._screen is None:
                self._screen = Screen(picture, self.stream.sample_aspect_ratio)
            yield clock.seconds(picture), picture

    def _whole(self) -> Iterator[av.VideoFrame]:
        """Pictures up to the first damaged place, where MediaError says how many there were."""
        count = 0
        try:
            for picture in deinterlaced(self._decoded()):
                count += 1
                yield picture
        except (av.error.EOFError, EOFError):  # some demuxers end this way
            return
        except (av.error.FFmpegError, OSError) as error:
            reason = f"damaged ({_reason(error)})"
            if self.stream.codec_context.width == 0:  # FFmpeg refuses a picture for its size without saying so
                reason = f"damaged, or {TOO_LARGE}"
            place = "before" if self._sought_s is None else f"from {self._sought_s:.2f} s to"
            raise MediaError(f"{self.path}: {reason}; {count} frames survive {place} it") from error

    def _decoded(self) -> Iterator[av.VideoFrame]:
        for packet in self.container.demux(self.stream):
            if self._decoder is None:
                pictures = packet.decode()
            else:
                pictures = self._decoder.decode(packet if packet.size else None)
            for picture in pictures:
                self.woven = self.woven or picture.interlaced_frame
                yield picture

    def _sought(self, origin: float, wanted: float) -> Iterator[TimedPicture] | None:
        """Pictures from the key frame at or before `wanted` seconds on; None where seeking does not find one."""
        for back in SEEK_BACK_S:
            with suppress(av.error.FFmpegError, OSError, MediaError):
                target = int((origin + max(0.0, wanted - back)) / float(self.stream.time_base))
                self._sought_s = max(0.0, wanted - back)
                self.container.seek(target, stream=self.stream, backward=True)
                if self._decoder is not None:
                    self._decoder.flush_buffers()
                timed = self._timed(Clock(self.fps, origin))
                # What comes before the key frame leans on pictures that were not decoded.
                keyed = (pair for pair in islice(timed, KEY_FRAME_WITHIN) if pair[1].key_frame)
                opening = next(keyed, None)
                if opening is not None and opening[0] <= wanted:
                    return chain((opening,), timed)
        return None

    def _seconds_of(self, index: int) -> float | None:
        """When the `index`-th picture is shown, by reading packets without decoding them; None where only decoding
        can tell: packets without a time, or without exactly one picture each."""
        if self._decoder or self.woven or self.stream.codec_context.name not in ONE_PICTURE_A_PACKET:
            return None
        stamps: list[int] = []
        with closing(Film(self.path)) as again, suppress(av.error.FFmpegError, OSError):
            if again.stream.codec_context.field_order not in PROGRESSIVE:
                return None
            for packet in again.container.demux(again.stream):
                if len(stamps) > index + REORDER or not packet.size:
                    break
                if packet.pts is None or packet.is_discard or packet.is_corrupt:
                    return None
                if not stamps and not packet.is_keyframe:
                    return None
                stamps.append(packet.pts)
        shown = sorted(stamps)
        if len(shown) <= index or shown[0] != stamps[0] or len(set(shown)) < len(shown):
            return None
        tick = float(self.stream.time_base)
        if max(later - earlier for earlier, later in pairwise(shown)) * tick > GAP_S:
            return None
        return shown[index] * tick - shown[0] * tick

    def _video_stream(self) -> Any:
        if self.container.format.name in PLAYLISTS:
            raise MediaError(f"{self.path} is a playlist that names other files; give those files themselves")
        stream = self.container.streams.best("video")
        if stream is None:
            raise MediaError(f"{self.path} holds no pictures, only sound or data; a video is needed")
        for other in self.container.streams:
            if other is not stream:
                other.discard = Discard.all
        context = stream.codec_context
        if context is None:
            raise MediaError(f"{self.path}: its pictures are in a codec that cannot be decoded here; 0 frames survive")
        if context.width * context.height > MOST_PIXELS:
            raise MediaError(f"{self.path}: {context.width}x{context.height} is {TOO_LARGE}; 0 frames survive")
        context.options = {"max_pixels": str(MOST_PIXELS)}
        context.thread_count = DECODER_THREADS
        context.thread_type = "AUTO" if context.width * context.height >= THREADED_PIXELS else "NONE"
        return stream

    def _alpha_decoder(self) -> Any:
        name = ALPHA_DECODERS.get(self.stream.codec_context.name)
        marked = any(key.lower() == "alpha_mode" and value == "1" for key, value in self.stream.metadata.items())
        if name is None or not marked or name not in av.codecs_available:
            return None
        decoder = CodecContext.create(name, "r")
        decoder.options = {"max_pixels": str(MOST_PIXELS)}
        return decoder

    def _nominal_fps(self) -> float:
        for rate in (self.stream.average_rate, self.stream.guessed_rate, self.stream.base_rate):
            if rate is not None and PLAUSIBLE_FPS[0] <= rate <= PLAUSIBLE_FPS[1]:
                return float(rate)
        return FALLBACK_FPS

    def _declared_seconds(self) -> float | None:
        """Length of the pictures by the header; where it does not tell streams apart, of the longest of them."""
        if self.stream.duration and self.stream.time_base:
            return float(self.stream.duration * self.stream.time_base)
        return float(self.container.duration) / float(av.time_base) if self.container.duration else None


def _container(path: Path) -> Any:
    try:
        return av.open(f"file:{path}", options=dict(OPTIONS), metadata_errors="replace")
    except (av.error.FFmpegError, OSError) as error:
        raise MediaError(f"{path}: not a video that can be opened ({_reason(error)}); 0 frames survive") from error


def _beginning_with(timed: Iterator[TimedPicture], wanted: float | None) -> Iterator[TimedPicture] | None:
    """The pictures from the one shown at exactly `wanted` seconds on; None if there is no such picture."""
    assert wanted is not None, "a picture is looked for by its time"
    with suppress(MediaError):
        for seconds, picture in timed:
            if seconds > wanted - 1e-9:
                return chain(((seconds, picture),), timed) if seconds < wanted + 1e-9 else None
    return None


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).strip()
