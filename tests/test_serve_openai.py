"""The official client, unmodified, over a real socket: everything it has for videos, and every error that it maps."""

from __future__ import annotations

import base64
import json
import warnings
from collections.abc import Iterator
from pathlib import Path

import httpx2
import openai
import pytest
from openai import OpenAI
from openai.types import Video
from serving import House, film, listener, running

from manzar.serve.jobs import Spec
from manzar.serve.task import Task

warnings.filterwarnings("ignore", category=DeprecationWarning, module="openai")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with running(tmp_path_factory.mktemp("openai")) as running_house:
        yield running_house


@pytest.fixture(scope="module")
def client(house: House) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{house.url}/v1", api_key="any", max_retries=0) as one:
        yield one


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from PIL import Image

    path = tmp_path_factory.mktemp("picture") / "first.png"
    Image.new("RGB", (32, 32), "red").save(path)
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("clip") / "clip.mp4")


@pytest.fixture(scope="module")
def done(client: OpenAI) -> Video:
    return client.videos.create_and_poll(prompt="a red circle", seconds="4", poll_interval_ms=20)


def test_a_video_is_created_from_text(client: OpenAI) -> None:
    video = client.videos.create(prompt="a red circle", model="sora-2", seconds="8", size="1280x720")
    assert (video.object, video.status, video.progress) == ("video", "queued", 0)
    assert (video.prompt, video.seconds, video.size, video.error) == ("a red circle", "8", "1280x720", None)
    assert "sora-2 was asked for" in video.model_extra["notes"][0]


def test_a_video_is_created_from_a_picture(client: OpenAI, house: House, picture: Path) -> None:
    video = client.videos.create(prompt="it moves", input_reference=picture)
    job = house.queue.get(video.id)
    assert job.task.image == "image.png"
    assert (house.queue.folder(video.id) / "input" / "image.png").read_bytes() == picture.read_bytes()


def test_a_picture_may_be_a_data_url(client: OpenAI, house: House, picture: Path) -> None:
    url = "data:image/png;base64," + base64.b64encode(picture.read_bytes()).decode()
    video = client.videos.create(prompt="it moves", extra_body={"input_reference": {"image_url": url}})
    assert house.queue.get(video.id).task.image == "image.png"


def test_a_picture_may_be_a_file_from_before(client: OpenAI, house: House, picture: Path) -> None:
    file = client.files.create(file=picture, purpose="vision")
    video = client.videos.create(prompt="it moves", extra_body={"input_reference": {"file_id": file.id}})
    assert house.queue.get(video.id).task.image == "image.png"


def test_own_fields_come_through_as_the_client_flattens_them(client: OpenAI, house: House) -> None:
    extra = {"seed": 3, "steps": 5, "guidance": 1.5, "negative_prompt": "blur", "loop": True}
    task = house.queue.get(client.videos.create(prompt="a loop", extra_body=extra).id).task
    assert (task.seed, task.steps, task.guidance, task.negative_prompt, task.loop) == (3, 5, 1.5, "blur", True)


def test_a_nested_list_in_a_form_is_refused_with_the_way_out(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="one field of JSON text") as refused:
        client.videos.create(prompt="boxes", extra_body={"boxes": [[0, 1], [2, 3]]})
    assert refused.value.param == "boxes"


def test_a_whole_json_body_is_taken(client: OpenAI, house: House) -> None:
    video = client.videos.create(prompt="left out", extra_headers={"Content-Type": "application/json"},
                                 extra_body={"prompt": "json", "seed": 9})  # fmt: skip
    assert (video.prompt, house.queue.get(video.id).task.seed) == ("json", 9)


def test_create_and_poll_ends_with_the_finished_video(done: Video) -> None:
    assert (done.status, done.progress, done.error) == ("completed", 100, None)
    assert done.completed_at is not None and done.expires_at is not None and done.expires_at > done.completed_at


def test_create_and_poll_ends_with_the_reason_of_a_failure(client: OpenAI) -> None:
    failed = client.videos.create_and_poll(prompt="FAIL", poll_interval_ms=20)
    assert failed.status == "failed" and failed.error is not None
    assert (failed.error.code, failed.error.message) == ("out_of_memory", "it needs more memory than there is")


def test_a_video_is_retrieved(client: OpenAI, done: Video) -> None:
    assert client.videos.retrieve(done.id).to_dict() == done.to_dict()


BEGINS = [("video", b"ftyp"), ("thumbnail", b"WEBP"), ("spritesheet", b"\xff\xd8")]


@pytest.mark.parametrize(("variant", "begins"), BEGINS)
def test_content_is_downloaded_in_all_variants(client: OpenAI, done: Video, variant: str, begins: bytes) -> None:
    content = client.videos.download_content(done.id, variant=variant).read()  # type: ignore[arg-type]
    assert begins in content[:16]


def test_content_is_the_video_unless_something_else_is_asked_for(client: OpenAI, done: Video, tmp_path: Path) -> None:
    client.videos.download_content(done.id).write_to_file(tmp_path / "a.mp4")
    with client.videos.with_streaming_response.download_content(done.id) as answer:
        answer.stream_to_file(tmp_path / "b.mp4")
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    assert (tmp_path / "a.mp4").stat().st_size > 100


