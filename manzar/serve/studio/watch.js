// The job at hand: its place in the queue, its frames as they clear up, and at last the video itself.

import * as api from "./api.js";
import { $, calm, duration, h, say, sizeText } from "./dom.js";
import { languageOf } from "./languages.js";
import { controls, framed, pixelated } from "./player.js";

const SPOKEN = 25; // per cent between two spoken lines of progress

export class Watch {
  #following = null;
  #spoken = -1;
  video = null;

  /** onChange(video) at each change of the job, onEnd(video or null) when it is over, open(video) for its details. */
  constructor(root, { onChange, onEnd, open }) {
    Object.assign(this, { root, onChange, onEnd, open });
    this.empty();
  }

  empty() {
    this.video = null;
    this.root.replaceChildren(blank("Your video appears here"));
  }

  /** Shows a job until it is done, whatever was shown before. */
  async follow(video) {
    this.#following?.abort();
    const { signal } = (this.#following = new AbortController());
    this.#spoken = -1;
    this.#lay(video);
    try {
      const last = await api.follow(video.id, (now) => this.#update(now, signal), signal);
      if (signal.aborted) return;
      say(last.status === "completed" ? "The video is ready." : `The video failed: ${last.error?.message ?? ""}`);
      this.onEnd(last);
      await this.show(last);
    } catch (error) {
      if (signal.aborted) return;
      this.#gone(error);
    }
  }

  /** Shows a finished video, ready to play. */
  async show(video) {
    this.video = video;
    if (video.status === "failed") return this.#failed(video);
    const { element, frame, draw, boxed } = await framed(video);
    const player = controls([element], video.fps || 8, draw);
    const toggle = h("label", { class: "check" }, h("input", {
      type: "checkbox", checked: true, onchange: (event) => frame.classList.toggle("bare", !event.target.checked),
    }), h("span", {}, "Show the boxes"));
    new ResizeObserver(player.show).observe(frame);
    this.root.replaceChildren(
      h("div", { class: "direct" }, h("div", { class: "frame-hold" }, frame), h("div", { class: "telling" },
        words(video), h("p", { class: "soft" }, summary(video)), notes(video), boxed ? toggle : null,
        h("button", { type: "button", class: "line", onclick: () => this.open(this.video) },
          "Details, remix, download"))),
      player.bar);
    element.addEventListener("loadeddata", () => player.start(), { once: true });
  }

  #lay(video) {
    this.video = video;
    this.picture = pixelated(h("img", { alt: "", hidden: true }), video.generated_size ?? video.size);
    this.bar = h("progress", { max: 100, "aria-label": "Progress" });
    this.line = h("p", { class: "status" });
    this.stop = h("button", { type: "button", class: "line", onclick: () => this.#cancel() }, "Cancel");
    const frame = h("div", { class: "frame working" }, this.picture);
    const [width, height] = video.size.split("x").map(Number);
    frame.style.aspectRatio = `${width} / ${height}`;
    frame.style.setProperty("--wide", width / height);
    this.root.replaceChildren(h("div", { class: "direct" }, h("div", { class: "frame-hold" }, frame),
      h("div", { class: "telling" }, words(video), this.line, this.bar, notes(video), this.stop)));
    this.#tell(video);
  }

  #update(video, signal) {
    if (signal.aborted) return;
    this.video = video;
    this.#tell(video);
    this.onChange(video);
    if (video.preview_url && video.status === "in_progress") this.#preview(video.preview_url, signal);
  }

  #tell(video) {
    const queued = video.status === "queued";
    if (queued) this.bar.removeAttribute("value");
    else this.bar.value = video.progress;
    const left = video.eta_seconds ? `, about ${duration(video.eta_seconds)} left` : "";
    this.line.textContent = queued ? `Waiting for its turn${left}` : `${video.progress} %${left}`;
    const mark = queued ? -1 : Math.floor(video.progress / SPOKEN);
    if (mark !== this.#spoken) say(this.line.textContent);
    this.#spoken = mark;
  }

  /** One preview at a time; those that come while one is loading are passed over. */
  async #preview(path, signal) {
    if (this.loading) return;
    this.loading = true;
    try {
      const url = await api.preview(path, signal);
      if (!url) return;
      const old = this.picture.src;
      this.picture.src = url;
      this.picture.hidden = false;
      await this.picture.decode().catch(() => {});
      if (old) URL.revokeObjectURL(old);
    } catch {
      // A preview that does not come is not worth a word: the next one will, or the video itself.
    } finally {
      this.loading = false;
    }
  }

  async #cancel() {
    this.stop.disabled = true;
    const { id } = this.video;
    this.#following?.abort();
    await api.cancel(id).catch((error) => { if (error.status !== 404) this.#gone(error); });
    say("Cancelled.");
    this.onEnd(null);
    this.empty();
  }

  #failed(video) {
    this.root.replaceChildren(h("div", { class: "direct" }, blank("No video"),
      h("div", { class: "telling" }, words(video), h("p", { class: "error" }, video.error?.message ?? "It failed."),
        notes(video))));
  }

  #gone(error) {
    const known = error.status === 404 ? "This job is no longer there: it was cancelled or deleted." : error.message;
    this.root.replaceChildren(blank(known));
    this.onEnd(null);
  }
}

const blank = (text) => h("div", { class: "frame-hold" },
  h("div", { class: "frame blank" }, h("p", { class: "frame-hint" }, text)));

export function words(video) {
  const text = video.prompt || "(no prompt)";
  return h("p", { class: "words", dir: "auto", lang: languageOf(text) }, text);
}

/** In one line: length, size, what it cost. */
export function summary(video) {
  const size = sizeText(video.size);
  const cost = video.cost_seconds ? `took ${duration(video.cost_seconds)}` : null;
  return [duration(Number(video.seconds)), size, `seed ${video.seed}`, cost].filter(Boolean).join(" · ");
}

export const notes = (video) => (video.notes?.length
  ? h("ul", { class: "notes" }, video.notes.map((note) => h("li", { dir: "auto" }, note))) : null);

/** Brings an element into view unless its beginning is well in view; without a glide where the reader wants calm. */
export function bring(selector) {
  const { top } = $(selector).getBoundingClientRect();
  if (top >= 0 && top < innerHeight / 3) return;
  $(selector).scrollIntoView({ behavior: calm.matches ? "auto" : "smooth", block: "start" });
}
