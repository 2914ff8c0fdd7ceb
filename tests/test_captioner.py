"""Captioners against a real server on this machine that speaks the chat-completions protocol, and a tiny real model."""

from __future__ import annotations

import base64
import io
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from manzar import media
from manzar.curate.captions.answers import Captioned, CaptionError, question, read_answer, schema
from manzar.curate.captions.endpoint import EndpointCaptioner
from manzar.curate.captions.run import CAPTIONS, apply_captions, caption_clips, lacking, pictures_of
from manzar.curate.manifest import read_clips, write_clips
from manzar.nouns import Clip, DataError, Frames, MediaError, ModelError, UsageError, Video

KEY = "sk-very-secret-0123456789"
GOOD = {"en": "A red ball rolls to the left.", "ur": "ایک سرخ گیند بائیں طرف لڑھکتی ہے۔"}
PICTURES = [np.full((60, 80, 3), 40 * index, np.uint8) for index in range(3)]

Reply = tuple[int, dict[str, str], str]
Script = Callable[[int, dict[str, Any]], Reply]


def completion(content: Any, tokens: tuple[int, int] = (100, 20), **message: Any) -> Reply:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content, **message}}
    usage = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)}
    return 200, {}, json.dumps({"object": "chat.completion", "choices": [choice], "usage": usage})


def said(captions: dict[str, str]) -> str:
    return json.dumps(captions, ensure_ascii=False)


def failure(status: int, message: str = "no", **headers: str) -> Reply:
    return status, headers, json.dumps({"error": {"message": message, "type": "x"}})


class Server:
    """Answers by `script(number of the request, its body)`; keeps what came."""

    def __init__(self) -> None:
        self.script: Script = lambda number, body: completion(said(GOOD))
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with outer.lock:
                    number = len(outer.bodies)
                    outer.bodies.append({**body, "path": self.path})
                    outer.headers.append(dict(self.headers.items()))
                status, headers, text = outer.script(number, body)
                data = text.encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/v1"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def replies(self, *replies: Reply) -> None:
        self.script = lambda number, body: replies[min(number, len(replies) - 1)]


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


@pytest.fixture
def captioner(server: Server) -> Iterator[EndpointCaptioner]:
    with EndpointCaptioner(server.url, "eye-7b", KEY, timeout_s=5, backoff_s=0.01) as captioner:
        yield captioner


def ask(captioner: EndpointCaptioner, languages: Sequence[str] = ("en", "ur")) -> Captioned:
    return captioner.caption(PICTURES, languages)


def test_a_question_is_put_as_the_protocol_wants_it(server: Server, captioner: EndpointCaptioner) -> None:
    wide = np.zeros((300, 1024, 3), np.uint8)
    assert captioner.caption([*PICTURES, wide], ["en", "ur"]) == Captioned(GOOD, 100, 20)
    body, headers = server.bodies[0], server.headers[0]
    assert (body["path"], body["model"]) == ("/v1/chat/completions", "eye-7b")
    assert headers["Authorization"] == f"Bearer {KEY}"
    contract = body["response_format"]["json_schema"]
    assert contract["strict"] is True
    assert contract["schema"]["required"] == ["en", "ur"]
    *images, text = body["messages"][0]["content"]
    pictures = [Image.open(io.BytesIO(base64.b64decode(part["image_url"]["url"].split(",")[1]))) for part in images]
    assert [(picture.format, picture.size) for picture in pictures] == [("JPEG", (80, 60))] * 3 + [("JPEG", (512, 150))]
    assert "These 4 pictures" in text["text"]
    assert '"ur" (Urdu, in Arabic letters)' in text["text"]


