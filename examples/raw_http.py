"""The same without any client library, as gateways send it: JSON with urllib, and nothing but the standard library.

    python examples/raw_http.py "A red circle moves to the right." out.mp4
"""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

API = os.environ.get("MANZAR_API", "http://127.0.0.1:8000/v1")
HEADERS = {"authorization": f"Bearer {os.environ.get('MANZAR_SERVE_KEY', 'none')}", "content-type": "application/json"}


def ask(method: str, path: str, body: dict[str, Any] | None = None) -> bytes:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(API + path, data, HEADERS, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        read: bytes = answer.read()
        return read


def main(prompt: str, out: str) -> None:
    video = json.loads(ask("POST", "/videos", {"model": "sora-2", "prompt": prompt, "seconds": "4"}))
    while video["status"] in ("queued", "in_progress"):
        time.sleep(1)
        video = json.loads(ask("GET", f"/videos/{video['id']}"))
        print(f"{video['status']} {video['progress']} %", file=sys.stderr)
    if video["status"] == "failed":
        raise SystemExit(video["error"]["message"])
    Path(out).write_bytes(ask("GET", f"/videos/{video['id']}/content"))


if __name__ == "__main__":
    main(*sys.argv[1:3])
