"""Models that caption: any server that speaks the chat-completions protocol, or a folder of weights on this machine.

    with EndpointCaptioner("http://localhost:8000/v1", "Qwen/Qwen2.5-VL-7B-Instruct") as captioner:
        captioner.caption(pictures, ["en", "ur"]).captions["ur"]

The key of a server comes from MANZAR_API_KEY and is in no message, record or repr.
"""

from __future__ import annotations

import base64
import email.utils
import json
import os
import random
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from manzar import media
from manzar.curate.captions.answers import Captioned, CaptionError, question, read_answer, schema
from manzar.nouns import Frames, UsageError

if TYPE_CHECKING:
    import httpx2

KEY_VARIABLE = "MANZAR_API_KEY"
LONGEST_WAIT_S = 300.0  # a server that asks for more is given up for this clip
_FORMS = ("json_schema", "json_object", "")  # ways of asking for JSON, the strictest first; the last is words alone
_FORM_WORDS = ("response_format", "json_schema", "json_object", "json mode", "schema", "grammar", "structured")
_OUT_OF_ORDER = (408, 409, 425, 429)  # and everything from 500: it may go better in a moment
_WRONG_DOOR = (301, 302, 307, 308, 401, 402, 403, 404, 405)  # it will be no better for the next clip


class Captioner(Protocol):
    """Whatever says what pictures show. `caption` may be called from several threads at once."""

    @property
    def name(self) -> str:
        """What is written beside the captions as their author."""
        ...

    def caption(self, pictures: Sequence[Frames], languages: Sequence[str]) -> Captioned:
        """One caption in each language for `pictures`, uint8 (H, W, 3), in order of time.

        Raises CaptionError for these pictures, UsageError where no others would fare better.
        """
        ...


@dataclass(frozen=True)
class _Wishes:
    """What servers differ in: how JSON is asked for, and the name that the bound on the answer's length goes by."""

    form: int = 0
    length: str = "max_tokens"

    def humbler(self, complaint: str) -> _Wishes | None:
        """What to ask for after a refusal in these words; None if they are not about any of it."""
        complaint = complaint.lower()
        if self.length == "max_tokens" and "max_completion_tokens" in complaint:
            return replace(self, length="max_completion_tokens")
        if self.form + 1 < len(_FORMS) and any(word in complaint for word in _FORM_WORDS):
            return replace(self, form=self.form + 1)
        return None


@dataclass(frozen=True)
class _Reply:
    text: str
    finish: str
    prompt_tokens: int
    completion_tokens: int


