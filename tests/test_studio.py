"""The studio in a real browser, against the real app and a real worker on a small model, as people go through it."""

from __future__ import annotations

import json
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn

from manzar.boxes import read_script
from manzar.generate import save_parts
from manzar.generate.boxes import new_control, save_control
from manzar.media import probe
from manzar.provenance import Marks
from manzar.serve.http.app import create_app
from manzar.serve.keys import Keys
from manzar.serve.queue import Queue
from manzar.serve.settings import ServeSettings
from manzar.serve.worker import Pulse, Worker
from tests.tiny_model import tiny_parts

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Locator, Page

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
STUDIO = Path(__file__).resolve().parents[1] / "manzar/serve/studio"
PLAIN = Marks(visible=False, metadata=False, c2pa=False, invisible=False)
URDU = "گھاس کے میدان کے سامنے نیچے کی طرف جاتی ہوئی ایک بڑی کالی مچھلی ہے۔"
WAIT_MS = 40_000

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


class Paused(Worker):
    """A worker that stops before the last step until it is let go on, so that a page is sure to see it at work."""

    let_go = threading.Event()
    ended = threading.Event()

    def _on_step(self, pulse: Pulse) -> Callable[[int, int, str], None]:
        step = super()._on_step(pulse)

        def paused(done: int, total: int, detail: str) -> None:
            step(done, total, detail)
            if done == total - 1:
                self.let_go.wait(WAIT_MS / 1000)

        return paused

    def run(self) -> None:
        while not self.ended.wait(0.02):
            job = self.queue.claim(self.name)
            if job is not None:
                self.work(job)


