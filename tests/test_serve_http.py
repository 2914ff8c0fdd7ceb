"""What the server has beyond the Videos API: idempotency, events, previews, connections, pages, metrics, the end."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving import House, film, listener, running
from tiny_model import tiny_parts

from manzar.serve.http.models import Grid, sizes
from manzar.serve.jobs import Spec
from manzar.serve.task import Task


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with running(tmp_path_factory.mktemp("http")) as one:
        yield one


def make(house: House, **body: object) -> dict[str, object]:
    """A video that is asked for, and finished."""
    with house.client() as client:
        id = client.post("/v1/videos", json={"prompt": "a red circle"} | body).json()["id"]
        while True:
            video: dict[str, object] = client.get(f"/v1/videos/{id}").json()
            if video["status"] in ("completed", "failed"):
                return video
            time.sleep(0.02)


def test_an_idempotency_key_gives_the_same_job(house: House) -> None:
    with house.client() as client:
        def post(prompt: str, key: str) -> tuple[int, dict[str, object]]:
            answer = client.post("/v1/videos", json={"prompt": prompt}, headers={"idempotency-key": key})
            return answer.status_code, answer.json()

        first, again = post("one", "k1"), post("one", "k1")
        assert first[1]["id"] == again[1]["id"] and first[1]["seed"] == again[1]["seed"]
        assert post("one", "k2")[1]["id"] != first[1]["id"]
        status, refused = post("another", "k1")
        assert status == 409 and refused["error"]["param"] == "Idempotency-Key"  # type: ignore[index]
        assert post("one", "k" * 300)[0] == 400


def test_events_tell_of_every_change_and_end(tmp_path: Path) -> None:
    with running(tmp_path, working=False) as house, house.client() as client:
        id = client.post("/v1/videos", json={"prompt": "x"}).json()["id"]
        with client.stream("GET", f"/v1/videos/{id}/events") as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            lines = stream.iter_lines()
            assert next(lines) == "event: progress"
            assert json.loads(next(lines).removeprefix("data: "))["status"] == "queued"
            house.worker.working.set()
            rest = [line for line in lines if line]
        assert rest[-2] == "event: done"
        assert json.loads(rest[-1].removeprefix("data: "))["status"] == "completed"


def test_events_of_a_finished_video_are_its_end(house: House) -> None:
    video = make(house)
    with house.client() as client:
        text = client.get(f"/v1/videos/{video['id']}/events").text
        assert text.startswith("event: done\ndata: ") and text.count("event:") == 1
        assert client.get("/v1/videos/video_1/events").status_code == 404


def test_a_preview_is_there_when_there_is_one(house: House) -> None:
    video = make(house)
    with house.client() as client:
        answer = client.get(str(video["preview_url"]))
        assert answer.headers["content-type"] == "image/webp" and answer.content[8:12] == b"WEBP"
        failed = make(house, prompt="FAIL")
        assert failed["preview_url"] is None
        assert client.get(f"/v1/videos/{failed['id']}/preview").status_code == 204


def test_cancel_stops_and_keeps_the_record(tmp_path: Path) -> None:
    with running(tmp_path, working=False) as house, house.client() as client:
        id = client.post("/v1/videos", json={"prompt": "x"}).json()["id"]
        cancelled = client.post(f"/v1/videos/{id}/cancel").json()
        assert (cancelled["status"], cancelled["error"]["code"]) == ("failed", "cancelled")
        assert client.get(f"/v1/videos/{id}").json() == cancelled


def test_only_a_finished_video_can_be_used(tmp_path: Path) -> None:
    with running(tmp_path, working=False) as house, house.client() as client:
        id = client.post("/v1/videos", json={"prompt": "x"}).json()["id"]
        answer = client.post("/v1/videos/extensions", json={"prompt": "y", "video": {"id": id}})
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "not_finished")


def test_uploads_of_a_connection(house: House, tmp_path: Path) -> None:
    first, last = film(tmp_path / "a.mp4"), film(tmp_path / "b.mp4", shade=90)
    with house.client() as client, first.open("rb") as one, last.open("rb") as other:
        video = client.post("/v1/videos/connections", data={"prompt": "between", "seconds": "2"},
                            files={"first": one, "last": other}).json()
    task = house.queue.get(video["id"]).task
    assert (task.kind, task.video, task.last, task.seconds) == ("connection", "video.mp4", "last.mp4", 2.0)
    given = house.queue.folder(video["id"]) / "input"
    assert (given / "last.mp4").read_bytes() == last.read_bytes()


def test_a_mask_goes_with_an_edit(house: House, tmp_path: Path) -> None:
    from PIL import Image

    clip, mask = film(tmp_path / "a.mp4"), tmp_path / "mask.png"
    Image.new("L", (48, 32), 255).save(mask)
    with house.client() as client, clip.open("rb") as one, mask.open("rb") as other:
        sent = {"prompt": "blue inside", "strength": "1"}
        video = client.post("/v1/videos/edits", data=sent, files={"video": one, "mask": other}).json()
    task = house.queue.get(video["id"]).task
    assert (task.kind, task.video, task.mask, task.strength) == ("edit", "video.mp4", "mask.png", 1.0)


def test_boxes_need_a_model_that_has_them(house: House) -> None:
    boxes = {"objects": [{"keys": [{"at": 0, "box": [0.1, 0.1, 0.4, 0.4]}]}]}
    able = house.context.models["manzar"].manzar
    with house.client() as client:
        answer = client.post("/v1/videos", json={"prompt": "x", "boxes": boxes})
        if able.boxes is None:
            assert answer.json()["error"]["param"] == "boxes" and "no box control" in answer.text
            able.boxes = {"objects": 2}
            answer = client.post("/v1/videos", json={"prompt": "x", "boxes": boxes})
            assert answer.status_code == 200
        boxes["objects"][0]["keys"][0]["box"] = [0.5, 0.1, 0.4, 0.4]
        wrong = client.post("/v1/videos", json={"prompt": "x", "boxes": boxes})
        assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "boxes")


def test_whoever_registered_hears_of_the_end(house: House) -> None:
    with listener(500) as (failing, missed), listener() as (url, heard), house.client() as client:
        ids = [client.post("/v1/webhooks", json={"url": each}).json()["id"] for each in (failing, url)]
        video = make(house, prompt="FAIL")
        while (event := json.loads(heard.get(timeout=20)[1]))["data"] != {"id": video["id"]}:
            pass  # of the videos before
        assert event["type"] == "video.failed" and event["object"] == "event"
        missed.get(timeout=20)
        (waiting,) = [event for event in house.queue.outbox_due(time.time() + 3600) if event.job_id == video["id"]]
        assert waiting.attempts <= 1  # it is due again for the one that failed
        for id in ids:
            assert client.delete(f"/v1/webhooks/{id}").json()["deleted"]
        assert client.post("/v1/webhooks", json={"url": "ftp://example.org/"}).json()["error"]["param"] == "url"


def test_what_the_server_is(house: House) -> None:
    with house.client() as client:
        about = client.get("/v1/manzar").json()
        assert about["auth"] is False and about["defaults"] == {"model": "manzar"}
        assert about["limits"]["max_seconds"] == 20.0 and set(about["marks"].values()) == {True}
        assert client.get("/healthz").json()["status"] == "ok"
        able = client.get("/v1/models").json()["data"][0]["manzar"]
        assert able["sizes"][0] == f"{able['width']}x{able['height']}" and "ur" in able["languages"]


def test_sizes_keep_the_area_and_the_grid() -> None:
    found = sizes(832, 480, Grid(16, 16))
    assert found[0] == "832x480" and len(found) == len(set(found)) > 5
    for size in found:
        width, height = map(int, size.split("x"))
        assert width % 16 == height % 16 == 0 and 0.9 < width * height / (832 * 480) < 1.1


def test_metrics_are_those_of_prometheus(house: House) -> None:
    make(house)
    with house.client() as client:
        text = client.get("/metrics").text
    assert re.search(r'manzar_requests_total\{method="POST",route="/v1/videos",status="200"\} \d', text)
    assert re.search(r'manzar_tally\{name="completed"\} [1-9]', text)
    assert re.search(r'manzar_jobs\{status="completed"\} [1-9]', text) and "process_resident_memory_bytes" in text


def test_pages_that_were_opened_are_shown_and_nothing_else(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "dit"
    (run / "samples").mkdir(parents=True)
    (run / "index.html").write_text("<!doctype html><title>run</title>")
    (run / "run.json").write_text("{}")
    (tmp_path / "secret.txt").write_text("secret")
    (run / "link.txt").symlink_to(tmp_path / "secret.txt")
    with running(tmp_path / "root", pages=(tmp_path / "runs",)) as house, house.client() as client:
        (page,) = client.get("/v1/manzar/pages").json()
        assert (page["name"], page["kind"]) == ("dit", "run")
        answer = client.get(page["url"])
        assert "<title>run" in answer.text and "connect-src 'none'" in answer.headers["content-security-policy"]
        assert client.get(page["url"] + "index.html").status_code == 200
        for path in ("link.txt", "%2e%2e/%2e%2e/secret.txt", "..%2f..%2fsecret.txt", "nothing"):
            answer = client.get(page["url"] + path)
            assert answer.status_code == 404 and "secret" not in answer.json()["error"]["message"]


def test_the_studio_is_there(house: House) -> None:
    with house.client() as client:
        answer = client.get("/")
        assert answer.headers["content-type"].startswith("text/html")
        policy = answer.headers["content-security-policy"]
        assert "script-src 'self';" in policy and "unsafe" not in policy
        for script in re.findall(r'src="(/studio/[^"]+\.js)"', answer.text):
            assert client.get(script).headers["content-type"].startswith("text/javascript")


def test_a_batch_that_makes_no_sense_fails_with_its_line(house: House) -> None:
    with house.client() as client:
        lines = b'{"custom_id": "a", "method": "POST", "url": "/v1/chat", "body": {}}'
        file = client.post("/v1/files", data={"purpose": "batch"}, files={"file": ("a.jsonl", lines)}).json()
        asked = {"input_file_id": file["id"], "endpoint": "/v1/videos"}
        batch = client.post("/v1/batches", json=asked).json()
        while batch["status"] == "validating":
            time.sleep(0.05)
            batch = client.get(f"/v1/batches/{batch['id']}").json()
        assert batch["status"] == "failed" and batch["errors"]["data"][0]["line"] == 1
        assert client.post(f"/v1/batches/{batch['id']}/cancel").status_code == 409
        assert client.post("/v1/batches", json=asked | {"input_file_id": "file_1"}).status_code == 404


def test_a_cancelled_batch_makes_no_more(tmp_path: Path) -> None:
    with running(tmp_path, working=False, queued_per_key=2) as house, house.client() as client:
        line = {"method": "POST", "url": "/v1/videos", "body": {"prompt": "x"}}
        text = "\n".join(json.dumps(line | {"custom_id": str(index)}) for index in range(4)).encode()
        file = client.post("/v1/files", data={"purpose": "batch"}, files={"file": ("a.jsonl", text)}).json()
        batch = client.post("/v1/batches", json={"input_file_id": file["id"], "endpoint": "/v1/videos"}).json()
        while house.queue.count() < 2:  # as many as the key may have; the others wait
            time.sleep(0.05)
        client.post(f"/v1/batches/{batch['id']}/cancel")
        while batch["status"] != "cancelled":
            time.sleep(0.05)
            batch = client.get(f"/v1/batches/{batch['id']}").json()
        assert house.queue.count() == 0 and batch["request_counts"] == {"total": 4, "completed": 0, "failed": 4}


def test_what_was_asked_before_is_still_there_after_a_new_start(tmp_path: Path) -> None:
    with running(tmp_path, working=False) as house:
        spec = Spec(Task(kind="create", model="manzar", prompt="x", seed=1), "", "4", "64x64")
        id = house.queue.submit(spec).id
        (house.context.incoming / "left").write_bytes(b"an upload that was cut off")
    with running(tmp_path) as house, house.client() as client:
        assert not list(house.context.incoming.iterdir())
        while client.get(f"/v1/videos/{id}").json()["status"] != "completed":
            time.sleep(0.02)


def test_the_real_server_makes_a_video_and_ends_in_good_order(tmp_path: Path) -> None:
    """`manzar serve` with a worker of its own and a tiny model; Ctrl-C while the next video is being made."""
    from manzar.generate import save_parts

    save_parts(tiny_parts(), tmp_path / "model")
    command = [sys.executable, "-m", "manzar", "serve", "--model", f"tiny={tmp_path / 'model'}", "--port", "0",
               "--root", str(tmp_path / "root"), "--json"]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                               env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert process.stdout is not None
    try:
        told = json.loads(process.stdout.readline())
        import manzar.client

        with manzar.client.Client(told["api"]) as client:
            video = client.wait(client.create("a red circle", seed=3)["id"])
            assert (video["status"], video["model"], video["size"]) == ("completed", "tiny", "32x32")
            client.download(video["id"], tmp_path / "out.mp4")
            long = client.create("a red circle", steps=200, seconds=20)
            while client.retrieve(long["id"])["status"] == "queued":
                time.sleep(0.05)
        from manzar.media import probe

        assert (probe(tmp_path / "out.mp4").width, probe(tmp_path / "out.mp4").height) == (32, 32)
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        print(f"ended within {time.monotonic() - begun:.1f} s")
    finally:
        process.kill()
        process.wait()
    with running(tmp_path / "root", working=False) as house:
        assert house.queue.get(long["id"]).status == "queued"
