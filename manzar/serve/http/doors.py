"""What stands in front of every route: who may come in, from where, how often, and with how much.

On loopback no key is needed until one is made, and only pages of this server may talk to it: a web site that the
person visits could otherwise send requests here (DNS rebinding, forged forms). Elsewhere every request needs a key.
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import urlsplit

import anyio.to_thread
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from manzar.serve.http.context import Context
from manzar.serve.http.errors import ApiError, answer
from manzar.serve.settings import ServeSettings

MARGIN_BYTES = 1 << 20  # of a body, for the fields beside its files
JSON_BYTES = 24 << 20  # of a JSON body: a picture as a data URL fits in
BODY_IDLE_S = 20.0  # without a byte of a body that is still to come
BODY_WHOLE_S = 600.0
DRAIN_S, DRAIN_BYTES = 1.0, 32 << 20  # of a body that nobody reads
FAILURES_PER_MINUTE = 30  # wrong keys, from one address
MOST_BUCKETS = 10_000
MOST_AT_ONCE = 512  # requests, streams of events among them

SECURITY = {
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    b"cache-control": b"no-store",
}
PREFLIGHT = {
    "access-control-allow-methods": "GET, POST, DELETE",
    "access-control-allow-headers": "authorization, content-type, idempotency-key, range",
    "access-control-max-age": "600",
}
EXPOSED = b"x-request-id, retry-after, openai-poll-after-ms, content-range"
OPEN = ("/v1/manzar",)  # says whether a key is needed

Headers = Mapping[bytes, bytes]


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an interface."""
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


class Buckets:
    """So many requests a minute each, of which a burst may be all at once."""

    def __init__(self, per_minute: int) -> None:
        self.per_second, self.size = per_minute / 60, float(per_minute)
        self._filled: dict[str, tuple[float, float]] = {}  # who → (tokens, when)

    def wait_s(self, who: str, cost: float = 1.0) -> float:
        """Take `cost`; 0, or after how many seconds there will be enough."""
        now = time.monotonic()
        tokens, when = self._filled.pop(who, (self.size, now))
        tokens = min(self.size, tokens + (now - when) * self.per_second)
        enough = tokens >= max(cost, 1.0)
        self._filled[who] = (tokens - cost if enough else tokens, now)
        if len(self._filled) > MOST_BUCKETS:  # the longest unused goes; it is full again by now, or as good as
            del self._filled[next(iter(self._filled))]
        return 0.0 if enough else (max(cost, 1.0) - tokens) / self.per_second


class Doors:
    """The outermost part of the app."""

    def __init__(self, app: ASGIApp, context: Context) -> None:
        self.app, self.context = app, context
        self.loopback = is_loopback(context.settings.host)
        self.requests = Buckets(context.settings.requests_per_minute)
        self.failures = Buckets(FAILURES_PER_MINUTE)
        self.under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        state = scope.setdefault("state", {})
        state.update(owner="", request_id=f"req_{secrets.token_hex(12)}")
        body = Body(receive) if has_body(headers) else None
        reply = Reply(send, body, state["request_id"], self.allowed_origin(headers))
        started = time.perf_counter()
        self.under_way += 1
        try:
            if self.under_way > MOST_AT_ONCE:
                raise ApiError(503, f"{MOST_AT_ONCE} requests are being answered; try again in a moment", code="busy",
                               headers={"retry-after": "1"})  # fmt: skip
            if scope["method"] == "OPTIONS" and b"access-control-request-method" in headers:
                await self.preflight(reply)
                return
            state["owner"] = await self.admit(scope, headers)
            if body is not None:
                body.limit = self.measure(headers)
            await self.app(scope, receive if body is None else body.receive, reply.send)
        except Exception as error:  # the doors' own, and what the app did not foresee
            response = answer(error, state["request_id"])
            if not reply.status:
                await response(scope, receive, reply.send)
        finally:
            self.under_way -= 1
            self.context.metrics.count(scope, reply.status, time.perf_counter() - started)

    def allowed_origin(self, headers: Headers) -> str | None:
        """What to answer to a page of another origin, None where none of those may."""
        origin = headers.get(b"origin", b"").decode("latin-1")
        allowed = self.context.settings.origins
        return "*" if origin and "*" in allowed else origin if origin in allowed else None

    async def preflight(self, reply: Reply) -> None:
        if reply.origin is None:
            raise ApiError(403, "pages of other origins may not use this server; start it with --origin", code="origin")
        headers = [(name.encode(), value.encode()) for name, value in PREFLIGHT.items()]
        await reply.send({"type": "http.response.start", "status": 204, "headers": headers})
        await reply.send({"type": "http.response.body", "body": b""})

    async def admit(self, scope: Scope, headers: Headers) -> str:
        """The owner of what is asked for. Raises ApiError 401, 403 or 429."""
        keys = self.context.keys
        if keys.stale:
            await anyio.to_thread.run_sync(keys.refresh)
        keyless = self.loopback and not keys.any()
        self.check_place(headers, keyless)
        path: str = scope["path"]
        if keyless or not (path.startswith("/v1/") or path == "/metrics") or path in OPEN:
            return ""
        owner = self.known(scope, headers)
        wait = self.requests.wait_s(owner)
        if wait:
            most = self.context.settings.requests_per_minute
            raise ApiError(429, f"more than {most} requests a minute with this key; wait {wait:.1f} s",
                           code="rate_limit", headers={"retry-after": str(int(wait) + 1)})  # fmt: skip
        return owner

    def check_place(self, headers: Headers, keyless: bool) -> None:
        """Refuse pages of other origins, and, where no key is asked for, names of this machine that are not its own."""
        host = headers.get(b"host", b"").decode("latin-1")
        if keyless and not is_loopback(bare_host(host)) and bare_host(host) != self.context.settings.host:
            raise ApiError(403, f"this server is for this machine only and is not called {host!r}; use 127.0.0.1, or "
                                "start it with --host and a key", code="host")
        origin = headers.get(b"origin")
        if origin is None or self.allowed_origin(headers):
            return
        if urlsplit(origin.decode("latin-1")).netloc != host or not host:
            raise ApiError(403, "pages of other origins may not use this server; start it with --origin", code="origin")

    def known(self, scope: Scope, headers: Headers) -> str:
        """The owner of the key in the header. Raises ApiError 401, or 429 for too many that are not valid."""
        client = (scope.get("client") or ("",))[0]
        wait = self.failures.wait_s(client, 0)
        if wait:
            raise ApiError(429, "too many requests without a valid key; wait a minute", code="rate_limit",
                           headers={"retry-after": str(int(wait) + 1)})
        scheme, _, secret = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        owner = self.context.keys.owner(secret.strip()) if scheme.lower() == "bearer" else None
        if owner is None:
            self.failures.wait_s(client)
            raise ApiError(401, "no valid key: send the header Authorization: Bearer KEY; `manzar keys add NAME` makes "
                                "one", code="invalid_api_key", headers={"www-authenticate": "Bearer"})
        return owner

    def measure(self, headers: Headers) -> int:
        """How many bytes the body may have. Raises ApiError 413 if it says that it has more."""
        json = headers.get(b"content-type", b"").startswith(b"application/json")
        limit = JSON_BYTES if json else self.context.settings.max_upload_bytes + MARGIN_BYTES
        told = headers.get(b"content-length", b"0")
        if told.isdigit() and int(told) > limit:
            raise too_large(limit)
        return limit


