"""Everything that counts as footage: animated pictures, see-through ones, folders of images; and what is refused."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, features
from test_media import CLIPS, needs_clips, number_of, numbered
from test_media_screen import encoded

from manzar import media
from manzar.curate.cuts.scan import scan, scan_pictures
from manzar.media import stills
from manzar.nouns import ManzarError, MediaError, UsageError

RED, WHITE = np.array((255, 0, 0)), np.array((255, 255, 255))


def spotted(count: int = 4, side: int = 64) -> list[Image.Image]:
    """A red square with a notch that moves over a see-through ground whose hidden colour is black."""
    pictures = np.zeros((count, side, side, 4), np.uint8)
    for index in range(count):
        pictures[index, 16:48, 8 * index : 8 * index + 32] = (255, 0, 0, 255)
        pictures[index, 16:20, 8 * index : 8 * index + 4] = 0
    return [Image.fromarray(picture) for picture in pictures]


@pytest.mark.parametrize("suffix", ["gif", "webp", "apng", "avif"])
def test_animations_are_seen_on_white_at_their_rate(tmp_path: Path, suffix: str) -> None:
    if suffix == "avif" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    path = tmp_path / f"x.{suffix}"
    form = {"apng": "PNG"}.get(suffix, suffix.upper())
    options = {"lossless": True} if suffix == "webp" else {"quality": 100} if suffix == "avif" else {}
    if suffix == "gif":
        options = {"disposal": 2}
    first, *others = spotted()
    first.save(path, form, save_all=True, append_images=others, duration=200, loop=0, **options)
    found = media.probe(path)
    assert (found.width, found.height, found.fps, found.alpha) == (64, 64, 5.0, True)
    shown = media.read(path)
    assert shown.frames.shape == (4, 64, 64, 3) and shown.fps == 5.0
    for index, frame in enumerate(shown.frames.astype(int)):
        assert np.abs(frame[32, 8 * index + 16] - RED).max() <= 4
        assert np.abs(frame[4:12] - WHITE).max() <= 4 and np.abs(frame[32, -4] - WHITE).max() <= 4
    small = media.read(path, size=(32, 32)).frames.astype(int)
    assert small[0, 4, 4:10].min() >= 240  # no dark rim of the hidden black
    assert [round(seconds, 3) for seconds, _ in media.frames(path)] == [0.0, 0.2, 0.4, 0.6]


def test_uneven_and_hurried_animations(tmp_path: Path) -> None:
    path = tmp_path / "x.webp"
    first, *others = (Image.fromarray(frame) for frame in numbered(4).frames)
    first.save(path, save_all=True, append_images=others, duration=[100, 300, 0, 100])
    assert [round(seconds, 3) for seconds, _ in media.frames(path)] == [0.0, 0.1, 0.4, 0.5]
    assert [number_of(frame) for frame in media.read(path, fps=10.0).frames] == [0, 1, 1, 1, 2, 3]
    still = tmp_path / "still.webp"
    first.save(still)
    assert (media.probe(still).frames, media.read(still).seconds) == (1, 1.0)


def test_the_rate_of_an_uneven_animation_is_its_mean(tmp_path: Path) -> None:
    path = tmp_path / "x.webp"
    first, *others = (Image.fromarray(frame) for frame in numbered(20).frames)
    first.save(path, save_all=True, append_images=others, duration=[2000, *[40] * 19])
    found = media.probe(path)
    assert (found.frames, found.seconds) == (20, pytest.approx(2.76))
    assert found.fps == pytest.approx(20 / 2.76)
    data = bytearray(path.read_bytes())
    last = data.rindex(b"ANMF") + 24  # the picture's own chunk
    data[last + 18 : last + 28] = b"\xff" * 10
    path.write_bytes(data)
    assert media.probe(path).fps == pytest.approx(19 / 2.72)


@pytest.mark.skipif("libvpx-vp9" not in av.codecs_available, reason="FFmpeg without libvpx")
def test_alpha_of_vp9_is_decoded(tmp_path: Path) -> None:
    planes = np.zeros((4, 160, 64), np.uint8)  # Y, U and V, A of yuva420p
    planes[:, :64], planes[:, 64:96], planes[:, 96:] = 81, 128, 0
    planes[:, 96 + 16 : 96 + 48, 16:48] = 255
    path = tmp_path / "x.webm"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libvpx-vp9", rate=10, options={"crf": "4", "b": "0", "auto-alt-ref": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuva420p"
        stream.metadata["alpha_mode"] = "1"
        for array in planes:
            picture = av.VideoFrame(64, 64, "yuva420p")
            parts = (array[:64], array[64:80].reshape(32, 32), array[80:96].reshape(32, 32), array[96:])
            for plane, part in zip(picture.planes, parts, strict=True):
                padded = np.zeros((plane.height, plane.line_size), np.uint8)
                padded[:, : plane.width] = part
                plane.update(padded.tobytes())
            output.mux(stream.encode(picture))
        output.mux(stream.encode(None))
    shown = media.read(path).frames
    assert shown.shape == (4, 64, 64, 3)
    assert shown[:, :12].min() > 245 and shown[:, 20:44, 20:44].max() < 100
    assert media.probe(path).alpha
    assert np.array_equal(media.picture(path, frame=3), shown[3])


def test_straight_alpha_of_a_film(tmp_path: Path) -> None:
    argb = [np.asarray(picture)[..., [3, 0, 1, 2]] for picture in spotted()]
    path = encoded(tmp_path / "x.mov", argb, "qtrle", "argb", source="argb")
    assert media.probe(path).alpha
    frame = media.read(path).frames[1]
    assert tuple(frame[32, 24]) == (255, 0, 0) and tuple(frame[2, 2]) == (255, 255, 255)
    assert not media.probe(media.write(numbered(2), tmp_path / "x.gif")).alpha


@needs_clips
def test_real_files_with_alpha() -> None:
    flower = media.read(CLIPS / "awkward/alpha_vp9_flower.webm", max_frames=30).frames
    assert flower[:, :8, :8].min() > 250 and flower[:, 60:120, 130:190].mean() < 180
    assert media.probe(CLIPS / "awkward/alpha_vp9.webm").alpha
    still = media.probe(CLIPS / "awkward/single_image.avif")
    assert (still.width, still.height, still.frames, still.bit_depth) == (1204, 800, 1, 10)


def save_numbered(folder: Path, names: list[str]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, frame in zip(names, numbered(len(names)).frames, strict=True):
        Image.fromarray(frame).save(folder / name)
    return folder


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "JPEG"])
def test_a_folder_of_numbered_images_is_a_film(tmp_path: Path, suffix: str) -> None:
    folder = save_numbered(tmp_path / "take 2", [f"shot3_{index}.{suffix}" for index in range(12)])
    (folder / "notes.txt").write_text("mine")
    assert media.is_image_folder(folder)
    found = media.probe(folder)
    assert (found.width, found.height, found.fps, found.frames, found.seconds) == (96, 64, 24.0, 12, 0.5)
    shown = media.read(folder)
    assert [number_of(frame) for frame in shown.frames] == list(range(12))  # 2 before 10
    assert shown.fps == 24.0
    assert [number_of(f) for f in media.read(folder, start_frame=7, max_frames=3).frames] == [7, 8, 9]
    assert number_of(media.picture(folder, seconds=0.25)) == 6
    assert media.read(folder, size=(24, 16)).frames.shape == (12, 16, 24, 3)


def test_what_is_no_image_folder(tmp_path: Path) -> None:
    assert not media.is_image_folder(tmp_path)
    assert not media.is_image_folder(tmp_path / "absent")
    one = save_numbered(tmp_path / "one", ["a1.png"])
    assert not media.is_image_folder(one)
    assert not media.is_image_folder(one / "a1.png")
    words = save_numbered(tmp_path / "words", ["cat.png", "dog.png"])
    assert not media.is_image_folder(words)
    eyes = save_numbered(tmp_path / "eyes", ["left1.png", "left2.png", "right1.png", "right2.png"])
    assert not media.is_image_folder(eyes)
    film = save_numbered(tmp_path / "film", ["a1.png", "a2.png"])
    assert media.is_image_folder(film)
    media.write(numbered(2), film / "made of them.mp4")
    assert not media.is_image_folder(film)
    clips = tmp_path / "clips"
    for index in (1, 2):
        media.write(numbered(3), clips / f"clip_{index}.webp")
    assert not media.is_image_folder(clips)  # two films
    with pytest.raises(UsageError, match="is a folder; a file is needed"):
        media.read(words)


def test_images_of_every_make_in_one_folder(tmp_path: Path) -> None:
    """Turned by a camera, of another shape, see-through, with 16 bits, or with a palette."""
    upright = np.full((64, 96, 3), (30, 60, 90), np.uint8)
    upright[:, :32] = 230
    turned = Image.fromarray(np.rot90(upright))  # stored a quarter turn anticlockwise
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(tmp_path / "a0.png", exif=exif)
    Image.fromarray(upright[:, :48]).save(tmp_path / "a1.png")
    Image.fromarray(np.dstack((upright, np.full((64, 96), 0, np.uint8)))).save(tmp_path / "a2.png")
    Image.fromarray(np.full((64, 96), 0x8000, np.uint16)).save(tmp_path / "a3.png")
    Image.fromarray(upright).quantize(8).save(tmp_path / "a4.png")
    found = media.probe(tmp_path)
    assert (found.width, found.height, found.rotation) == (96, 64, 90)
    shown = media.read(tmp_path).frames
    assert np.array_equal(shown[0], upright)
    assert shown[1, :, :20].max() == 0 and shown[1, :, 26:56].min() > 220 and shown[1, :, 76:].max() == 0
    assert shown[2].min() == 255
    assert np.abs(shown[3].astype(int) - 128).max() <= 1
    assert np.abs(shown[4].astype(int) - upright).max() <= 3


def test_a_damaged_image_says_how_many_came_before(tmp_path: Path) -> None:
    folder = save_numbered(tmp_path / "x", [f"f{index}.png" for index in range(5)])
    (folder / "f2.png").write_bytes((folder / "f2.png").read_bytes()[:60])
    (folder / "f3.png").write_text("no picture")
    shown = []
    with pytest.raises(MediaError, match=r"f2.png: damaged .*; 2 frames survive before it"):
        shown.extend(media.frames(folder))
    assert len(shown) == 2
    with pytest.raises(MediaError, match=r"f3.png: not a picture"):
        media.read(folder, start_frame=3)
    path = media.write(numbered(6), tmp_path / "x.webp")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(MediaError, match=r"frames survive before it"):
        list(media.frames(path))
    (tmp_path / "y.webp").write_bytes(b"RIFF\x00\x00\x00\x00WEBPjunk")
    with pytest.raises(MediaError, match=r"y.webp: not a picture"):
        media.probe(tmp_path / "y.webp")


def huge_png(path: Path, side: int) -> Path:
    """A PNG whose header promises `side` squared of grey; there is no more than a little of it."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(4000))) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


