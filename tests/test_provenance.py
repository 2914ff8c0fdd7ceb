"""Marks of origin: what is written, what is read back, what a changed, a foreign and a broken file are said to be."""

from __future__ import annotations

import importlib.util
import json
import os
import stat
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from tiny_model import tiny_parts

from manzar.cli import main
from manzar.generate import save_parts
from manzar.generate.files import generate_files
from manzar.media import read, write, write_stream
from manzar.media.tags import tags
from manzar.nouns import MediaError, Request, UsageError, Video, VideoShape
from manzar.provenance import (
    Finding,
    Marks,
    Stamp,
    certificate,
    finish_file,
    invisible,
    mark_stream,
    metadata_of,
    signature,
    verify,
    visible,
)
from manzar.provenance.findings import INTACT, NOTHING_FOUND, TAMPERED, exit_code
from manzar.provenance.marks import MACHINE_READABLE
from manzar.provenance.metadata import AIGC, FIELDS, read_label
from manzar.world import clips

SHARED = Path(__file__).resolve().parents[2] / "shared"
STAMP = Stamp("video_0123456789abcdef01234567", "manzar", "0.1.0", "a secret wish", 7, 1_790_000_000.0)
signs = pytest.mark.skipif(
    not (importlib.util.find_spec("c2pa") and importlib.util.find_spec("cryptography")), reason="needs c2pa-python"
)