class Body:
    """The bytes of a request as they come: no more than `limit`, and not for ever."""

    def __init__(self, receive: Receive) -> None:
        self._receive, self.limit = receive, 0
        self.read, self.whole = 0, False
        self._until = time.monotonic() + BODY_WHOLE_S

    async def receive(self) -> Message:
        if self.whole:  # what comes now is only that the client has gone
            return await self._receive()
        patience = min(BODY_IDLE_S, self._until - time.monotonic())
        try:
            async with asyncio.timeout(patience):
                message = await self._receive()
        except TimeoutError:
            raise ApiError(408, f"the body stopped coming; send it within {BODY_WHOLE_S:g} s", code="timeout") from None
        self.read += len(message.get("body", b""))
        self.whole = not message.get("more_body", False)
        if self.read > self.limit:
            raise too_large(self.limit)
        return message

    async def drain(self) -> None:
        limit = self.read + DRAIN_BYTES
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                while not self.whole and self.read < limit:
                    message = await self._receive()
                    self.read += len(message.get("body", b""))
                    self.whole = not message.get("more_body", False)


class Reply:
    """Answers on their way out, with what all of them carry.

    Where the body was not read to its end, the connection is closed, and not at once: a client that is cut off in
    mid-sending never sees the answer.
    """

    def __init__(self, send: Send, body: Body | None, request_id: str, origin: str | None) -> None:
        self._send, self._body, self.origin, self.status = send, body, origin, 0
        self._extra = [(b"x-request-id", request_id.encode())]
        if origin is not None:
            self._extra += [(b"access-control-allow-origin", origin.encode("latin-1")), (b"vary", b"origin"),
                            (b"access-control-expose-headers", EXPOSED)]

    async def send(self, message: Message) -> None:
        unread = self._body if self._body is not None and not self._body.whole else None
        if message["type"] == "http.response.start":
            self.status = message["status"]
            present = {name for name, _ in message.get("headers", ())}
            missing = [item for item in SECURITY.items() if item[0] not in present]
            close = [(b"connection", b"close")] if unread is not None else []
            message["headers"] = [*message.get("headers", ()), *missing, *self._extra, *close]
        elif unread is not None and not message.get("more_body", False):
            await self._send({**message, "more_body": True})
            await unread.drain()
            message = {"type": "http.response.body", "body": b""}
        await self._send(message)


def has_body(headers: Headers) -> bool:
    return headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers


def bare_host(host: str) -> str:
    """"[::1]:8000" → "::1", "localhost:8000" → "localhost"."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def too_large(limit: int) -> ApiError:
    return ApiError(413, f"the body is larger than {limit / 2**20:.0f} MiB, which is the most this server takes",
                    code="too_large")


def check_open(settings: ServeSettings, has_keys: bool) -> str | None:
    """Why the server may not start on this interface, None if it may."""
    if is_loopback(settings.host) or has_keys:
        return None
    return (f"{settings.host} can be reached from other machines, and there is no key yet; make one with: "
            f"manzar keys add NAME --root {settings.root}, or stay on 127.0.0.1")
