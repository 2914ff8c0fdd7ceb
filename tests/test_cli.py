"""The command line as a person meets it: what works says so, and what is wrong is one clear line and an exit code."""

from __future__ import annotations

import functools
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_model import tiny_parts

from manzar import cli
from manzar.cli.talk import ticker
from manzar.curate import save_clips
from manzar.generate import save_parts
from manzar.media import probe, read
from manzar.nouns import VideoShape
from manzar.train import checkpoint as checkpoints
from manzar.world import WorldConfig, clips

SMALL = ["--frames", "5", "--size", "32x32", "--steps", "2"]
WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "folder"
    save_parts(tiny_parts(), folder)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data") / "world"
    save_clips(clips(6, 0, VideoShape(9, 32, 32), 8.0, WorldConfig(actors=(1, 1))), out)
    return out


class Called:
    """Exit code and output of one command, run in this process."""

    def __init__(self, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: object):
        monkeypatch.setattr(sys, "argv", ["manzar", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        self.code = 0 if stop.value.code is None else stop.value.code
        self.out, self.err = capfd.readouterr()

    def refused(self, code: int, *words: str) -> None:
        """One line, the exit code, and what it must name."""
        line = self.err.strip().splitlines()[-1]
        assert self.code == code, self.err
        assert line.startswith("error: ") and "Traceback" not in self.err, self.err
        assert all(word in line for word in words), line


Call = Callable[..., Called]


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    return lambda *words: Called(capfd, monkeypatch, *words)


def test_help_names_every_command(call: Call) -> None:
    shown = call("--help")
    assert shown.code == 0
    assert all(name in shown.out for name in ("demo", "ingest", "world", "cuts", "show", "train", "generate", "doctor"))


def test_generate_writes_a_video_and_its_json(call: Call, model: Path, tmp_path: Path) -> None:
    done = call("generate", "سرخ دائرہ", "--model", model, "-o", tmp_path / "a.mp4", *SMALL, "--count", 2, "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert told.keys() == {"videos", "steps", "seconds", "seconds_per_step"} and told["steps"] == 2
    assert [row["seed"] for row in told["videos"]] == [0, 1]
    assert {row["path"] for row in told["videos"]} == {str(tmp_path / "a-0.mp4"), str(tmp_path / "a-1.mp4")}
    info = probe(tmp_path / "a-0.mp4")
    assert (info.width, info.height, info.frames, info.codec) == (32, 32, 5, "h264")


@pytest.mark.parametrize("name", ["a.webm", "a.gif", "a.webp", "frames/", "still.png"])
def test_the_extension_says_the_format(call: Call, model: Path, tmp_path: Path, name: str) -> None:
    out = f"{tmp_path}/{name}"
    size = ["--frames", "1", "--size", "32x32", "--steps", "1"] if name == "still.png" else SMALL
    assert call("generate", "a circle", "--model", model, "-o", out, *size).code == 0
    if name == "frames/":
        assert len(list(Path(out).iterdir())) == 5
    elif name != "a.webp":
        assert read(out).frames.shape[0] == (1 if name == "still.png" else 5)


def test_a_first_frame_is_kept(call: Call, model: Path, data: Path, tmp_path: Path) -> None:
    first = next((data / "clips").glob("*.mp4"))
    out = tmp_path / "a.mp4"
    assert call("generate", "x", "--model", model, "-o", out, *SMALL, "--image", first).code == 0
    assert read(out).frames.shape == (5, 32, 32, 3)


def test_world_cuts_show_and_doctor(call: Call, data: Path, tmp_path: Path) -> None:
    made = call("world", "--clips", 3, "--out", tmp_path / "w", "--size", "32x32", "--frames", 5, "--json")
    assert json.loads(made.out)["clips"] == 3
    clip = next((data / "clips").glob("*.mp4"))
    assert json.loads(call("cuts", clip, "--json").out).keys() == {"file", "fps", "frames", "cuts"}
    assert call("show", data, "-o", tmp_path / "sheet.html").code == 0
    assert "/9j/" in (tmp_path / "sheet.html").read_text(encoding="utf-8")  # JPEG in base64
    assert call("show", data, "--where", "motion > 2 and seconds >= 3", "-o", tmp_path / "few.html").code == 0
    wrong = call("show", data, "--where", "moton > 2", "-o", tmp_path / "none.html")
    assert wrong.code == 2
    assert "motion" in wrong.err
    told = json.loads(call("doctor", "--json").out)
    assert told.keys() == {"device", "precision", "parts"}
    assert told["parts"]["libx264"]["ok"] is True


def test_ingest_and_caption_say_what_is_wrong(call: Call, data: Path, tmp_path: Path) -> None:
    looked = call("ingest", data / "clips", "--out", tmp_path / "d", "--dry-run", "--json")
    assert json.loads(looked.out)["unreadable"] == []
    assert not (tmp_path / "d").exists()
    for words, said in (
        (("ingest", data / "clips", "--out", tmp_path / "d", "--limit", "moton=1:"), 'did you mean "motion"'),
        (("ingest", data / "clips", "--out", tmp_path / "d", "--limit", "motion=1"), "LOW:HIGH"),
        (("caption", data), "--endpoint URL with --model NAME"),
        (("caption", data, "--endpoint", "http://localhost:1/v1"), "needs --model"),
        (("caption", data, "--languages", "klingon"), "no language"),
    ):
        told = call(*words)
        assert (told.code, told.out) == (2, "")
        assert said in told.err
    lacking = json.loads(call("caption", data, "--dry-run", "--languages", "en,fr", "--json").out)
    assert lacking["en"] == 0
    assert lacking["fr"] > 0


def test_train_prints_its_json(call: Call, data: Path, tmp_path: Path) -> None:
    words = ["--set", "size=32", "--set", "crop=16", "--set", "crop_frames=5", "--set", "base=16", "--set", "batch=2"]
    done = call("train", "vae", "--data", data, "--out", tmp_path / "run", "--steps", 2, *words, "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert told.keys() == {"run", "model", "samples_seen", "loss", "seconds", "forecast", "spent"}
    assert told["spent"]["steps"] == 2 and told["forecast"]["memory_bytes"] > 0
    assert "forecast:" in done.err and "spent:" in done.err


# --- bad use --------------------------------------------------------------------------------------------------------


def test_footage_that_is_not_there(call: Call, tmp_path: Path) -> None:
    out = tmp_path / "out"
    call("ingest", tmp_path / "none.mp4", "--out", out).refused(2, "none.mp4")
    (tmp_path / "empty").mkdir()
    call("ingest", tmp_path / "empty", "--out", out).refused(2, "empty")
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts/a.txt").write_text("words")
    call("ingest", tmp_path / "texts", "--out", out).refused(2, "texts")
    assert not out.exists()


def test_train_needs_data_and_known_settings(call: Call, data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    call("train", "vae", "--out", run, "--steps", 1).refused(2, "--data")
    call("train", "vae", "--data", data, "--out", run, "--steps", 1, "--set", "krop=8").refused(2, "krop", "crop")
    call("train", "vae", "--data", data, "--out", run).refused(2, "--minutes", "--steps")
    call("train", "vae", "--data", tmp_path / "no", "--out", run, "--steps", 1).refused(2, "no such file or folder")
    call("train", "dit", "--data", data, "--out", run, "--steps", 1).refused(2, "--from")
    assert not run.exists()


def test_sizes_off_the_grid_name_the_nearest(call: Call, model: Path, tmp_path: Path) -> None:
    words = ["generate", "x", "--model", model, "-o", tmp_path / "x.mp4"]
    call(*words, "--size", "37x33", "--frames", 5).refused(2, "37x33", "32x32")
    call(*words, "--size", "32x32", "--frames", 7).refused(2, "7 frames", "9 frames")
    call(*words, "--size", "big").refused(2, "big", "WIDTHxHEIGHT")
    call(*words, "--size", "32x32", "--steps", 0).refused(2, "steps is 0")
    call(*words, "--frames", 5, "--seconds", 1).refused(2, "--seconds")
    call(*words, "--seconds", "nan").refused(2, "--seconds")
    call(*words[:-1], tmp_path / "x.avi", *SMALL).refused(2, "x.avi", ".mp4")
    call(*words[:-1], tmp_path / "x.png", *SMALL).refused(2, "one frame", "--frames 1")
    assert not list(tmp_path.iterdir())


def test_a_prompt_of_a_hundred_thousand_characters(call: Call, model: Path, tmp_path: Path) -> None:
    call("generate", "x" * 100_000, "--model", model, "-o", tmp_path / "x.mp4", *SMALL).refused(2, "100,000", "2,000")


def test_a_model_without_a_layout_says_so(call: Call, model: Path, tmp_path: Path) -> None:
    call("layout", "a red cat", "--model", model, "-o", tmp_path / "x.json").refused(2, "has no layout", "train layout")


def test_bad_model_folders(call: Call, model: Path, tmp_path: Path) -> None:
    def broken(name: str) -> Path:
        return Path(shutil.copytree(model, tmp_path / name))

    def asked(folder: Path) -> Called:
        return call("generate", "x", "--model", folder, "-o", tmp_path / "x.mp4", *SMALL)

    asked(tmp_path / "none").refused(2, "none")
    missing = broken("missing")
    tensors = load_file(missing / "transformer" / WEIGHTS)
    name = "blocks.0.attn1.to_q.weight"
    save_file({key: value for key, value in tensors.items() if key != name}, missing / "transformer" / WEIGHTS)
    asked(missing).refused(1, name, "missing")
    misshaped = broken("misshaped")
    save_file({**tensors, name: torch.zeros(3, 3)}, misshaped / "transformer" / WEIGHTS)
    asked(misshaped).refused(1, name, "(3, 3)")
    pickled = broken("pickled")
    torch.save(tensors, pickled / "transformer" / WEIGHTS)
    asked(pickled).refused(1, "pickle", "safetensors")
    assert not (tmp_path / "x.mp4").exists()


def test_a_non_finite_loss_is_one_line(call: Call, data: Path, tmp_path: Path) -> None:
    words = ["--set", "size=32", "--set", "crop=16", "--set", "crop_frames=5", "--set", "base=16", "--set", "batch=2"]
    call("train", "vae", "--data", data, "--out", tmp_path / "run", "--steps", 2, *words, "--set", "kl_weight=1e38"
         ).refused(1, "step 0", "loss", "checkpoint")


def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(data: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands in for the disk: the system's errors come from the same calls."""
    words = ["train", "vae", "--data", str(data), "--out", str(tmp_path / "run"), "--steps", "2"]
    words += [word for pair in ("size=32", "crop=16", "crop_frames=5", "batch=2") for word in ("--set", pair)]
    done = subprocess.run(
        [sys.executable, "-m", "manzar", *words], capture_output=True, text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000)))
    assert done.returncode == 1, done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("error: cannot write")
    left = [path.name for path in (tmp_path / "run").rglob("*")]
    assert not [name for name in left if "checkpoint" in name or name.endswith(".tmp") or name == "model"], left


def test_the_demo_clears_nothing_but_a_demo(call: Call, tmp_path: Path) -> None:
    (tmp_path / "footage").mkdir()
    (tmp_path / "footage/a.mp4").write_bytes(b"mine")
    call("demo", "-o", tmp_path).refused(2, "is no demo")
    call("demo", "-o", tmp_path, "--footage", tmp_path / "footage").refused(2, "lies inside")
    call("demo", "-o", tmp_path / "new", "--footage", tmp_path / "none").refused(2, "none")
    assert (tmp_path / "footage/a.mp4").read_bytes() == b"mine"
    assert not (tmp_path / "new").exists()


def test_a_run_that_has_no_model_yet_says_so(call: Call, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/run.json").write_text("{}")
    call("generate", "x", "--model", tmp_path / "run", "-o", tmp_path / "x.mp4").refused(2, "--resume")


def test_ctrl_c_leaves_a_run_that_can_go_on(data: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "manzar", "train", "vae", "--out", str(tmp_path / "run")]
    start = [*words, "--data", str(data), "--steps", "100000"]
    start += [word for pair in ("size=32", "crop=16", "crop_frames=5", "batch=2") for word in ("--set", pair)]
    # A suite that a shell started in the background ignores Ctrl-C, and so would its children.
    listening = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(start, stderr=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
                               preexec_fn=listening)  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("step 0"):
            break
    process.send_signal(signal.SIGINT)
    rest = process.stderr.read()
    assert process.wait() == 130, rest
    steps = checkpoints.read_metadata(tmp_path / "run" / checkpoints.NAME)["position"]
    done = subprocess.run([*words, "--resume", "--steps", str(json.loads(steps)["step"] + 1)], capture_output=True)
    assert done.returncode == 0, done.stderr


def test_progress_before_anything_is_done_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter((0.0, 7.0, 14.0))
    monkeypatch.setattr("manzar.cli.talk.time.monotonic", lambda: next(now))
    tick = ticker("files")
    tick(0, 40, "12 pieces")
    tick(7, 40, "")
    assert capsys.readouterr().err == "0/40 files 12 pieces\n7/40 files, 0.5/s, 66 s left\n"