@pytest.fixture(scope="module")
def film() -> Video:
    return next(clips(1, 77, VideoShape(24, 64, 64)))[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("own") / "certificate"


@pytest.fixture(scope="module")
def full(film: Video, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with all marks."""
    path = tmp_path_factory.mktemp("films") / "full.mp4"
    (note,) = finish(film, path, Marks(), folder)
    assert note == "label: at 64x64 no sentence can be read, so it is the letters AI alone"
    return path


def finish(film: Video, path: Path, marks: Marks, folder: Path, stamp: Stamp = STAMP) -> list[str]:
    chunks = mark_stream([film.frames], film.fps, stamp, marks)
    write_stream(chunks, film.fps, path, metadata=metadata_of(stamp, marks))
    return finish_file(path, stamp, marks, certificate_folder=folder)


def by_mark(path: Path, folder: Path, **known: str) -> dict[str, Finding]:
    return {finding.mark: finding for finding in verify(path, certificate_folder=folder, **known)}


def encode(frames: np.ndarray, fps: float, path: Path, crf: int) -> Path:
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=round(fps), options={"crf": str(crf)})
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
        for frame in frames:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        output.mux(stream.encode(None))
    return path


# --- which marks, and what they say


def test_marks_are_parsed_and_told_in_the_same_words() -> None:
    assert Marks.parse("all") == Marks() and Marks.parse("none") == Marks(False, False, False, False)
    assert Marks.parse("c2pa, visible") == Marks(visible=True, metadata=False, c2pa=True, invisible=False)
    for marks in (Marks(), MACHINE_READABLE, Marks.parse("none")):
        assert Marks.parse(str(marks)) == marks
    with pytest.raises(UsageError, match=r"'watermark' is no mark; give all, none"):
        Marks.parse("visible,watermark")


def test_metadata_says_what_the_standard_asks_and_not_the_prompt(tmp_path: Path, film: Video) -> None:
    stamp = replace(STAMP, model='eine "Größe"; x')
    path = write_stream([film.frames], film.fps, tmp_path / "a.mp4", metadata=metadata_of(stamp, Marks()))
    found = tags(path)
    label = json.loads(found[AIGC])
    assert list(label) == list(FIELDS) and all(isinstance(value, str) for value in label.values())
    assert label["Label"] == "1" and label["ProduceID"] == label["PropagateID"] == STAMP.id
    assert label["ContentProducer"] == label["ContentPropagator"] == "manzar"
    assert found[AIGC].isascii() and found["comment"].isascii() and "model: eine _Gr__e__ x 0.1.0" in found["comment"]
    assert found["comment"].startswith("AI-generated; ") and "seed: 7" in found["comment"]
    raw = path.read_bytes()
    assert b"secret" not in raw and raw.index(b"moov") < raw.index(b"mdat")  # the index stays in front
    assert b"keys" in raw and b"ilst" in raw
    assert stamp.generation.prompt_sha256 != replace(stamp, id="another").generation.prompt_sha256


def test_metadata_goes_where_it_can_and_changes_nothing_where_there_is_none(tmp_path: Path, film: Video) -> None:
    plain, none = write(film, tmp_path / "a.mp4"), write(film, tmp_path / "b.mp4", metadata={})
    assert plain.read_bytes() == none.read_bytes()
    told = write(film, tmp_path / "c.mp4", metadata={"AIGC": "x", "any key": "पाठ"})
    assert tags(told)["any key"] == "पाठ" and (read(told).frames == read(plain).frames).all()
    webm = write(Video(film.frames[:3], film.fps), tmp_path / "d.webm", metadata=metadata_of(STAMP, Marks()))
    assert (read_label(tags(webm)) or {})["ProduceID"] == STAMP.id
    with pytest.raises(UsageError, match=r"metadata can be written into \.mp4 and \.webm alone"):
        write(film, tmp_path / "e.gif", metadata={"a": "b"})


# --- the label


@pytest.mark.parametrize(("width", "height"), [(640, 360), (390, 844), (128, 128), (1280, 720)])
def test_the_label_is_large_at_first_then_small_and_always_inside(width: int, height: int) -> None:
    opening, later = (visible.label_for(width, height, opening=first) for first in (True, False))
    assert opening is not None and later is not None
    for label in (opening, later):
        assert label.top + label.ink.shape[0] <= height and label.left + label.ink.shape[1] <= width
        assert label.ink.max() > 0.9 and label.ink.min() == 0
    letter = np.flatnonzero(opening.ink[:, : opening.ink.shape[0] // 2 + 2].max(1) > 0.5)  # of the first, an A
    assert np.ptp(letter) + 1 >= 0.05 * min(width, height)
    assert opening.ink.size > 2 * later.ink.size


def test_the_label_changes_after_two_seconds_and_is_the_same_however_the_film_is_cut() -> None:
    film = np.full((30, 128, 160, 3), 90, np.uint8)
    whole = np.concatenate([*visible.draw([film], 8)])
    pieces = np.concatenate([*visible.draw([film[:5], film[5:17], film[17:]], 8)])
    assert (whole == pieces).all() and (film == 90).all()
    assert (whole[0] == whole[15]).all() and (whole[16] == whole[29]).all() and (whole[15] != whole[16]).any()
    assert (whole[:, :60] == 90).all()


def test_small_pictures_get_letters_of_pixels_and_tiny_ones_none(tmp_path: Path) -> None:
    small = next(visible.draw([np.zeros((1, 32, 32, 3), np.uint8)], 8))
    assert (small == 255).any() and visible.label_for(32, 32, opening=True) == visible.label_for(32, 32, opening=True)
    tiny = np.full((1, 8, 8, 3), 5, np.uint8)
    assert visible.notes(write(Video(tiny, 8), tmp_path / "a.mp4")) == ["label: 8x8 has no room for one"]
    assert visible.label_for(8, 8, opening=True) is None and (next(visible.draw([tiny], 8)) == tiny).all()


# --- the invisible mark


def test_the_mark_is_read_back_and_cannot_be_seen(film: Video) -> None:
    marked = next(invisible.embed([film.frames], 0xDEADBEEF))
    again = np.concatenate([*invisible.embed([film.frames[:7], film.frames[7:]], 0xDEADBEEF)])
    assert (marked == again).all()
    assert 10 * np.log10(255**2 / np.square(marked.astype(float) - film.frames).mean()) > 40
    reading = read_mark(marked)
    assert reading.found and reading.payload == 0xDEADBEEF and reading.correlation > 2 * reading.threshold


def read_mark(frames: np.ndarray, expected: int | None = None) -> invisible.Reading:
    reader = invisible.Reader()
    for frame in frames:
        reader.add(frame)
    reading = reader.reading(expected)
    assert reading is not None
    return reading


def test_the_mark_survives_compression_scaling_cropping_and_cutting(film: Video, tmp_path: Path) -> None:
    marked = next(invisible.embed([film.frames], 0x12345678))
    small = read(write(Video(marked, film.fps), tmp_path / "a.mp4"), size=(48, 48)).frames
    for name, frames in {"scaled": small, "cropped": marked[:, 4:62, 2:60], "cut": marked[6:14]}.items():
        out = read(encode(frames, film.fps, tmp_path / "b.mp4", crf=26)).frames
        reading = read_mark(out)
        assert reading.found and (reading.payload ^ 0x12345678).bit_count() <= 1, (name, reading)
    reading = read_mark(read(encode(marked, film.fps, tmp_path / "c.mp4", crf=28)).frames, 0x12345678)
    assert reading.found and reading.matching is not None and reading.matching >= 31


def test_a_large_picture_carries_the_mark_more_than_once_and_more_weakly() -> None:
    frames = next(clips(1, 5, VideoShape(3, 270, 480)))[0].frames
    marked = next(invisible.embed([frames], 99))
    reading = read_mark(marked)
    assert (reading.copies, reading.payload, reading.found) == (4, 99, True)
    assert 10 * np.log10(255**2 / np.square(marked.astype(float) - frames).mean()) > 43


def test_nothing_is_read_from_films_without_a_mark() -> None:
    """The bound is 1e-6 a film; what is seen stays well below its threshold."""
    films = [video.frames for video, _ in clips(12, 300, VideoShape(9, 64, 64))]
    films += [np.random.default_rng(seed).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8) for seed in range(4)]
    films += [np.zeros((2, 64, 64, 3), np.uint8)]
    for frames in films:
        reading = read_mark(frames, invisible.payload_of("nobody's"))
        assert not reading.found and reading.correlation < 0.9 * reading.threshold


def test_the_thresholds_keep_the_bound_on_false_alarms() -> None:
    for trials, payloads in ((3, 2.0**32), (1e7, 2.0**32), (3, 1.0)):
        chance = trials * payloads * np.exp(-invisible.threshold(trials, payloads) ** 2 / 2)
        assert chance <= 0.5000001e-6
    waves = invisible.wave_table()
    assert np.bincount(waves.bit, minlength=32).min() >= 20 and abs(waves.sign.mean()) < 0.15


def test_two_payloads_do_not_look_alike(film: Video) -> None:
    a, b = (invisible.payload_of(f"video_{letter * 24}") for letter in "ab")
    assert 4 < (a ^ b).bit_count() < 28
    reading = read_mark(next(invisible.embed([film.frames], a)), expected=b)
    assert reading.found and reading.payload == a and reading.matching == 32 - (a ^ b).bit_count()


# --- the signature


@signs
def test_the_certificate_is_made_once_and_its_key_is_its_owners(tmp_path: Path) -> None:
    place = tmp_path / "a/certificate"
    first = certificate.load_or_make(place)
    assert certificate.load_or_make(place) == first and "BEGIN CERTIFICATE" in first.chain
    assert stat.S_IMODE(os.stat(place / certificate.KEY).st_mode) == 0o600
    assert {entry.name for entry in place.iterdir()} == {certificate.ROOT, certificate.CHAIN, certificate.KEY}
    assert [entry.name for entry in place.parent.iterdir()] == ["certificate"]


@signs
def test_all_marks_are_found_on_a_finished_file(full: Path, folder: Path) -> None:
    found = by_mark(full, folder)
    assert {mark: finding.state for mark, finding in found.items()} == {
        "c2pa": "trusted", "metadata": "intact", "visible": "found", "invisible": "found"}  # fmt: skip
    assert found["invisible"].detail["bits"] == "32/32"
    assert found["c2pa"].detail["id"] == found["metadata"].detail["id"] == STAMP.id
    assert found["c2pa"].detail["ai_generated"] and found["c2pa"].detail["created"] == "2026-09-21T14:13:20Z"
    assert exit_code([*found.values()]) == INTACT
    json.dumps([vars(finding) for finding in found.values()])


@signs
def test_a_signature_of_somebody_else_holds_and_is_not_trusted(full: Path, tmp_path: Path) -> None:
    found = by_mark(full, tmp_path / "nowhere")["c2pa"]
    assert (found.state, found.detail["trust"], found.tampered) == ("valid", ["signingCredential.untrusted"], False)
    assert not (tmp_path / "nowhere").exists()


@signs
@pytest.mark.parametrize("part", ["mdat", "AIGC", "moov", "signature"])
def test_one_flipped_byte_is_said(part: str, full: Path, folder: Path, tmp_path: Path) -> None:
    raw = bytearray(full.read_bytes())
    at = {"mdat": len(raw) - 50, "AIGC": raw.index(b'"Label"') + 9, "moov": raw.index(b"mvhd") + 12,
          "signature": raw.index(b"jumb") + 900}[part]  # fmt: skip
    raw[at] ^= 1
    changed = tmp_path / "changed.mp4"
    changed.write_bytes(raw)
    findings = verify(changed, certificate_folder=folder)
    assert findings[0].state == "invalid" and findings[0].found and exit_code(findings) == TAMPERED


@signs
def test_a_copy_that_lost_its_signature_and_one_that_lost_all_but_the_picture(
    full: Path, folder: Path, film: Video, tmp_path: Path
) -> None:
    bare = tmp_path / "bare.mp4"
    write_stream([read(full).frames], film.fps, bare, metadata=tags(full))
    found = by_mark(bare, folder)
    assert (found["c2pa"].state, found["c2pa"].found) == ("missing", False) and exit_code([*found.values()]) == TAMPERED
    encode(read(full).frames, film.fps, bare, crf=28)
    found = by_mark(bare, folder)
    states = [found[mark].state for mark in ("c2pa", "metadata", "visible", "invisible")]
    assert states == ["absent", "absent", "found", "found"] and exit_code([*found.values()]) == INTACT
    assert "bits" not in found["invisible"].detail
    told = by_mark(bare, folder, id=STAMP.id)["invisible"].detail
    assert told["bits"] in ("31/32", "32/32") and told["payload"] == f"{invisible.payload_of(STAMP.id):08x}"


@signs
def test_all_but_times_and_the_signature_follow_from_the_request(film: Video, folder: Path, tmp_path: Path) -> None:
    marks = Marks(c2pa=False)
    for name, created_at in (("a.mp4", 1.0), ("b.mp4", 2.0)):
        finish(film, tmp_path / name, marks, folder, replace(STAMP, created_at=created_at))
    a, b = (tmp_path / name for name in ("a.mp4", "b.mp4"))
    assert tags(a) == tags(b)
    # not the bytes: x264 may write the same frames in others on another run
    assert float(np.abs(read(a).frames.astype(int) - read(b).frames).mean()) < 0.5


def test_without_the_library_a_film_is_made_all_the_same(
    film: Video, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signature, "available", lambda: False)
    (note,) = finish(film, tmp_path / "a.mp4", MACHINE_READABLE, folder)
    assert "c2pa-python is not installed" in note
    found = by_mark(tmp_path / "a.mp4", folder)
    assert (found["c2pa"].state, found["metadata"].state) == ("not checked", "intact")
    assert (read(tmp_path / "a.mp4").frames == read(write(film, tmp_path / "b.mp4")).frames).all()


@signs
def test_a_certificate_that_cannot_be_made_is_a_note(film: Video, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    (note,) = finish(film, tmp_path / "a.mp4", MACHINE_READABLE, tmp_path / "file/certificate")
    assert "there is no certificate in" in note and by_mark(tmp_path / "a.mp4", tmp_path)["metadata"].found


# --- files of others


def test_nothing_is_claimed_of_a_foreign_file(film: Video, folder: Path, tmp_path: Path) -> None:
    path = write(film, tmp_path / "plain.mp4", metadata={"comment": "AI-generated is what this is not", "title": "x"})
    findings = verify(path, certificate_folder=folder)
    assert [finding.state for finding in findings] == ["absent"] * 4 and exit_code(findings) == NOTHING_FOUND


@pytest.mark.skipif(not (SHARED / "clips").is_dir(), reason="needs the shared clips")
@pytest.mark.parametrize("name", ["good/chaplin.mp4", "good/intel_people.gif", "awkward/vp8_odd_175x143.ivf"])
def test_nothing_is_claimed_of_real_footage(name: str, folder: Path) -> None:
    findings = verify(SHARED / "clips" / name, certificate_folder=folder)
    assert not any(finding.found for finding in findings)


def test_a_label_of_others_is_read_and_a_damaged_one_is_said(film: Video, folder: Path, tmp_path: Path) -> None:
    theirs = json.dumps(dict.fromkeys(FIELDS, "") | {"Label": "2", "ProduceID": "x1", "ContentProducer": "somebody"})
    found = by_mark(write(film, tmp_path / "a.mp4", metadata={AIGC: theirs}), folder)["metadata"]
    assert (found.state, found.detail["content"]) == ("intact", "perhaps generated")
    assert (found.detail["id"], found.detail["producer"]) == ("x1", "somebody")
    for wrong in ("{", "[]", '{"Label": "1"}', theirs.replace('"2"', '"9"')):
        found = by_mark(write(film, tmp_path / "b.mp4", metadata={AIGC: wrong}), folder)["metadata"]
        assert found.state == "damaged" and found.tampered, wrong


@pytest.mark.parametrize("content", [b"", b"<html>", b"\x00\x00\x00\x20ftypisom c2pa"])
def test_what_is_no_film_is_refused_clearly(content: bytes, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    path.write_bytes(content)
    if b"c2pa" in content:  # it may have been one
        assert exit_code(verify(path, certificate_folder=folder)) == TAMPERED
        return
    with pytest.raises(MediaError, match="not a video that can be opened"):
        verify(path, certificate_folder=folder)
    with pytest.raises(UsageError, match="no such file"):
        verify(tmp_path / "none.mp4", certificate_folder=folder)


# --- generate and verify, as commands


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "tiny"
    save_parts(tiny_parts(), folder)
    return folder


@signs
def test_generated_files_bear_marks_that_machines_read_unless_told_otherwise(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    request = Request("a circle", count=2)
    rows = generate_files(request, tmp_path / "a.mp4", model=model)["videos"]
    ids = set()
    for row in rows:
        findings = verify(row["path"])
        assert [finding.state for finding in findings][:3] == ["trusted", "intact", "absent"] and row["notes"] == []
        ids.add(findings[1].detail["id"])
    assert len(ids) == 2
    none = generate_files(request, tmp_path / "n.mp4", model=model, marks=Marks.parse("none"))["videos"]
    assert (read(none[0]["path"]).frames == read(rows[0]["path"]).frames).all()  # pixels are as the model made them
    assert exit_code(verify(none[0]["path"])) == NOTHING_FOUND
    again = generate_files(request, tmp_path / "b.mp4", model=model, marks=Marks.parse("metadata,invisible"))["videos"]
    assert verify(again[0]["path"])[1].detail["id"] in ids  # the same film has the same id
    for name in ("c.gif", "d.png", "e"):
        one = generate_files(replace(request, count=1, frames=1), tmp_path / name, model=model)["videos"][0]
        assert one["notes"] == []


@signs
def test_verify_tells_and_returns_the_gravest(
    full: Path, folder: Path, film: Video, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def call(*words: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["manzar", "verify", *map(str, words), "--certificate", str(folder)])
        with pytest.raises(SystemExit) as ended:
            main()
        out = capsys.readouterr()
        return int(ended.value.code or 0), out.out + out.err

    code, text = call(full)
    assert code == 0 and "marked as AI-generated" in text and "bits 32/32" in text
    plain, broken, changed = write(film, tmp_path / "plain.mp4"), tmp_path / "broken.mp4", tmp_path / "changed.mp4"
    broken.write_bytes(b"nothing")
    raw = bytearray(full.read_bytes())
    raw[-50] ^= 1
    changed.write_bytes(raw)
    assert call(plain)[0] == 3 and "no mark found; that says nothing" in call(plain)[1]
    assert call(full, plain)[0] == 3 and call(changed, plain)[0] == 4 and call(changed, broken)[0] == 1
    code, text = call(full, changed, broken, "--json")
    told = json.loads(text)["files"]
    assert [row["code"] for row in told] == [0, 4, 1] and "not a video" in told[2]["error"]
    assert [finding["mark"] for finding in told[0]["findings"]] == ["c2pa", "metadata", "visible", "invisible"]
    assert call(tmp_path / "none.mp4")[0] == 2