@pytest.mark.parametrize(
    "content",
    [
        f"```json\n{said(GOOD)}\n```",
        f'<think>Perhaps {{"en": "a draft"}}… no.</think>\n\n{said(GOOD)}',
        f'It might be {{"en": "a draft"}}.</think>{said(GOOD)}',
        f"Here it is:\n{said(GOOD)}\nI hope this helps!",
        said({"captions": {"English": GOOD["en"], "Urdu": GOOD["ur"]}}),
        json.dumps(GOOD).replace(" rolls", "\\n rolls"),
        [{"type": "text", "text": said(GOOD)}],
    ],
)
def test_good_answers_are_read_however_wrapped(server: Server, captioner: EndpointCaptioner, content: Any) -> None:
    server.replies(completion(content, reasoning_content='{"en": "only a thought"}'))
    assert ask(captioner).captions == GOOD
    assert len(server.bodies) == 1


def test_bad_answers_are_asked_for_again_and_counted(server: Server, captioner: EndpointCaptioner) -> None:
    bad = ["no JSON", '{"en": "cut o', "", "<think>and so on and on", said({"en": "", "ur": "a ball"})]
    captioner._attempts = 6
    server.replies(*(completion(content) for content in bad), completion(said(GOOD), (50, 5)))
    assert ask(captioner) == Captioned(GOOD, 550, 105)
    server.script = lambda number, body: completion(bad[-1])
    with pytest.raises(CaptionError, match="6 attempts; the last: no caption in English; the caption in Urdu reads as"):
        ask(captioner)


def test_only_the_language_that_went_wrong_is_asked_for_again(server: Server, captioner: EndpointCaptioner) -> None:
    server.replies(completion(said({**GOOD, "ur": "लाल गेंद लुढ़कती है"})), completion(said({"ur": GOOD["ur"]})))
    assert ask(captioner).captions == GOOD
    assert list(server.bodies[1]["response_format"]["json_schema"]["schema"]["properties"]) == ["ur"]
    server.replies(completion(said({"en": GOOD["en"]})))
    assert ask(captioner).captions == {"en": GOOD["en"]}  # what is sound is not thrown away for what is not


def test_a_busy_server_is_asked_again(server: Server, captioner: EndpointCaptioner) -> None:
    page = (502, {}, "<html>bad gateway</html>")
    server.replies(failure(429, Retry_After="0.3"), page, failure(503), (200, {}, "<html>"), completion(said(GOOD)))
    begun = time.monotonic()
    assert ask(captioner).captions == GOOD
    assert time.monotonic() - begun >= 0.3
    assert len(server.bodies) == 5


def test_a_wait_that_is_too_long_is_not_waited_for(server: Server, captioner: EndpointCaptioner) -> None:
    server.replies(failure(429, "quota", Retry_After=formatdate(time.time() + 3600, usegmt=True)))
    with pytest.raises(CaptionError, match=r"asks to wait 3[56]\d\d s \(HTTP 429: quota\)"):
        ask(captioner)
    assert len(server.bodies) == 1


@pytest.mark.parametrize("status", [400, 422, 500])
def test_json_is_asked_for_in_ever_humbler_ways(server: Server, captioner: EndpointCaptioner, status: int) -> None:
    def script(number: int, body: dict[str, Any]) -> Reply:
        if "max_tokens" in body:
            return failure(400, "Unsupported parameter: 'max_tokens'; use 'max_completion_tokens' instead.")
        kind = body.get("response_format", {}).get("type")
        return failure(status, f"response_format of type {kind} is not supported") if kind else completion(said(GOOD))

    server.script = script
    assert ask(captioner).captions == GOOD
    assert ask(captioner).captions == GOOD
    kinds = [body.get("response_format", {}).get("type") for body in server.bodies]
    assert kinds == ["json_schema", "json_schema", "json_object", None, None]  # learnt once