def test_lists_are_paged_through_by_themselves(tmp_path: Path) -> None:
    with running(tmp_path, working=False) as house, OpenAI(base_url=f"{house.url}/v1", api_key="x") as client:
        spec = Spec(Task(kind="create", model="manzar", prompt="x", seed=1), "", "4", "64x64")
        made = [house.queue.submit(spec).id for _ in range(250)]
        assert [video.id for video in client.videos.list(limit=100, order="asc")] == made
        assert [video.id for video in client.videos.list()] == made[::-1]
        page = client.videos.list(after=made[100], limit=7, order="asc")
        assert [video.id for video in page.data] == made[101:108] and page.has_more


def test_a_remix_names_its_source(client: OpenAI, house: House, done: Video) -> None:
    video = client.videos.remix(done.id, prompt="a blue circle")
    assert (video.remixed_from_video_id, video.prompt) == (done.id, "a blue circle")
    assert house.queue.get(video.id).task.kind == "remix"


def test_a_clip_is_edited_by_upload_and_by_id(client: OpenAI, house: House, done: Video, clip: Path) -> None:
    sent = client.videos.edit(prompt="a blue circle", video=clip)
    assert house.queue.get(sent.id).task.video == "video.mp4"
    named = client.videos.edit(prompt="a blue circle", video=openai.omit, extra_body={"video": {"id": done.id}})
    assert (named.remixed_from_video_id, house.queue.get(named.id).task.kind) == (done.id, "edit")
    posted = client.post("/videos/edits", body={"prompt": "blue", "video": {"id": done.id}}, cast_to=Video)
    assert posted.remixed_from_video_id == done.id


def test_a_clip_is_extended_by_upload_and_by_id(client: OpenAI, house: House, done: Video, clip: Path) -> None:
    sent = client.videos.extend(prompt="it goes on", seconds="4", video=clip)
    assert float(sent.seconds) == pytest.approx(4 + 9 / 8)
    form = {"video": {"id": done.id}, "direction": "backward"}
    named = client.videos.extend(prompt="it goes on", seconds="8", video=openai.omit, extra_body=form)
    assert house.queue.get(named.id).task.direction == "backward"
    body = {"prompt": "on", "seconds": "4", "video": {"id": done.id}}
    assert client.post("/videos/extensions", body=body, cast_to=Video).status == "queued"


def test_characters_are_made_looked_up_and_asked_for(client: OpenAI, house: House, clip: Path) -> None:
    mira = client.videos.create_character(name="Mira", video=clip)
    assert (mira.name, client.videos.get_character(mira.id or "").id) == ("Mira", mira.id)
    video = client.videos.create(prompt="Mira runs.", extra_body={"characters": [{"id": mira.id}]})
    task = house.queue.get(video.id).task
    assert (task.characters, task.image) == ((mira.id,), "image.png")
    assert "begins with a frame of Mira's clip" in " ".join(video.model_extra["notes"])
    with pytest.raises(openai.BadRequestError, match="must be in the prompt") as refused:
        client.videos.create(prompt="A miracle.", extra_body={"characters": [{"id": mira.id}]})
    assert refused.value.param == "characters"


def test_the_description_of_a_character_takes_its_names_place(client: OpenAI, house: House, clip: Path) -> None:
    with clip.open("rb") as file:
        answer = httpx2.post(f"{house.url}/v1/videos/characters", files={"video": ("c.mp4", file)},
                             data={"name": "Zed", "description": "a green robot"})
    extra = {"characters": json.dumps([{"id": answer.json()["id"]}])}
    video = client.videos.create(prompt="Zed waves.", extra_body=extra)
    assert house.queue.get(video.id).task.prompt == "a green robot waves."


def test_a_video_is_deleted(client: OpenAI) -> None:
    video = client.videos.create(prompt="not for long")
    gone = client.videos.delete(video.id)
    assert (gone.id, gone.object, gone.deleted) == (video.id, "video.deleted", True)
    with pytest.raises(openai.NotFoundError):
        client.videos.retrieve(video.id)


def test_models_are_listed(client: OpenAI) -> None:
    models = client.models.list().data
    assert [model.id for model in models] == ["manzar"] and client.models.retrieve("manzar").owned_by == "manzar"
    assert models[0].model_extra["manzar"]["width"] == 64


# Errors