def test_pictures_too_large_to_hold_are_refused(tmp_path: Path) -> None:
    for index in (1, 2):
        huge_png(tmp_path / f"{index}.png", 9000)
    with pytest.raises(MediaError, match=r"9000x9000 is larger than 8192x8192; make it smaller first; 0 frames"):
        media.probe(tmp_path)
    with pytest.raises(MediaError, match="larger than 8192x8192"):
        media.read(tmp_path / "1.png")
    claim = encoded(tmp_path / "claim.mov", list(numbered(2).frames), "qtrle", "rgb24")
    data = bytearray(claim.read_bytes())
    struct.pack_into(">HH", data, data.index(b"rle ") + 28, 20000, 20000)  # the sample description's width and height
    claim.write_bytes(data)
    with pytest.raises(MediaError, match="larger than 8192x8192"):
        media.probe(claim)


def test_files_that_name_other_files_are_refused(tmp_path: Path) -> None:
    encoded(tmp_path / "part.ts", list(numbered(5).frames))
    joined = tmp_path / "joined.mp4"
    joined.write_text("ffconcat version 1.0\nfile 'part.ts'\n")
    with pytest.raises(MediaError, match="is a playlist that names other files"):
        media.probe(joined)
    remote = tmp_path / "remote.m3u8"
    remote.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://192.0.2.1/secret.ts\n#EXT-X-ENDLIST\n")
    with pytest.raises(MediaError, match=r"remote.m3u8"):
        media.probe(remote)