def test_other_refusals_are_not_repeated(server: Server, captioner: EndpointCaptioner) -> None:
    server.replies(failure(400, "image too large"))
    with pytest.raises(CaptionError, match="image too large"):
        ask(captioner)
    server.replies(completion(None, (100, 3), refusal="I cannot"))
    with pytest.raises(CaptionError, match="the model declines: I cannot") as caught:
        ask(captioner)
    assert (caught.value.prompt_tokens, caught.value.completion_tokens) == (100, 3)
    assert len(server.bodies) == 2
    replies = [completion(said({"en": GOOD["en"]})), failure(400, "too many pictures")]
    server.script = lambda number, body: replies[number - 2]
    assert ask(captioner) == Captioned({"en": GOOD["en"]}, 100, 20)  # sound before the refusal


def test_no_server_and_slow_server(server: Server) -> None:
    server.script = lambda number, body: time.sleep(0.5) or completion(said(GOOD))
    with EndpointCaptioner(server.url, "m", "", timeout_s=0.1, attempts=2, backoff_s=0.01) as captioner:
        with pytest.raises(CaptionError, match="2 attempts; the last: ReadTimeout"):
            ask(captioner)
        assert len(server.bodies) == 2
    captioner = EndpointCaptioner("http://127.0.0.1:9/v1", "m", "", attempts=2, backoff_s=0.01)
    with pytest.raises(CaptionError, match=r"127.0.0.1:9 gave no caption in 2 attempts; the last: ConnectError"):
        ask(captioner)
    captioner.close()
    with pytest.raises(CaptionError, match="closed"):
        ask(captioner)


