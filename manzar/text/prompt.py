"""What happens to a prompt before it is cut into tokens: what the stock pipeline does, and a limit on length."""

from __future__ import annotations

import html
import importlib
import importlib.util
import re

from manzar.nouns import UsageError

# The encoder reads 512 tokens. No script needs four characters for one token on average (a byte-level token is at most
# one character, English pieces average about four), so what lies beyond 2,000 characters would be dropped unread.
PROMPT_LIMIT = 2000


def check(prompt: str) -> None:
    """Raises UsageError for a prompt that could not be read whole or is not text."""
    if len(prompt) > PROMPT_LIMIT:
        raise UsageError(f"the prompt has {len(prompt):,} characters and at most {PROMPT_LIMIT:,} are read; "
                         f"shorten it (it begins {prompt[:40]!r})")
    try:
        prompt.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UsageError(f"the prompt is not valid text at character {error.start} ({prompt[error.start]!r}); "
                         "give it in UTF-8") from None


def clean(prompt: str) -> str:
    """The text that the stock Wan pipeline would encode.

    Repairs broken encodings if ftfy is installed (as the stock pipeline does), resolves HTML entities twice (&amp;lt;
    becomes <), and makes every run of white space one space. No Unicode normalisation, since stock does none.
    """
    if importlib.util.find_spec("ftfy") is not None:
        prompt = importlib.import_module("ftfy").fix_text(prompt)
    prompt = html.unescape(html.unescape(prompt))
    return re.sub(r"\s+", " ", prompt.strip()).strip()