class _Again(Exception):
    """It did not work this time; `wait_s` is what the server asks for."""

    def __init__(self, reason: str, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class EndpointCaptioner:
    """Captions from `{url}/chat/completions`, pictures sent as JPEG data URLs, answers asked for as strict JSON.

    timeout_s is for one answer; attempts and backoff_s (doubled each time, and scattered) are for one clip. side is the
    longest side of the pictures sent. Raises UsageError for what cannot be an address or a key.
    """

    def __init__(
        self,
        url: str,
        model: str,
        key: str | None = None,
        timeout_s: float = 120.0,
        *,
        attempts: int = 5,
        backoff_s: float = 1.0,
        max_tokens: int = 2048,
        side: int = 512,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError("the address of a captioner begins with http:// or https://, as http://localhost:8000/v1")
        key = (os.environ.get(KEY_VARIABLE, "") if key is None else key).strip()
        if not key.isascii() or not key.isprintable():
            raise UsageError(f"the key in {KEY_VARIABLE} has letters that no key can have; copy it again")
        assert attempts >= 1 and max_tokens >= 1 and side >= 16, f"{attempts=}, {max_tokens=}, {side=}"
        self.name = model
        self._url = url.rstrip("/").removesuffix("/chat/completions") + "/chat/completions"
        self._place = parts.netloc.rpartition("@")[2]
        self._key = key
        self._timeout_s, self._attempts, self._backoff_s = timeout_s, attempts, backoff_s
        self._max_tokens, self._side = max_tokens, side
        self._wishes = _Wishes()
        self._client: httpx2.Client | None = None
        self._lock = threading.Lock()
        self._closed = threading.Event()

    def __repr__(self) -> str:
        return f"EndpointCaptioner({self.name!r} at {self._place})"

    def __enter__(self) -> EndpointCaptioner:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections; whoever waits for an answer or for the next attempt gets a CaptionError."""
        self._closed.set()
        with self._lock:
            if self._client is not None:
                self._client.close()

    def caption(self, pictures: Sequence[Frames], languages: Sequence[str]) -> Captioned:
        """Captions for `pictures`, uint8 (H, W, 3); a language whose caption is unsound is asked for again.

        Raises CaptionError where no attempt gave a sound caption, UsageError for a wrong address, model or key.
        """
        assert pictures and languages, f"{len(pictures)} pictures and {len(languages)} languages; at least one of each"
        images = [_image_part(picture, self._side) for picture in pictures]
        captions: dict[str, str] = {}
        prompt_tokens = completion_tokens = 0
        reason = ""
        for attempt in range(self._attempts):
            wanted = [code for code in languages if code not in captions]
            wait_s = 0.0
            try:
                reply = self._ask(images, wanted)
            except _Again as again:
                reason = str(again)
                wait_s = max(again.wait_s, self._backoff_s * 2**attempt * random.uniform(0.5, 1.0))
            except CaptionError as error:  # asking again would not help; what is sound so far stays
                prompt_tokens += error.prompt_tokens
                completion_tokens += error.completion_tokens
                reason = str(error)
                break
            else:
                prompt_tokens += reply.prompt_tokens
                completion_tokens += reply.completion_tokens
                found, reason = read_answer(reply.text, wanted)
                captions |= found
                if len(captions) == len(languages):
                    break
                reason += f" (cut off at {self._max_tokens} tokens; allow more)" if reply.finish == "length" else ""
            if attempt + 1 < self._attempts and self._closed.wait(wait_s):
                reason = "the captioner was closed"
                break
        if not captions:
            told = f"{self.name} at {self._place} gave no caption in {attempt + 1} attempts; the last: {reason}"
            raise CaptionError(self._hidden(told), prompt_tokens, completion_tokens)
        ordered = {code: captions[code] for code in languages if code in captions}
        return Captioned(ordered, prompt_tokens, completion_tokens)

    def _ask(self, images: Sequence[dict[str, Any]], languages: Sequence[str]) -> _Reply:
        """One question and its answer, asked in humbler ways until the server understands it."""
        while True:
            wishes = self._wishes
            response = self._send(self._body(images, languages, wishes))
            refused = response.status_code in (400, 422, 500, 501)
            humbler = wishes.humbler(response.text) if refused else None
            if humbler is None:
                break
            self._wishes = humbler  # for all that follow; two threads that learn it at once learn the same
        status = response.status_code
        if status == 200:
            return _reply(response.text)
        told = f"HTTP {status}: {self._complaint(response.text)}"
        if status in _WRONG_DOOR:
            raise UsageError(f"{self._place} turns {self.name} away ({told}); check the address (it mostly ends in "
                             f"/v1), the name of the model, and the key in {KEY_VARIABLE}")
        if status in _OUT_OF_ORDER or status >= 500:
            wait_s = _retry_after(response.headers)
            if wait_s > LONGEST_WAIT_S:
                raise CaptionError(f"{self._place} asks to wait {wait_s:.0f} s ({told})")
            raise _Again(told, wait_s)
        raise CaptionError(f"{self._place} refuses the question ({told})")

    def _body(self, images: Sequence[dict[str, Any]], languages: Sequence[str], wishes: _Wishes) -> dict[str, Any]:
        content = [*images, {"type": "text", "text": question(len(images), languages)}]
        body: dict[str, Any] = {
            "model": self.name,
            "messages": [{"role": "user", "content": content}],
            wishes.length: self._max_tokens,
        }
        form = _FORMS[wishes.form]
        if form == "json_schema":
            contract = {"name": "captions", "strict": True, "schema": schema(languages)}
            body["response_format"] = {"type": form, "json_schema": contract}
        elif form:
            body["response_format"] = {"type": form}
        return body

    def _send(self, body: Mapping[str, Any]) -> httpx2.Response:
        import httpx2

        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        try:
            return self._connected().post(self._url, json=body, headers=headers)
        except (httpx2.TransportError, httpx2.DecodingError) as error:
            raise _Again(f"{type(error).__name__}: {error}") from error
        except RuntimeError as error:  # the client was closed meanwhile
            raise CaptionError(f"{self!r} is closed") from error

    def _connected(self) -> httpx2.Client:
        import httpx2

        with self._lock:
            if self._closed.is_set():
                raise CaptionError(f"{self!r} is closed")
            if self._client is None:
                self._client = httpx2.Client(timeout=httpx2.Timeout(self._timeout_s, connect=20.0))
            return self._client

    def _complaint(self, text: str) -> str:
        """What a server says is wrong, in one short line and without the key, which some repeat."""
        try:
            error = json.loads(text)["error"]
            text = str(error["message"] if isinstance(error, dict) else error)
        except (ValueError, KeyError, TypeError):
            pass
        return self._hidden(" ".join(text.split()))[:200] or "no reason given"

    def _hidden(self, text: str) -> str:
        return text.replace(self._key, "***") if self._key else text


def _image_part(picture: Frames, side: int) -> dict[str, Any]:
    """One picture, uint8 (H, W, 3), as a part of a message: a JPEG data URL, at most `side` pixels long."""
    encoded = base64.b64encode(media.jpeg(shrunk(picture, side), quality=85)).decode("ascii")
    return {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{encoded}"}}


def shrunk(picture: Frames, side: int) -> Frames:
    """A picture, uint8 (H, W, 3), with its longest side at most `side` pixels."""
    import numpy as np
    from PIL import Image

    height, width = picture.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return picture
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))


def _reply(text: str) -> _Reply:
    """The answer in a chat completion. Raises CaptionError for a refusal, _Again for what is no chat completion."""
    try:
        data = json.loads(text)
        choice, usage = data["choices"][0], data.get("usage") or {}
        message, finish = choice["message"], str(choice.get("finish_reason") or "")
        content = message.get("content") or ""
        if isinstance(content, list):
            content = "".join(part.get("text") or "" for part in content)
        tokens = int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise _Again(f'not a chat completion: "{" ".join(text.split())[:120]}"') from error
    if message.get("refusal") or finish == "content_filter":
        raise CaptionError(f"the model declines: {message.get('refusal') or 'content filter'}", *tokens)
    return _Reply(str(content), finish, *tokens)


def _retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that a Retry-After header asks for, given as seconds or as a date (RFC 9110, 10.2.3); 0 if none."""
    value = headers.get("retry-after", "").strip()
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError):
        return 0.0
