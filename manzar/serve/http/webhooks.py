"""Telling others that a video is done: signed as Standard Webhooks has it, tried again until it is heard.

The queue writes an event in the same transaction that ends a job; `deliver` reads them, so none is lost when the server
is killed. One may be told twice, then with the same `webhook-id`.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import ipaddress
import json
import logging
import secrets
import socket
import time
from collections.abc import Sequence
from typing import Annotated, Literal
from urllib.parse import urlsplit

import anyio.to_thread
import httpx2
from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from manzar.serve.http.context import Context, Here, Owner
from manzar.serve.http.doors import is_loopback
from manzar.serve.http.errors import REFUSALS, ApiError, bad
from manzar.serve.http.records import Record, Records, new_id
from manzar.serve.jobs import Outbox

log = logging.getLogger("manzar.serve")
router = APIRouter(tags=["webhooks"], responses=REFUSALS)

KIND, HEARD = "webhooks", "heard"
OPERATOR = "*"  # the owner of webhooks that the operator named: they hear of all jobs
WAITS_S = (5, 30, 120, 600, 1800, 7200, 21_600, 43_200)  # after the first failure, the second, …; then it is given up
ANSWER_S = 10.0
MOST = 20  # webhooks of one key

EventType = Literal["video.completed", "video.failed"]
ALL: tuple[EventType, ...] = ("video.completed", "video.failed")


class WebhookBody(BaseModel):
    """Where to tell of what."""

    model_config = ConfigDict(extra="forbid")

    url: str = Field(min_length=8, max_length=2000)
    name: str = Field(default="webhook", min_length=1, max_length=64)
    event_types: Annotated[list[EventType], Field(min_length=1, max_length=2)] = list(ALL)


class Webhook(BaseModel):
    """An address that hears of every video of its key."""

    id: str
    object: Literal["webhook_endpoint"] = "webhook_endpoint"
    created_at: int
    name: str
    url: str
    event_types: list[str]
    signing_secret_hint: str


class WebhookWithSecret(Webhook):
    """The same with the secret that its messages are signed with, which is shown this once."""

    signing_secret: str


class WebhookList(BaseModel):
    """All webhooks of a key, the oldest first."""

    object: Literal["list"] = "list"
    data: list[Webhook]
    first_id: str | None
    last_id: str | None
    has_more: Literal[False] = False


class WebhookDeleted(BaseModel):
    """What is left of a deleted webhook."""

    id: str
    object: Literal["webhook_endpoint.deleted"] = "webhook_endpoint.deleted"
    deleted: Literal[True] = True


# The official client calls them webhook_endpoints; both paths are one thing.
@router.post("/v1/webhooks", summary="Create a webhook")
@router.post("/v1/webhook_endpoints", include_in_schema=False)
def create_webhook(here: Here, owner: Owner, body: WebhookBody) -> WebhookWithSecret:
    address_of(body.url, private=allows_private(here))
    if len(here.records.of(KIND, owner)) >= MOST:
        raise ApiError(429, f"there are {MOST} webhooks of this key; delete some", code="quota_reached")
    record = register(here.records, owner, body.url, body.name, body.event_types)
    return WebhookWithSecret(**shown(record).model_dump(), signing_secret=record["secret"])


@router.get("/v1/webhooks", summary="List webhooks")
@router.get("/v1/webhook_endpoints", include_in_schema=False)
def list_webhooks(here: Here, owner: Owner) -> WebhookList:
    data = [shown(record) for record in here.records.of(KIND, owner)]
    return WebhookList(data=data, first_id=data[0].id if data else None, last_id=data[-1].id if data else None)


@router.get("/v1/webhooks/{webhook_id}", summary="One webhook")
@router.get("/v1/webhook_endpoints/{webhook_id}", include_in_schema=False)
def retrieve_webhook(here: Here, owner: Owner, webhook_id: str) -> Webhook:
    return shown(here.records.one(KIND, webhook_id, owner, "webhook_id"))


@router.delete("/v1/webhooks/{webhook_id}", summary="Delete a webhook")
@router.delete("/v1/webhook_endpoints/{webhook_id}", include_in_schema=False)
def delete_webhook(here: Here, owner: Owner, webhook_id: str) -> WebhookDeleted:
    here.records.remove(here.records.one(KIND, webhook_id, owner, "webhook_id")["id"])
    return WebhookDeleted(id=webhook_id)


def register(records: Records, owner: str, url: str, name: str, types: Sequence[str] = ALL) -> Record:
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    return records.add(KIND, new_id("wh"), owner, url=url, name=name, event_types=list(types), secret=secret)


def shown(record: Record) -> Webhook:
    return Webhook(id=record["id"], created_at=record["created_at"], name=record["name"], url=record["url"],
                   event_types=record["event_types"], signing_secret_hint=f"whsec_…{record['secret'][-4:]}")


def allows_private(here: Context) -> bool:
    """On loopback, where only this machine's people are, webhooks may go to its neighbours; else not: somebody with a
    key could have the server knock at doors that only it can reach."""
    return is_loopback(here.settings.host) and not here.keys.any()


def address_of(url: str, private: bool) -> str:
    """The IP address to send to. Raises ApiError for what is no address, or one that is out of bounds."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if host is None or parts.scheme not in ("http", "https") or parts.username is not None:
        raise bad(f"url: {url!r} is no address such as https://example.org/videos", "url")
    try:
        found = socket.getaddrinfo(host, port or 443, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise bad(f"url: there is no host {host!r}", "url") from None
    addresses = [str(entry[4][0]) for entry in found]
    if not private and not all(ipaddress.ip_address(address.partition("%")[0]).is_global for address in addresses):
        raise bad(f"url: {host} is not on the public internet; webhooks of keys may only go there", "url",
                  "private_address")  # fmt: skip
    return addresses[0]


def signature(secret: str, id: str, timestamp: int, body: str) -> str:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{id}.{timestamp}.{body}".encode(), hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


async def deliver(here: Context, client: httpx2.AsyncClient) -> None:
    """Everything that is due, once."""
    due = await anyio.to_thread.run_sync(here.queue.outbox_due, time.time())
    if not due:
        return
    hooks = await anyio.to_thread.run_sync(here.records.every, KIND)
    await asyncio.gather(*(_deliver_one(here, client, event, hooks) for event in due))


async def _deliver_one(
    here: Context, client: httpx2.AsyncClient, event: Outbox, hooks: list[tuple[str, Record]]
) -> None:
    """To all who wait for it and have not heard it yet; tried again later for those who did not hear."""
    heard_id = f"heard_{event.id}"
    heard = await anyio.to_thread.run_sync(here.records.get, HEARD, heard_id, OPERATOR)
    known: list[str] = heard["hooks"] if heard else []
    wanted = [(owner, hook) for owner, hook in hooks if owner in (event.owner, OPERATOR)
              and event.type in hook["event_types"] and hook["id"] not in known]
    results = await asyncio.gather(*(_tell(here, client, owner, hook, event) for owner, hook in wanted))
    failed = [hook["id"] for (_, hook), well in zip(wanted, results, strict=True) if not well]
    if failed and event.attempts < len(WAITS_S):
        now_known = known + [hook["id"] for _, hook in wanted if hook["id"] not in failed]
        if heard is None:
            await anyio.to_thread.run_sync(lambda: here.records.add(HEARD, heard_id, OPERATOR, hooks=now_known))
        else:
            await anyio.to_thread.run_sync(here.records.merge, heard_id, {"hooks": now_known})
        due_at = time.time() + WAITS_S[event.attempts] * (0.8 + 0.4 * secrets.randbelow(1000) / 1000)
        await anyio.to_thread.run_sync(here.queue.outbox_retry, event.id, due_at)
        return
    if failed:
        log.warning("gave up telling %s of %s, after %d attempts", ", ".join(failed), event.job_id, event.attempts + 1)
    if heard is not None:
        await anyio.to_thread.run_sync(here.records.remove, heard_id)
    await anyio.to_thread.run_sync(here.queue.outbox_done, event.id)


async def _tell(here: Context, client: httpx2.AsyncClient, owner: str, hook: Record, event: Outbox) -> bool:
    """Whether it was heard. The address is looked up once, and that very one is spoken to."""
    body = json.dumps({"id": f"evt_{event.id}", "object": "event", "created_at": int(event.created_at),
                       "type": event.type, "data": {"id": event.job_id}})
    timestamp = int(time.time())
    url = httpx2.URL(hook["url"])
    headers = {
        "content-type": "application/json", "host": url.netloc.decode(), "user-agent": "manzar",
        "webhook-id": f"evt_{event.id}", "webhook-timestamp": str(timestamp),
        "webhook-signature": signature(hook["secret"], f"evt_{event.id}", timestamp, body),
    }  # fmt: skip
    try:
        private = owner == OPERATOR or allows_private(here)
        address = await anyio.to_thread.run_sync(address_of, hook["url"], private)
        answer = await client.post(url.copy_with(host=address), content=body, headers=headers,
                                   extensions={"sni_hostname": url.host})
    except (ApiError, httpx2.HTTPError) as error:
        log.warning("webhook %s did not hear of %s: %s", hook["id"], event.job_id, type(error).__name__)
        return False
    return answer.is_success


def new_client() -> httpx2.AsyncClient:
    return httpx2.AsyncClient(timeout=ANSWER_S, follow_redirects=False, trust_env=False)
