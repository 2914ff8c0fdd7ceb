// Play, seek and step, for one video or for several that go together.

import { contentPath, source } from "./api.js";
import { calm, h, icon, iconButton, s } from "./dom.js";
import { drawBoxes } from "./draw.js";
import { fromScript, scriptOf } from "./script.js";

const SMALL = 256; // pixels; a video narrower than this is enlarged with its pixels left square
const APART = 0.06; // seconds by which two videos may part before one is put right

/** A <video> of a finished job, without controls. */
export async function videoElement(video) {
  const element = h("video", {
    src: await source(contentPath(video.id, "video")), playsinline: true, preload: "auto",
    "aria-label": video.prompt || "Video",
  });
  element.muted = true;
  return pixelated(element, video.generated_size ?? video.size);
}

export function pixelated(element, size) {
  element.classList.toggle("pixels", Number(size.split("x")[0]) < SMALL);
  return element;
}

/** The video in a frame of its proportions, with the boxes it was made from over it, if there are any. */
export async function framed(video) {
  const element = await videoElement(video);
  const frame = h("div", { class: "frame" }, element);
  const [width, height] = video.size.split("x").map(Number);
  frame.style.aspectRatio = `${width} / ${height}`;
  frame.style.setProperty("--wide", width / height);
  const script = video.kind === "create" ? scriptOf(video) : null;
  if (script) frame.append(s("svg", { class: "boxes over" }));
  const objects = fromScript(script, video.frames, video.fps);
  const draw = (at) => {
    const { width: w, height: h_ } = frame.getBoundingClientRect();
    if (script && w) drawBoxes(frame.lastChild, objects, at, w, h_);
  };
  return { element, frame, draw, boxed: Boolean(script) };
}

/** Controls for videos that play as one; the longest leads. onAt(share of the clip) follows the playhead. */
export function controls(videos, fps, onAt = () => {}) {
  const range = h("input", { type: "range", class: "scrub", min: 0, max: 1, step: 1, value: 0, "aria-label": "Seek" });
  const clock = h("output", { class: "clock" });
  const play = iconButton("play", "Play", () => { touched = true; (leader().paused ? start : stop)(); });
  const back = iconButton("back", "One frame back", () => go(frame() - 1), { class: "square step" });
  const next = iconButton("next", "One frame on", () => go(frame() + 1), { class: "square step" });
  const repeat = iconButton("repeat", "Repeat", () => {
    repeat.setAttribute("aria-pressed", repeat.getAttribute("aria-pressed") !== "true");
  }, { "aria-pressed": "true" });
  const bar = h("div", { class: "transport" }, play, back, next, range, clock, repeat);
  let playing = false; // as the reader wants it; a video also pauses at its end
  let touched = false; // whoever has moved the playhead is not to be moved on by a start of its own

  const length = (video) => (Number.isFinite(video.duration) ? video.duration : 0);
  const leader = () => videos.reduce((one, other) => (length(other) > length(one) ? other : one));
  const frames = () => Math.max(1, Math.round(length(leader()) * fps));
  const frame = () => Math.min(frames() - 1, Math.floor(leader().currentTime * fps + 1e-3));

  function seek(to) {
    const seconds = (Math.min(frames() - 1, Math.max(0, to)) + 0.5) / fps; // the middle of a frame is surely in it
    for (const video of videos) video.currentTime = Math.min(seconds, Math.max(0, length(video) - 0.5 / fps));
  }

  function go(to) {
    touched = true;
    stop();
    seek(to);
  }

  function start() {
    playing = true;
    if (leader().ended || frame() >= frames() - 1) seek(0);
    for (const video of videos) video.play().catch(() => {});
  }

  function stop() {
    playing = false;
    for (const video of videos) video.pause();
  }

  function again() {
    if (!playing || repeat.getAttribute("aria-pressed") !== "true") return stop();
    for (const video of videos) video.currentTime = 0;
    start();
  }

  function show() {
    range.max = frames() - 1;
    range.value = frame();
    const at = frames() > 1 ? frame() / (frames() - 1) : 0;
    clock.textContent = `${leader().currentTime.toFixed(1)} / ${length(leader()).toFixed(1)} s`;
    range.setAttribute("aria-valuetext", `${leader().currentTime.toFixed(2)} seconds`);
    onAt(at);
  }

  function tick() {
    if (!bar.isConnected) return stop();
    show();
    const lead = leader();
    for (const video of videos) {
      if (video === lead || video.ended || lead.currentTime >= length(video)) continue;
      if (Math.abs(video.currentTime - lead.currentTime) > APART) video.currentTime = lead.currentTime;
    }
    if (!lead.paused) requestAnimationFrame(tick);
  }

  function turned(name, label, then) {
    play.replaceChildren(icon(name));
    Object.assign(play, { ariaLabel: label, title: label });
    then();
  }

  range.oninput = () => go(Number(range.value));
  for (const video of videos) {
    video.addEventListener("loadedmetadata", show);
    video.addEventListener("seeked", show);
    video.addEventListener("ended", () => video === leader() && again());
    video.addEventListener("play", () => video === leader() && turned("pause", "Pause", tick));
    video.addEventListener("pause", () => video === leader() && turned("play", "Play", show));
    video.addEventListener("click", () => play.click());
  }
  return { bar, show, start: () => { if (!calm.matches && !touched) start(); } };
}