def test_names_that_look_like_something_else(tmp_path: Path) -> None:
    for name in ("http:a.mp4", "take%03d.mp4", "-y.mp4", "a|b 'c' #1?.mp4", "منظر.mp4", "pipe:0.mp4"):
        assert number_of(media.picture(media.write(numbered(3), tmp_path / name), frame=2)) == 2


def test_suffixes_and_what_they_open(tmp_path: Path) -> None:
    assert {".mp4", ".webm", ".gif", ".webp", ".avif", ".apng", ".y4m"} <= media.SUFFIXES
    assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in media.SUFFIXES)
    mislabelled = media.write(numbered(4), tmp_path / "x.webp").rename(tmp_path / "x.mp4")
    assert media.probe(mislabelled).codec == "webp"
    assert stills.pillow_format(media.write(numbered(2), tmp_path / "y.mp4")) is None


def without_pictures(path: Path) -> Path:
    """An AVI with the header of a video stream and only its sound."""
    with av.open(str(path), "w") as output:
        video, sound = output.add_stream("mpeg4", rate=10), output.add_stream("pcm_s16le", rate=8000)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for index in range(4):
            samples = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
            samples.sample_rate, samples.pts = 8000, 800 * index
            output.mux(sound.encode(samples))
        output.mux(sound.encode(None))
    return path