def test_400_names_the_parameter(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.videos.create(prompt="big", size="5000x10")  # type: ignore[arg-type]
    assert (refused.value.param, refused.value.type) == ("size", "invalid_request_error")
    assert refused.value.request_id is not None and refused.value.request_id.startswith("req_")


def test_404_for_what_is_not_there(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        client.videos.retrieve("video_000000000000000000000000")
    assert refused.value.code == "not_found"
    with pytest.raises(openai.NotFoundError) as refused:
        client.videos.create(prompt="x", model="gpt-4")
    assert (refused.value.param, refused.value.code) == ("model", "model_not_found")


def test_409_is_not_tried_again(tmp_path: Path) -> None:
    with running(tmp_path, working=False) as house, OpenAI(base_url=f"{house.url}/v1", api_key="x") as client:
        video = client.videos.create(prompt="waits")
        with pytest.raises(openai.ConflictError) as refused:
            client.videos.download_content(video.id)
        assert (refused.value.code, refused.value.response.headers["x-should-retry"]) == ("not_finished", "false")
        metrics = httpx2.get(f"{house.url}/metrics").text
        assert 'route="/v1/videos/{video_id}/content",status="409"} 1.0' in metrics


def test_422_for_an_upload_that_is_no_good(client: OpenAI, tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"<!doctype html><title>not found</title>")
    with pytest.raises(openai.UnprocessableEntityError, match="no film") as refused:
        client.videos.edit(prompt="x", video=tmp_path / "clip.mp4")
    assert refused.value.param == "video"


def test_401_403_and_429(tmp_path: Path) -> None:
    with running(tmp_path, working=False, key_for="me", queued_per_key=1) as house:
        address = f"{house.url}/v1"
        with OpenAI(base_url=address, api_key="mz-wrong") as stranger, pytest.raises(openai.AuthenticationError):
            stranger.videos.list()
        with OpenAI(base_url=address, api_key=house.key, max_retries=0) as client:
            client.videos.create(prompt="the one that may wait")
            with pytest.raises(openai.RateLimitError) as refused:
                client.videos.create(prompt="one too many")
            assert refused.value.code == "quota_reached" and "retry-after" in refused.value.response.headers
            with pytest.raises(openai.PermissionDeniedError):
                client.videos.list(extra_headers={"Origin": "https://elsewhere.example"})


def test_500_and_503_say_no_more_than_that(client: OpenAI, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    from manzar.nouns import StorageError

    def breaks(*_: object) -> None:
        raise RuntimeError("a secret of the house")

    def is_full(*_: object) -> None:
        raise StorageError("cannot write /srv/place: the disk is full")

    monkeypatch.setattr(house.queue, "submit", breaks)
    with pytest.raises(openai.InternalServerError) as failed:
        client.videos.create(prompt="x")
    assert failed.value.status_code == 500 and "secret" not in failed.value.response.text
    assert failed.value.type == "server_error"
    monkeypatch.setattr(house.queue, "submit", is_full)
    with pytest.raises(openai.InternalServerError) as failed:
        client.videos.create(prompt="x")
    assert failed.value.status_code == 503 and "/srv" not in failed.value.response.text


def test_a_server_that_is_away_is_a_connection_error() -> None:
    with OpenAI(base_url="http://127.0.0.1:9/v1", api_key="x", max_retries=0) as client, \
            pytest.raises(openai.APIConnectionError):  # fmt: skip
        client.videos.list()


# What else of the client works here


def test_webhooks_are_registered_and_signed_as_the_client_checks(client: OpenAI, house: House) -> None:
    with listener() as (url, heard):
        hook = client.webhooks.create(name="mine", url=url, event_types=["video.completed", "video.failed"])
        video = client.videos.create(prompt="tell me")
        headers, body = heard.get(timeout=20)
        client.webhooks.verify_signature(body, headers, secret=hook.signing_secret)
        event = json.loads(body)
        assert (event["type"], event["data"]["id"]) == ("video.completed", video.id)
        with pytest.raises(openai.InvalidWebhookSignatureError):
            client.webhooks.verify_signature(body + b" ", headers, secret=hook.signing_secret)
        assert [each.id for each in client.webhooks.list().data] == [hook.id]
        client.webhooks.delete(hook.id)


def test_a_batch_goes_through(client: OpenAI, house: House, tmp_path: Path) -> None:
    lines = [{"custom_id": name, "method": "POST", "url": "/v1/videos", "body": {"prompt": name}} for name in "abc"]
    lines.append({"custom_id": "d", "method": "POST", "url": "/v1/videos", "body": {"prompt": "d", "sede": 3}})
    (tmp_path / "lines.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    file = client.files.create(file=tmp_path / "lines.jsonl", purpose="batch")
    batch = client.batches.create(input_file_id=file.id, endpoint="/v1/videos", completion_window="24h")
    for _ in range(400):
        batch = client.batches.retrieve(batch.id)
        if batch.status == "completed":
            break
        house.worker.ended.wait(0.05)
    assert batch.request_counts is not None
    assert (batch.status, batch.request_counts.total, batch.request_counts.failed) == ("completed", 4, 1)
    answers = [json.loads(line) for line in client.files.content(batch.output_file_id or "").text.splitlines()]
    ends = {answer["custom_id"]: answer["response"]["body"]["status"] for answer in answers}
    assert ends == dict.fromkeys("abc", "completed")
    (error,) = [json.loads(line) for line in client.files.content(batch.error_file_id or "").text.splitlines()]
    assert (error["custom_id"], error["error"]["param"]) == ("d", "sede")