class Site:
    """A server that runs, and what was asked of it."""

    def __init__(self, address: str, queue: Queue, worker: Paused) -> None:
        self.address, self.queue, self.worker = address, queue, worker


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model with box control."""
    parts = tiny_parts()
    save_parts(parts, folder := tmp_path_factory.mktemp("model") / "tiny")
    save_control(new_control(parts.dit, objects=4, width=16), folder)
    return folder


@contextmanager
def serving(root: Path, model: Path, key: bool = False) -> Iterator[tuple[Site, str]]:
    """The app on a port of its own, with a worker in a thread; and the API key, if there is to be one."""
    settings = ServeSettings(root, {"tiny": model}, marks=PLAIN, pages=(root / "pages",))
    report = root / "pages" / "spring"
    report.mkdir(parents=True)
    (report / "index.html").write_text("<!doctype html><title>Spring</title>", encoding="utf-8")
    (report / "run.json").write_text("{}", encoding="utf-8")
    queue = Queue(settings.database, settings)
    secret = Keys(settings.database).add("phone")[1] if key else ""
    server = uvicorn.Server(uvicorn.Config(create_app(settings, queue), port=0, log_level="warning"))
    worker = Paused(settings, "w")
    worker.let_go, worker.ended = threading.Event(), threading.Event()
    threads = [threading.Thread(target=target) for target in (server.run, worker.run)]
    for thread in threads:
        thread.start()
    try:
        while not server.started:
            assert threads[0].is_alive(), "the server did not start"
        port = server.servers[0].sockets[0].getsockname()[1]
        yield Site(f"http://127.0.0.1:{port}", queue, worker), secret
    finally:
        server.should_exit = True
        worker.let_go.set()
        worker.ended.set()
        for thread in threads:
            thread.join()
        queue.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    sync_api.expect.set_options(timeout=WAIT_MS)
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()


@contextmanager
def visit(browser: Browser, site: Site, refused: int = 0, **settings: Any) -> Iterator[Page]:
    """A page of its own. At its end no request went elsewhere, and the console tells of no more than `refused` ones."""
    context: BrowserContext = browser.new_context(accept_downloads=True, **settings)
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    complaints: list[str] = []
    asked: list[str] = []
    page.on("console", lambda line: complaints.append(line.text) if line.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    try:
        page.goto(site.address)
        yield page
        assert [line for line in complaints if "Failed to load resource" not in line] == []
        assert len(complaints) <= refused
        assert [url for url in asked if not url.startswith((site.address + "/", "blob:", "data:"))] == []
    finally:
        context.close()  # or the server would wait for its streams


def drag(page: Page, start: tuple[float, float], end: tuple[float, float], frame: str = ".draws") -> None:
    """The mouse from one point of the picture to another, in shares of it."""
    page.locator(frame).scroll_into_view_if_needed()
    box = page.locator(frame).bounding_box()
    assert box is not None
    points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (start, end)]
    page.mouse.move(*points[0])
    page.mouse.down()
    page.mouse.move(*points[1], steps=4)
    page.mouse.up()


def finished(page: Page, count: int) -> Locator:
    """The cards of finished videos, once there are so many; the newest comes first."""
    cards = page.locator(".card.completed")
    sync_api.expect(cards).to_have_count(count)
    return cards


def seek(page: Page, part: str, frame: int, count: int = 1) -> None:
    """Drags the playhead to a frame, and waits until every video stands in the middle of it."""
    videos = page.locator(f"{part} video")
    sync_api.expect(videos).to_have_count(count)
    for video in videos.all():
        sync_api.expect(video).to_have_js_property("readyState", 4)
    page.fill(f"{part} .scrub", str(frame))
    for video in videos.all():
        for name, value in (("currentTime", (frame + 0.5) / 8), ("seeking", False), ("paused", True)):
            sync_api.expect(video).to_have_js_property(name, value)


def test_from_an_urdu_prompt_to_a_download(browser: Browser, model: Path, tmp_path: Path) -> None:
    expect = sync_api.expect
    with serving(tmp_path, model) as (site, _), visit(browser, site, viewport={"width": 1400, "height": 1000}) as page:
        prompt = page.get_by_label("Prompt", exact=True)
        prompt.fill(URDU)
        assert prompt.evaluate("e => [getComputedStyle(e).direction, e.lang]") == ["rtl", "ur"]
        assert not page.locator("#key").is_visible()

        drag(page, (0.1, 0.1), (0.4, 0.4))
        name = page.get_by_label("Name", exact=True)
        name.fill("مچھلی")
        name.press("Enter")
        page.fill(".timeline .scrub", "4")
        drag(page, (0.25, 0.25), (0.65, 0.65))
        drag(page, (0.1, 0.6), (0.3, 0.9))
        page.locator(".draws").press("Home")
        page.locator(".draws").press("k")
        page.locator(".draws").press("ArrowRight")
        expect(page.locator(".dot")).to_have_count(4)
        expect(page.locator("#boxes-count")).to_have_text("2 drawn")

        page.get_by_text("More", exact=True).click()
        page.get_by_label("Steps", exact=True).fill("3")
        page.get_by_role("button", name="Generate").click()
        expect(page.locator("#watch progress[value]")).to_be_visible()
        expect(page.locator("#watch .working img")).to_have_js_property("naturalWidth", 32)
        expect(page.get_by_role("button", name="Cancel")).to_be_visible()
        site.worker.let_go.set()

        finished(page, 1)
        expect(page.locator("#watch video")).to_have_js_property("paused", False)
        seek(page, "#watch", 3)
        seek(page, "#watch", 1)
        job = site.queue.list("", None, 10, "desc")[0][0]
        assert job.task.prompt == URDU and job.task.steps == 3 and job.task.boxes is not None
        script = read_script(job.task.boxes)
        assert [(thing.name, len(thing.keys)) for thing in script.objects] == [("مچھلی", 2), ("object 1", 2)]
        plan = script.resolve(5, 8.0, 4)[0]
        assert plan.boxes[4].as_list() == pytest.approx([0.5, 0.5, 0.8, 0.8], abs=0.02)

        finished(page, 1).locator(".card-open").click()
        viewer = page.locator("#viewer")
        for button, check in (("Video", is_video), ("Thumbnail", is_picture), ("boxes.json", is_script)):
            with page.expect_download() as download:
                viewer.get_by_role("button", name=button, exact=True).click()
            check(Path(download.value.path()))
        viewer.get_by_role("button", name="Extend").click()
        expect(page.get_by_role("tab", name="Extend")).to_have_attribute("aria-selected", "true")
        page.locator("#go").click()
        finished(page, 2)

        page.get_by_role("tab", name="Connect").click()
        for slot in ("First video", "Last video"):
            choice = page.get_by_label(f"{slot}: from the gallery")
            choice.focus()
            choice.select_option(index=1 if slot == "First video" else 2)
        page.locator("#go").click()
        finished(page, 3)
        kinds = [job.task.kind for job in site.queue.list("", None, 10, "desc")[0]]
        assert kinds == ["connection", "extension", "create"]

        for card in (0, 2):
            finished(page, 3).nth(card).get_by_label("Compare").click()
        expect(page.locator("#compare video")).to_have_count(2)
        seek(page, "#compare", 2, count=2)
        seek(page, "#compare", 3, count=2)
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Reports").click()
        assert page.get_by_role("link", name="spring").get_attribute("href", timeout=WAIT_MS)


def is_video(path: Path) -> None:
    assert probe(path).frames == 5


def is_picture(path: Path) -> None:
    assert path.read_bytes()[:4] == b"RIFF"


def is_script(path: Path) -> None:
    assert len(read_script(json.loads(path.read_text(encoding="utf-8"))).objects) == 2


def test_on_a_phone_with_a_key(browser: Browser, model: Path, tmp_path: Path) -> None:
    expect = sync_api.expect
    phone: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
    calm: dict[str, Any] = {"reduced_motion": "reduce", "color_scheme": "dark"}
    with serving(tmp_path, model, key=True) as (site, secret), visit(browser, site, **phone, **calm) as page:
        page.get_by_label("Key", exact=True).fill(secret)
        page.get_by_role("button", name="Use it").click()
        expect(page.locator("#size option").first).to_have_text("32 × 32 · own")
        page.get_by_role("group", name="Examples of prompts").get_by_text("العربية").tap()
        assert page.locator("#prompt").evaluate("e => getComputedStyle(e).direction") == "rtl"
        page.get_by_role("button", name="Boxes none drawn").tap()
        drag(page, (0.2, 0.2), (0.6, 0.5))
        expect(page.locator("#boxes-count")).to_have_text("1 drawn")
        site.worker.let_go.set()
        page.locator("#go").tap()
        finished(page, 1)
        seek(page, "#watch", 2)
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        finished(page, 1).locator(".card-open").tap()
        with page.expect_download() as download:
            page.locator("#viewer").get_by_role("button", name="Video", exact=True).tap()
        is_video(Path(download.value.path()))
        page.locator("#viewer").get_by_text("Delete this video").tap()
        page.locator("#viewer").get_by_text("Really delete it?").tap()
        expect(page.get_by_text("Nothing here yet")).to_be_visible()
        assert site.queue.list("phone", None, 10, "desc")[0] == []


def test_faults_are_shown_in_place_and_outlived(browser: Browser, model: Path, tmp_path: Path) -> None:
    expect = sync_api.expect
    with serving(tmp_path, model) as (site, _), visit(browser, site, 3, reduced_motion="reduce") as page:
        expect(page.locator("#steps")).to_have_attribute("placeholder", "2")
        page.locator("#go").click()
        expect(page.locator("#prompt")).to_be_focused()
        expect(page.locator("#prompt")).to_have_attribute("aria-invalid", "true")
        page.fill("#prompt", "A red circle.")
        expect(page.locator("#prompt")).not_to_have_attribute("aria-invalid", "true")
        page.locator("#more").evaluate("e => { e.open = true; }")
        page.fill("#steps", "5000")
        page.locator("#more").evaluate("e => { e.open = false; }")
        page.locator("#go").click()
        expect(page.locator("#steps")).to_be_focused()
        expect(page.locator("#error-steps")).to_be_visible()
        page.get_by_role("tab", name="Create").press("ArrowRight")
        expect(page.get_by_role("tab", name="Animate")).to_be_focused()
        page.locator("#go").click()
        expect(page.locator("#error-input_reference")).to_be_visible()

        page.route("**/events", lambda route: route.abort())  # progress is then asked for
        site.worker.let_go.set()
        page.get_by_role("tab", name="Loop").click()
        page.fill("#steps", "2")
        page.locator("#go").click()
        finished(page, 1)
        expect(page.locator("#watch video")).to_be_visible()
        assert site.queue.list("", None, 1, "desc")[0][0].task.loop


def test_the_page_keeps_to_its_policy() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in sorted(STUDIO.iterdir()))
    assert not re.search(r"https?://(?!www\.w3\.org/)", text), "something is fetched from elsewhere"
    assert not re.search(r"<script(?! type=\"module\" src=\"/studio/)|<style|\sstyle=|\son\w+=\"|\beval\(", text)
    for name in re.findall(r"(?:from |src=|href=)\"(?:\./|/studio/)([\w.]+)\"", text):
        assert (STUDIO / name).is_file(), name