def test_a_stream_without_a_picture_is_damaged(tmp_path: Path) -> None:
    path = without_pictures(tmp_path / "x.avi")
    for look in (media.probe, media.read, media.picture, scan, lambda file: list(media.frames(file))):
        with pytest.raises(MediaError, match=r"x\.avi: .*0 frames survive"):
            look(path)
    with pytest.raises(MediaError, match="0 frames survive"):
        scan_pictures([])


@pytest.mark.parametrize(("threads", "expected"), [("4,2", 2), ("0", 2), ("1", 1)])
def test_every_legal_number_of_threads(threads: str, expected: int) -> None:
    code = "from manzar.media.film import DECODER_THREADS; print(DECODER_THREADS)"
    environment = {**os.environ, "OMP_NUM_THREADS": threads}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert int(done.stdout) == expected


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """`data` cut short, with a stretch of zeros, or with a few bytes changed."""
    kind, at = int(rng.integers(3)), int(rng.integers(8, len(data)))
    if kind == 0:
        return data[:at]
    if kind == 1:
        return data[:at] + bytes(min(200, len(data) - at)) + data[at + 200 :]
    changed = bytearray(data)
    for place in rng.integers(8, len(data), 6):
        changed[place] = int(rng.integers(256))
    return bytes(changed)


@pytest.mark.parametrize("name", ["x.mp4", "x.webm", "x.gif", "x.webp", "x.apng", "x.avif", "x.ts", "x.avi"])
def test_damage_anywhere_ends_in_frames_or_in_a_named_error(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if path.suffix in (".apng", ".avif"):
        first, *others = spotted()
        first.save(path, "PNG" if path.suffix == ".apng" else "AVIF", save_all=True, append_images=others)
    elif path.suffix in (".ts", ".avi"):
        encoded(path, list(numbered(12).frames), options={"crf": "20", "g": "4"})
    else:
        media.write(numbered(12), path)
    whole, rng, messages = path.read_bytes(), np.random.default_rng(0), list[str]()
    for _ in range(16):
        path.write_bytes(damaged(whole, rng))
        for look in (media.probe, media.thumbnail, lambda file: list(media.frames(file, size=(16, 16)))):
            try:
                look(path)
            except ManzarError as error:
                messages.append(str(error))
    assert all(name in message for message in messages)
