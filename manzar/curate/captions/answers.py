"""What a captioner is asked and how its answer is read: the question, the JSON it should keep to, and the checks.

Models think aloud, wrap JSON in fences, add a friendly sentence, or write Hindi where Urdu was asked for. What can be
read is read; what is not a caption in the language asked for is never taken for one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from manzar.curate.captions.languages import clean, contradiction, language_code, language_name, scripts_of
from manzar.nouns import ManzarError

MOST_LETTERS = 2000  # a longer "caption" is a model that went round in circles
_SPOKEN_OF = ("arabic", "devanagari", "cyrillic", "hebrew", "gurmukhi")  # scripts worth asking for by name

_TASK = (
    "These {count} pictures are moments of one short video, evenly spaced and in order of time. Describe the video so "
    "that someone who has not seen it could film it again: who or what is there, how it looks, what moves and how, "
    "where it happens, the light, and what the camera does. Say only what can be seen, in one to three plain "
    "sentences. Never mention pictures, frames or the video itself."
)
_THOUGHTS = re.compile(r"<(think|thinking|thought|reasoning)>.*?</\1>", re.DOTALL | re.IGNORECASE)
_END_OF_THOUGHT = re.compile(r".*</(think|thinking|thought|reasoning)>", re.DOTALL | re.IGNORECASE)
_OPEN_THOUGHT = re.compile(r"<(think|thinking|thought|reasoning)>.*", re.DOTALL | re.IGNORECASE)


class CaptionError(ManzarError):
    """A clip that a captioner could not caption; the tokens spent on it are counted all the same."""

    def __init__(self, message: str, prompt_tokens: int = 0, completion_tokens: int = 0) -> None:
        super().__init__(message)
        self.prompt_tokens = prompt_tokens
        self.completion_tokens = completion_tokens


@dataclass(frozen=True)
class Captioned:
    """Captions by language, and the tokens that were read and written to get them.

    A captioner may leave out a language it could not write in; with no caption at all it raises CaptionError.
    """

    captions: dict[str, str]
    prompt_tokens: int = 0
    completion_tokens: int = 0


def question(count: int, languages: Sequence[str]) -> str:
    """What is asked about `count` pictures: one JSON object with a caption in each language."""
    keys = ", ".join(f'"{code}" ({_described(code)})' for code in languages)
    return (
        f"{_TASK.format(count=count)}\n\nWrite it in {len(languages)} language(s), each as a native speaker would put "
        f"it. Answer with one JSON object and nothing else. Its keys are {keys}; the value of each is the description "
        "in that language."
    )


def plain_question(count: int, language: str) -> str:
    """What is asked where JSON is too much to ask: the caption in one language and nothing else."""
    return f"{_TASK.format(count=count)} Answer in {_described(language)}, with the description and nothing else."


def schema(languages: Sequence[str]) -> dict[str, Any]:
    """JSON schema of the answer: a string for each language, all of them, and nothing more."""
    return {
        "type": "object",
        "properties": {code: {"type": "string", "description": _described(code)} for code in languages},
        "required": list(languages),
        "additionalProperties": False,
    }


def read_answer(text: str, languages: Sequence[str]) -> tuple[dict[str, str], str]:
    """(captions that are sound, what is wrong with the others: "" if nothing) in an answer to `question`."""
    said = without_thoughts(text)
    found = _object(said, languages)
    if found is None:
        if not said:
            return {}, "an empty answer" if not text.strip() else "thoughts and no answer; allow it more tokens"
        return {}, f'no JSON object with captions in the answer "{said[:80]}"'
    captions, faults = {}, []
    for code in languages:
        caption = clean(found.get(code))
        fault = fault_of(caption, code)
        if fault:
            faults.append(fault)
        else:
            captions[code] = caption
    return captions, "; ".join(faults)


def fault_of(caption: str, language: str) -> str:
    """Why `caption` is none in `language`; "" if it is one."""
    name = language_name(language)
    if not caption:
        return f"no caption in {name}"
    if len(caption) > MOST_LETTERS:
        return f"a caption of {len(caption)} letters in {name}; {MOST_LETTERS} at most are believed"
    other = contradiction(caption, language)
    return f'the caption in {name} reads as {language_name(other)}: "{caption[:40]}"' if other else ""


def without_thoughts(text: str) -> str:
    """An answer without the thoughts that a reasoning model sends before it, finished or cut off, opened or not."""
    text = _THOUGHTS.sub("", text)
    text = _END_OF_THOUGHT.sub("", text)  # some templates open the thought in the prompt: only its end is sent
    return _OPEN_THOUGHT.sub("", text).strip()


def _described(code: str) -> str:
    scripts = scripts_of(code)
    named = [script for script in _SPOKEN_OF if scripts == {script}]
    return language_name(code) + (f", in {named[0].capitalize()} letters" if named else "")


def _object(text: str, languages: Sequence[str]) -> dict[str, Any] | None:
    """The last JSON object in `text` that has one of `languages`, by code; drafts may stand before it, or a fence."""
    decoder = json.JSONDecoder(strict=False)  # models write bare line breaks in strings
    found: dict[str, Any] | None = None
    start = text.find("{")
    while start >= 0:
        try:
            value, end = decoder.raw_decode(text, start)
        except (json.JSONDecodeError, RecursionError):
            end = start + 1
        else:
            found = _by_code(value, languages) or found
        start = text.find("{", end)
    return found


def _by_code(value: dict[str, Any], languages: Sequence[str]) -> dict[str, Any] | None:
    """{code: caption}, from keys that may be names, or one level down as in {"captions": {"English": …}}."""
    for inside in (value, *(part for part in value.values() if isinstance(part, dict))):
        coded = {language_code(str(key)): text for key, text in inside.items() if isinstance(text, str)}
        asked = {code: coded[code] for code in languages if code in coded}
        if asked:
            return asked
    return None