def test_the_key_is_in_no_message(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    captioner = EndpointCaptioner(server.url, "eye-7b", KEY, backoff_s=0.01)
    monkeypatch.setenv("MANZAR_API_KEY", KEY + "\n")
    for status in (400, 401, 404, 500):
        server.replies(failure(status, f"Incorrect API key provided: {KEY}"))
        with EndpointCaptioner(server.url, "m", attempts=1) as from_environment:
            with pytest.raises(UsageError if status in (401, 404) else CaptionError) as caught:
                ask(from_environment)
            assert "***" in str(caught.value)
            assert KEY not in f"{caught.value} {from_environment!r} {captioner!r}"
    server.replies((200, {}, f"<p>{KEY}</p>"))
    with pytest.raises(CaptionError, match=r"not a chat completion: .<p>\*\*\*</p>"):
        ask(captioner)
    captioner.close()
    assert {headers["Authorization"] for headers in server.headers} == {f"Bearer {KEY}"}
    with pytest.raises(UsageError, match="letters that no key can have") as wrong:
        EndpointCaptioner(server.url, "m", "کلید")
    assert "کلید" not in str(wrong.value)
    with pytest.raises(UsageError, match="begins with http"):
        EndpointCaptioner("localhost:8000", "m")


def test_questions_and_answers_without_a_server() -> None:
    assert schema(["zh"])["properties"] == {"zh": {"type": "string", "description": "Chinese"}}
    assert '"hi" (Hindi, in Devanagari letters)' in question(2, ["hi"])
    assert read_answer('{"en": "a' + "b" * 2000 + '"}', ["en"])[1].startswith("a caption of 2001 letters")
    assert read_answer("<thinking>hm", ["en"]) == ({}, "thoughts and no answer; allow it more tokens")
    assert read_answer("{" * 5000, ["en"])[0] == {}


# Whole data sets


def data_set(folder: Path, count: int, captions: dict[int, dict[str, str]] | None = None) -> Path:
    clips = []
    for index in range(count):
        levels = np.arange(12, dtype=np.uint8) * 10 + index
        video = Video(np.broadcast_to(levels[:, None, None, None], (12, 32, 32, 3)).copy(), 12.0)
        media.write(video, folder / "clips" / f"c{index:02d}.mp4")
        known = (captions or {}).get(index, {})
        clips.append(Clip(f"c{index:02d}", f"clips/c{index:02d}.mp4", f"f{index}.mp4", 0, 1, 32, 32, 12, 12, known))
    write_clips(folder, clips)
    return folder


class Scripted:
    """A captioner that answers at once; `broken` clips, known by the number of the question, fail."""

    name = "scripted"

    def __init__(self, broken: Sequence[int] = (), stop_at: int | None = None) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.broken, self.stop_at = broken, stop_at

    def caption(self, pictures: Sequence[Frames], languages: Sequence[str]) -> Captioned:
        number = len(self.asked)
        if number == self.stop_at:
            raise KeyboardInterrupt
        self.asked.append(tuple(languages))
        if number in self.broken:
            raise CaptionError("cannot say", 7, 1)
        return Captioned({code: GOOD[code] for code in languages}, 10, 4)


def test_what_is_lacking_is_captioned_and_what_people_wrote_stays(tmp_path: Path) -> None:
    data = data_set(tmp_path, 4, {0: {"en": "mine", "ur": "میرا"}, 1: {"en": "mine too"}})
    assert lacking(data, ["en", "ur"]) == {"en": 2, "ur": 3}
    seen: list[tuple[int, int, str]] = []
    captioner = Scripted(broken=[1])
    summary = caption_clips(data, captioner, languages=["en", "ur"], workers=1, price_in=2e6, price_out=1e6,
                            report=lambda *told: seen.append(told))
    assert captioner.asked == [("ur",), ("en", "ur"), ("en", "ur")]
    assert (summary.clips, summary.captions, summary.left) == (2, {"ur": 2, "en": 1}, 1)
    assert summary.failed == [("c02", "cannot say")]
    assert (summary.prompt_tokens, summary.completion_tokens, summary.cost) == (27, 9, 63.0)
    assert seen[1] == (2, 3, "22 tokens, 39.00 spent, 1 failed, f2.mp4: cannot say")
    clips = read_clips(data)
    assert [dict(clip.captions) for clip in clips] == [
        {"en": "mine", "ur": "میرا"}, {"en": "mine too", "ur": GOOD["ur"]}, {}, GOOD]  # fmt: skip
    again = Scripted()
    assert caption_clips(data, again, languages=["en", "ur"]).clips == 1  # the one that failed
    assert caption_clips(data, again, languages=["en", "ur"]).clips == 0
    assert again.asked == [("en", "ur")]
    raw = [Clip(**{**vars(clip), "captions": {"en": "newly mine"} if clip.id == "c03" else {}}) for clip in clips]
    kept = apply_captions(data, raw)  # as a later ingest finds them
    assert [dict(clip.captions) for clip in kept] == [
        {}, {"ur": GOOD["ur"]}, GOOD, {"en": "newly mine", "ur": GOOD["ur"]}]  # fmt: skip


def test_overwriting_a_data_set_and_taking_that_up_again(tmp_path: Path) -> None:
    data = data_set(tmp_path, 3, {0: {"en": "mine"}})
    with pytest.raises(KeyboardInterrupt):
        caption_clips(data, Scripted(stop_at=1), languages=["en"], overwrite=True, workers=1)
    assert dict(read_clips(data)[0].captions) == {"en": GOOD["en"]}
    rest = Scripted()
    assert caption_clips(data, rest, languages=["en"], overwrite=True, workers=1).clips == 2
    assert caption_clips(data, rest, languages=["en"], overwrite=True).clips == 3  # that run had ended: from the start


def test_a_killed_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    data = data_set(tmp_path, 3)
    with pytest.raises(KeyboardInterrupt):
        caption_clips(data, Scripted(stop_at=2), languages=["en"], workers=1)
    whole = (data / CAPTIONS).read_bytes()
    assert whole.count(b"\n") == 2
    (data / CAPTIONS).write_bytes(whole[:-9])  # killed in the middle of its second line
    write_clips(data, [Clip(**{**vars(clip), "captions": {}}) for clip in read_clips(data)])  # and before folding
    rest = Scripted()
    assert caption_clips(data, rest, languages=["en"], workers=1).left == 0
    assert len(rest.asked) == 2
    assert [dict(clip.captions) for clip in read_clips(data)] == [{"en": GOOD["en"]}] * 3


def test_a_run_that_is_killed_outright_pays_for_no_clip_twice(tmp_path: Path, server: Server) -> None:
    data = data_set(tmp_path, 6)
    goes_on = threading.Event()

    def script(number: int, body: dict[str, Any]) -> Reply:
        if number >= 3:
            goes_on.wait(30)
        return completion(said(GOOD))

    server.script = script
    code = ("import sys; from pathlib import Path; from manzar.curate.captions.run import caption_clips; "
            "from manzar.curate.captions.endpoint import EndpointCaptioner; "
            "caption_clips(Path(sys.argv[1]), EndpointCaptioner(sys.argv[2], 'm'), languages=['en'], workers=1)")
    with subprocess.Popen([sys.executable, "-c", code, str(data), server.url]) as process:
        while len(server.bodies) < 4 and process.poll() is None:
            time.sleep(0.02)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    goes_on.set()
    assert (data / CAPTIONS).read_bytes().count(b"\n") == 3
    with EndpointCaptioner(server.url, "m") as captioner:
        assert caption_clips(data, captioner, languages=["en"], workers=1).clips == 3
    assert len(server.bodies) == 7  # the three before, the one under way when it was killed, the three left
    assert all(dict(clip.captions) == {"en": GOOD["en"]} for clip in read_clips(data))


def test_one_bad_clip_is_noted_and_twenty_in_a_row_stop_the_run(tmp_path: Path) -> None:
    data = data_set(tmp_path, 24)
    (data / "clips" / "c00.mp4").unlink()
    (data / "clips" / "c01.mp4").write_bytes(b"no video")
    captioner = Scripted(broken=range(1, 99))
    with pytest.raises(CaptionError, match="20 clips in a row could not be captioned, the last: cannot say"):
        caption_clips(data, captioner, languages=["en"], workers=1)
    assert len(captioner.asked) == 21
    lines = [json.loads(line) for line in (data / CAPTIONS).read_text(encoding="utf-8").splitlines()]
    assert ["failed" in line for line in lines] == [True, True, False] + [True] * 20
    assert "c00.mp4" in lines[0]["failed"]
    assert dict(read_clips(data)[2].captions) == {"en": GOOD["en"]}


def test_a_wrong_key_stops_the_run_at_once(tmp_path: Path, server: Server, captioner: EndpointCaptioner) -> None:
    data = data_set(tmp_path, 6)
    server.replies(failure(401, "who are you"))
    with pytest.raises(UsageError, match="turns eye-7b away"):
        caption_clips(data, captioner, languages=["en"], workers=2)
    assert len(server.bodies) <= 4
    with pytest.raises(UsageError, match="no language was asked for"):
        caption_clips(data, captioner, languages=[])
    with pytest.raises(DataError, match="no data set"):
        caption_clips(tmp_path / "clips", captioner, languages=["en"])


def test_a_data_set_is_captioned_over_the_wire(tmp_path: Path, server: Server, captioner: EndpointCaptioner) -> None:
    data = data_set(tmp_path, 9)
    server.script = lambda number, body: failure(500) if number % 3 == 0 else completion(said(GOOD))
    summary = caption_clips(data, captioner, languages=["en", "ur"], workers=4)
    assert (summary.clips, summary.failed, summary.prompt_tokens) == (9, [], 900)
    assert all(dict(clip.captions) == GOOD for clip in read_clips(data))
    assert KEY not in (data / CAPTIONS).read_text(encoding="utf-8")


def test_pictures_are_spread_over_the_clip(tmp_path: Path) -> None:
    data = data_set(tmp_path, 1)
    levels = [int(picture.mean().round()) for picture in pictures_of(data / "clips/c00.mp4", 12, 3)]
    assert levels == pytest.approx([20, 60, 100], abs=3)
    assert len(pictures_of(data / "clips/c00.mp4", 12, 50)) == 12
    with pytest.raises(MediaError, match="fewer than the 40 frames"):
        pictures_of(data / "clips/c00.mp4", 40, 4)


# A model on this machine


WORDS = ["a", "the", "red", "blue", "ball", "man", "dog", "walks", "runs", "left", "right", "over", "grass", "sky"]


def tiny_model(folder: Path) -> Path:
    """Idefics3 with random weights in the format of the hub; it knows fourteen words."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import (
        Idefics3Config,
        Idefics3ForConditionalGeneration,
        Idefics3Processor,
        PreTrainedTokenizerFast,
    )  # fmt: skip
    from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

    special = ["<unk>", "<s>", "</s>", "<pad>", "<image>", "<fake_token_around_image>", "<end_of_utterance>"]
    vocabulary = {word: index for index, word in enumerate([*special, "<global-img>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>",
                                   pad_token="<pad>", additional_special_tokens=special[4:])
    small = {"longest_edge": 32}
    images = Idefics3ImageProcessorPil(size=small, max_image_size=small, do_image_splitting=False)
    template = ("{% for m in messages %}{% for c in m['content'] %}{% if c['type'] == 'image' %}<image>{% else %}"
                "{{ c['text'] }}{% endif %}{% endfor %}<end_of_utterance>{% endfor %}")
    Idefics3Processor(images, fast, image_seq_len=4, chat_template=template).save_pretrained(folder)
    ids = {"pad_token_id": 3, "bos_token_id": 1, "eos_token_id": 2}
    layers = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = Idefics3Config(
        image_token_id=4, scale_factor=2, pad_token_id=3,
        vision_config={**layers, "image_size": 32, "patch_size": 8},
        text_config={**layers, **ids, "model_type": "llama", "num_key_value_heads": 2, "vocab_size": len(fast)},
    )  # fmt: skip
    torch.manual_seed(0)
    Idefics3ForConditionalGeneration(config).save_pretrained(folder)
    return folder


def test_a_local_model_captions(tmp_path: Path) -> None:
    from manzar.curate.captions.local import LocalCaptioner

    captioner = LocalCaptioner(tiny_model(tmp_path / "tiny-eye"), max_tokens=12)
    assert captioner.name == "tiny-eye"
    first = captioner.caption(PICTURES, ["en"])
    assert set(first.captions["en"].split()) <= set(WORDS)
    assert first.completion_tokens == 12
    assert first.prompt_tokens > 3 * 4
    assert captioner.caption(PICTURES, ["en"]) == first  # greedy: the same again
    both = captioner.caption(PICTURES, ["en", "ur"])  # it cannot write Urdu: asked twice, and left out
    assert both.captions == first.captions
    assert both.completion_tokens > 2 * 12
    with pytest.raises(CaptionError, match="tiny-eye gave no caption; the last: the caption in Urdu reads as English"):
        captioner.caption(PICTURES, ["ur"])
    data = data_set(tmp_path / "data", 2)
    assert caption_clips(data, captioner, languages=["en"], frames=2).captions == {"en": 2}


def test_folders_that_are_no_model_are_named(tmp_path: Path) -> None:
    from manzar.curate.captions.local import LocalCaptioner

    with pytest.raises(UsageError, match="no such folder"):
        LocalCaptioner(tmp_path / "none")
    with pytest.raises(ModelError, match="cannot be opened as a vision-language model"):
        LocalCaptioner(tmp_path)
    folder = tiny_model(tmp_path / "smol")
    for name, old, new in (("processor_config", "Idefics3", "SmolVLM"), ("config", '"idefics3"', '"smolvlm"')):
        text = (folder / f"{name}.json").read_text(encoding="utf-8")
        (folder / f"{name}.json").write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(ModelError, match="takes video needs torchvision; behind a server it can be asked without"):
        LocalCaptioner(folder)
