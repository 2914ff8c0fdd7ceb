"""Who is let in, how often, and with what: keys, hosts, origins, limits, and files that are not what they say."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import logging
import os
import socket
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving import House, film, running

from manzar.nouns import ManzarError, UsageError
from manzar.serve.http import uploads, wire
from manzar.serve.http.doors import Buckets, bare_host, check_open, is_loopback
from manzar.serve.http.errors import ApiError
from manzar.serve.http.inspection import look
from manzar.serve.http.webhooks import address_of
from manzar.serve.keys import Keys
from manzar.serve.settings import ServeSettings

SHARED = Path(__file__).resolve().parents[2] / "shared"
PREFLIGHT = {"access-control-request-method": "POST"}
BROKEN, AWKWARD = SHARED / "clips" / "broken", SHARED / "clips" / "awkward"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with running(tmp_path_factory.mktemp("doors"), working=False, max_upload_bytes=1 << 20) as one:
        yield one


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with running(tmp_path_factory.mktemp("locked"), working=False, key_for="me", requests_per_minute=60) as one:
        yield one


# Keys


def test_keys_are_kept_as_hashes_only(tmp_path: Path) -> None:
    keys = Keys(tmp_path / "jobs.sqlite")
    key, secret = keys.add("me")
    assert keys.owner(secret) == key.id and keys.owner(secret + "x") is None
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert secret.encode() not in stored and secret.removeprefix("mz-").encode() not in stored
    assert keys.remove("me") == key and keys.owner(secret) is None
    with pytest.raises(UsageError, match="no key 'me'"):
        keys.remove("me")


def test_keys_of_another_process_are_known_soon(tmp_path: Path) -> None:
    mine, other = Keys(tmp_path / "jobs.sqlite"), Keys(tmp_path / "jobs.sqlite")
    assert not mine.any()
    _, secret = other.add("later")
    while mine.owner(secret) is None:
        time.sleep(0.05)
    with pytest.raises(UsageError, match="already"):
        mine.add("later")


def test_keys_come_from_a_file(tmp_path: Path) -> None:
    keys, file = Keys(tmp_path / "jobs.sqlite"), tmp_path / "keys.txt"
    file.write_text(f"# ours\nour site {'s' * 40}\n")
    assert [key.name for key in keys.add_from(file)] == ["our site"] and keys.add_from(file) == []
    assert keys.owner("s" * 40) is not None
    file.write_text("weak 1234\n")
    with pytest.raises(UsageError, match=r"keys.txt, line 1"):
        keys.add_from(file)


def test_other_interfaces_need_a_key(tmp_path: Path) -> None:
    for host, refused in (("127.0.0.1", False), ("::1", False), ("localhost", False), ("0.0.0.0", True),
                          ("192.168.1.5", True), ("::", True), ("example.org", True)):  # fmt: skip
        settings = ServeSettings(tmp_path, {"m": tmp_path}, host=host)
        assert (check_open(settings, False) is not None) == refused, host
        assert check_open(settings, True) is None


def test_without_a_key_only_what_is_open_is_answered(locked: House) -> None:
    with locked.client(authorization="Bearer mz-guess") as stranger, locked.client() as friend:
        for path in ("/v1/videos", "/v1/models", "/v1/manzar/pages", "/metrics", "/v1/videos/x/content", "/v1/x"):
            answer = stranger.get(path)
            assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key"), path
            assert answer.headers["www-authenticate"] == "Bearer"
        for path in ("/healthz", "/v1/manzar", "/", "/openapi.json"):
            assert stranger.get(path).status_code == 200, path
        assert friend.get("/v1/videos").status_code == 200
        assert friend.get("/v1/manzar").json()["auth"] is True


def test_nobody_sees_what_others_made(locked: House) -> None:
    _, secret = locked.context.keys.add("neighbour")
    with locked.client() as mine, locked.client(authorization=f"Bearer {secret}") as theirs:
        id = mine.post("/v1/videos", json={"prompt": "mine"}).json()["id"]
        assert theirs.get("/v1/videos").json()["data"] == []
        for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/cancel"), ("GET", "/content"), ("GET", "/preview"),
                             ("GET", "/events")):  # fmt: skip
            assert theirs.request(method, f"/v1/videos/{id}{path}").status_code == 404, path
        assert theirs.post(f"/v1/videos/{id}/remix", json={"prompt": "x"}).status_code == 404
        assert theirs.get("/v1/videos", params={"after": id}).status_code == 404
        assert mine.get(f"/v1/videos/{id}").status_code == 200


def test_secrets_are_in_no_log(locked: House, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger=""), locked.client() as client:
        client.get("/v1/videos")
        client.post("/v1/videos", json={"prompt": "x", "size": "bad"})
        hook = client.post("/v1/webhooks", json={"url": "http://10.0.0.1/x"}).json()
        assert hook["error"]["code"] == "private_address"
    assert locked.key is not None and locked.key not in caplog.text


# Places


STRANGE = ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "10.0.0.1", "[fe80::1]"]


@pytest.mark.parametrize("name", STRANGE)
def test_other_names_of_this_machine_are_refused(house: House, name: str) -> None:
    with house.client(host=name) as client:
        answer = client.get("/v1/videos")
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "host")


def test_its_own_names_are_known(house: House) -> None:
    port = house.url.rpartition(":")[2]
    for name in (f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}"):
        with house.client(host=name) as client:
            assert client.get("/v1/videos").status_code == 200, name
    assert bare_host("[::1]:80") == "::1" and bare_host("a:1") == "a"
    assert is_loopback("127.3.2.1") and not is_loopback("128.0.0.1")


def test_pages_of_other_origins_are_refused(house: House) -> None:
    for origin in ("https://evil.example", "null", "http://127.0.0.1:1"):
        with house.client(origin=origin) as client:
            for answer in (client.get("/v1/videos"), client.post("/v1/videos", json={"prompt": "x"}),
                           client.options("/v1/videos", headers=PREFLIGHT)):  # fmt: skip
                assert (answer.status_code, answer.json()["error"]["code"]) == (403, "origin"), origin
                assert "access-control-allow-origin" not in answer.headers
    with house.client(origin=house.url) as client:
        assert client.get("/v1/videos").status_code == 200


def test_an_origin_that_is_named_may_come(tmp_path: Path) -> None:
    with running(tmp_path, origins=("https://mine.example",)) as house:
        with house.client(origin="https://mine.example") as client:
            answer = client.options("/v1/videos", headers=PREFLIGHT)
            assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (204, "https://mine.example")
            assert client.get("/v1/videos").headers["access-control-allow-origin"] == "https://mine.example"
        with house.client(origin="https://other.example") as client:
            assert client.get("/v1/videos").status_code == 403


def test_every_answer_carries_what_browsers_should_know(house: House) -> None:
    with house.client() as client:
        for path in ("/v1/videos", "/v1/nothing", "/", "/studio/nothing.js"):
            headers = client.get(path).headers
            assert headers["x-content-type-options"] == "nosniff" and headers["x-frame-options"] == "DENY"
            assert "frame-ancestors 'none'" in headers["content-security-policy"] and headers["x-request-id"]
            assert "server" not in headers


# How often


def test_a_bucket_fills_with_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    bucket = Buckets(60)
    assert [bucket.wait_s("a") for _ in range(60)] == [0.0] * 60
    assert bucket.wait_s("a") == pytest.approx(1.0) and bucket.wait_s("b") == 0.0
    now += 2.5
    assert [bucket.wait_s("a") > 0 for _ in range(3)] == [False, False, True]


def test_a_key_may_ask_so_often(tmp_path: Path) -> None:
    with running(tmp_path, working=False, key_for="me", requests_per_minute=5) as house, house.client() as client:
        answers = [client.get("/v1/videos") for _ in range(7)]
        assert [answer.status_code for answer in answers[:5]] == [200] * 5
        assert answers[-1].status_code == 429 and int(answers[-1].headers["retry-after"]) >= 1
        with house.client(authorization="Bearer guess") as stranger:
            codes = [stranger.get("/v1/videos").status_code for _ in range(32)]
        assert codes[0] == 401 and codes[-1] == 429


# How much


def raw(house: House, head: str, body: bytes = b"", wait_s: float = 30.0) -> bytes:
    """What comes back for bytes as they are, until the server closes."""
    host, port = house.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=wait_s) as connection:
        connection.sendall(head.replace("\n", "\r\n").encode() + body)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_four_gigabytes_are_refused_before_they_come(house: House) -> None:
    head = "POST /v1/videos/edits HTTP/1.1\nhost: 127.0.0.1\ncontent-type: multipart/form-data; boundary=x\n"
    answer = raw(house, head + f"content-length: {4 << 30}\n\n", b"--x\r\n")
    assert answer.startswith(b"HTTP/1.1 413") and b"too_large" in answer


def test_what_says_nothing_of_its_length_is_counted(house: House) -> None:
    head = ("POST /v1/videos HTTP/1.1\nhost: 127.0.0.1\ncontent-type: multipart/form-data; boundary=x\n"
            "transfer-encoding: chunked\n\n")
    start = b'--x\r\nContent-Disposition: form-data; name="input_reference"; filename="a.png"\r\n\r\n'
    chunks = [start, *[b"\0" * 65536] * 40]  # of two and a half megabytes, where one may come
    answer = raw(house, head, b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413")
    assert not list(house.context.incoming.iterdir())


def test_a_connection_stays_open_for_the_next_request(house: House) -> None:
    with contextlib.closing(http.client.HTTPConnection(house.url.removeprefix("http://"), timeout=20)) as connection:
        for _ in range(2):
            connection.request("GET", "/healthz", headers={"content-length": "0"})
            answer = connection.getresponse()
            assert (answer.status, answer.headers["connection"]) == (200, None) and answer.read()


def test_a_field_that_is_a_bomb_is_refused(house: House) -> None:
    with house.client() as client:
        assert client.post("/v1/videos", json={"prompt": "x" * 5000}).json()["error"]["param"] == "prompt"
        deep = b'{"prompt": ' + b"[" * 100_000
        answer = client.post("/v1/videos", content=deep, headers={"content-type": "application/json"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_json")
        many = client.post("/v1/videos", files=[(f"f{index}", b"x") for index in range(50)])
        assert many.status_code == 400


def test_headers_that_never_end_lose_their_connection(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "HEADERS_S", 0.2)
    host, port = house.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(b"GET /v1/videos HTTP/1.1\r\nhost: 127.0.0.1\r\nx-slow: ")
        with pytest.raises((ConnectionResetError, BrokenPipeError)):  # noqa: PT012 (which of the bytes is not known)
            while True:
                connection.sendall(b"z")
                time.sleep(0.05)


def test_a_body_that_stops_coming_is_given_up(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    from manzar.serve.http import doors

    monkeypatch.setattr(doors, "BODY_IDLE_S", 0.2)
    head = "POST /v1/videos HTTP/1.1\nhost: 127.0.0.1\ncontent-type: application/json\ncontent-length: 100\n\n"
    assert raw(house, head, b'{"prompt"').startswith(b"HTTP/1.1 408")


# What


def posing(name: str) -> bytes:
    buffer = io.BytesIO()
    if name == "zip":
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("x.mp4", b"\0" * 1000)
        return buffer.getvalue()
    if name == "png":
        from PIL import Image

        Image.new("RGB", (32, 32)).save(buffer, "PNG")
        return buffer.getvalue()
    return {"html": b"<!doctype html><html></html>", "empty": b"", "playlist": b"#EXTM3U\n#EXTINF:1\nfile:///etc/passwd",
            "concat": b"ffconcat version 1.0\nfile /etc/passwd\n", "script": b"#!/bin/sh\n", "exe": b"MZ\x90\x00",
            "riff": b"RIFF\0\0\0\0WAVEfmt ", "half": b"\0\0\0\x18ftypmp42" + bytes(12)}[name]  # fmt: skip


@pytest.mark.parametrize("name", ["zip", "png", "html", "empty", "playlist", "concat", "script", "exe", "riff", "half"])
def test_what_poses_as_a_film_is_refused(house: House, name: str) -> None:
    sent = {"video": ("a.mp4", posing(name))}
    with house.client() as client:
        answer = client.post("/v1/videos/edits", data={"prompt": "x"}, files=sent)
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, "video"), answer.text
    assert not list(house.context.incoming.iterdir())


def test_a_file_is_what_it_is_named(house: House, tmp_path: Path) -> None:
    data = film(tmp_path / "a.mp4").read_bytes()
    with house.client() as client:
        answer = client.post("/v1/videos/edits", data={"prompt": "x"}, files={"video": ("a.webm", data)})
        assert answer.status_code == 422 and "named as matroska, and is mp4" in answer.text


@pytest.mark.parametrize("name", ["../../etc/passwd.mp4", "/a.mp4", "a/b.mp4", "..", "a\x01.mp4"])
def test_a_path_for_a_name_is_refused(house: House, name: str, tmp_path: Path) -> None:
    data = film(tmp_path / "a.mp4").read_bytes()
    body = (f'--x\r\nContent-Disposition: form-data; name="video"; filename="{name}"\r\n\r\n'.encode() + data
            + b'\r\n--x\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nx\r\n--x--\r\n')
    with house.client() as client:
        answer = client.post("/v1/videos/edits", content=body,
                             headers={"content-type": "multipart/form-data; boundary=x"})
    assert answer.status_code == 400, answer.text


def test_no_other_server_is_asked_for_anything(house: House) -> None:
    for url in ("http://127.0.0.1:1/x", "https://example.org/x", "file:///etc/passwd", "ftp://a/b", "//a/b", "", " "):
        with pytest.raises(ApiError) as refused:
            uploads.read_data_url(url, "input_reference")
        assert refused.value.status == 400
    assert uploads.read_data_url("data:image/png;base64,AAAA", "x") == b"\0\0\0"
    with pytest.raises(ApiError):
        uploads.read_data_url("data:image/png;base64,A*AA", "x")


def test_webhooks_of_keys_go_to_the_public_internet_only() -> None:
    for url in ("http://127.0.0.1/x", "http://localhost/x", "http://10.1.2.3/", "http://[::1]/", "http://169.254.169.254/",
                "http://0.0.0.0/", "http://192.168.0.1/", "http://[::ffff:127.0.0.1]/"):  # fmt: skip
        with pytest.raises(ApiError, match="public internet"):
            address_of(url, private=False)
    assert address_of("http://127.0.0.1/x", private=True) == "127.0.0.1"
    assert address_of("https://8.8.8.8/x", private=False) == "8.8.8.8"
    for url in ("ftp://8.8.8.8/", "8.8.8.8", "http://", "http://user:pass@8.8.8.8/", "http://[::1", "http://a:b/"):
        with pytest.raises(ApiError, match="no address"):
            address_of(url, private=True)


def test_pictures_that_are_too_large_or_films_too_long_are_refused(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", frames=17)
    assert look(path, 10, 10_000, None) | {"fps": 8.0} == {"width": 48, "height": 32, "fps": 8.0, "frames": 17,
                                                           "seconds": pytest.approx(17 / 8)}
    assert "longer than 1 s" in look(path, 1, 10_000, None)["error"]
    assert "at most 1,000 pixels" in look(path, 10, 1000, None)["error"]
    look(path, 10, 10_000, tmp_path / "middle.png")
    assert (tmp_path / "middle.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("path", sorted(BROKEN.glob("*")) if BROKEN.is_dir() else [], ids=lambda path: path.name)
def test_broken_files_are_refused_or_hold_what_they_say(path: Path) -> None:
    outcome(path)


@pytest.mark.skipif("MANZAR_CASES" not in os.environ, reason="decodes every file whole; set MANZAR_CASES to run it")
@pytest.mark.parametrize("path", sorted(AWKWARD.glob("*")) if AWKWARD.is_dir() else [], ids=lambda path: path.name)
def test_awkward_files_are_read_as_they_are(path: Path) -> None:
    found = outcome(path)
    assert isinstance(found, str) or found["frames"] >= 1


def outcome(path: Path) -> dict[str, object] | str:
    """What the doors make of a file: its measures, or the reason why it is refused; nothing else comes out."""
    family = uploads.told_by(path)
    if family is None:
        return "unknown"
    if uploads.NAMED.get(path.suffix[1:]) not in (None, family):
        return "misnamed"
    try:
        found = look(path, uploads.MOST_SECONDS, uploads.MOST_PIXELS, None)
    except ManzarError as error:
        return str(error)
    return json.loads(json.dumps(found))


AT_THE_DOOR = ["truncated_30pct_water.mp4", "wrong_extension_webm_named.mp4", "html_error_page.mp4", "zero_bytes.mp4"]


@pytest.mark.skipif(not BROKEN.is_dir(), reason="needs the shared clips")
@pytest.mark.parametrize("name", AT_THE_DOOR)
def test_broken_files_are_refused_at_the_door(tmp_path: Path, name: str) -> None:
    with running(tmp_path, working=False) as house, house.client() as client:
        sent = {"video": (name, (BROKEN / name).read_bytes())}
        answer = client.post("/v1/videos/extensions", data={"prompt": "x"}, files=sent)
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_file"), answer.text
        assert client.get("/healthz").status_code == 200
