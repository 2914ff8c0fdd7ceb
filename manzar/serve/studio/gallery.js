// What was made and what is being made, newest first.

import * as api from "./api.js";
import { $, calm, duration, h, iconButton, say, sizeText } from "./dom.js";
import { languageOf } from "./languages.js";
import { pixelated, videoElement } from "./player.js";
import { DRAGGED } from "./slots.js";

const PAGE = 24;
const AGAIN_MS = 2500; // between two looks at jobs that nobody watches

export class Gallery {
  videos = new Map();
  #cards = new Map();
  #picked = [];
  #after = null;
  #timer = 0;

  /** open(video) for a finished one, watch(video) for one that is being made, compare(one, other). */
  constructor({ open, watch, compare, onKey }) {
    Object.assign(this, { open, watch, compare, onKey });
    $("#more-cards").addEventListener("click", () => this.more(true));
    addEventListener("keydown", (event) => event.key === "Escape" && this.#pick(null));
  }

  /** Finished videos, newest first: what a task can take by its id. */
  recent = () => [...this.videos.values()].filter((video) => video.status === "completed")
    .sort((one, other) => other.created_at - one.created_at);

  /** The next page; asked: the reader pressed for it, and goes on with its first card. */
  async more(asked = false) {
    try {
      const page = await api.list(PAGE, this.#after);
      this.#after = page.last_id;
      $("#more-cards").hidden = !page.has_more;
      const first = this.#take(page.data, false);
      if (asked) first?.querySelector("button").focus({ preventScroll: true });
    } catch (error) {
      if (error.status === 401) this.onKey(error.message);
      else say(error.message);
    }
    $("#gallery-empty").hidden = this.videos.size > 0;
  }

  /** Starts again from the newest, as after a key was given. */
  async reload() {
    this.videos.clear();
    this.#cards.clear();
    this.#after = null;
    $("#cards").replaceChildren();
    await this.more();
  }

  #take(videos, front) {
    const list = $("#cards");
    let first = null;
    for (const video of videos) {
      const known = this.#cards.get(video.id);
      this.videos.set(video.id, video);
      const card = this.#card(video);
      this.#cards.set(video.id, card);
      if (known) {
        const focused = known.contains(document.activeElement);
        known.replaceWith(card);
        if (focused) card.querySelector("button").focus({ preventScroll: true });
      }
      else if (front) list.prepend(card);
      else list.append(card);
      first ??= known ? null : card;
    }
    $("#gallery-empty").hidden = this.videos.size > 0;
    this.#lookAgain();
    return first;
  }

  /** A job that is new or has changed; a card is drawn anew only where what it shows is new. */
  put(video) {
    const old = this.videos.get(video.id);
    if (old && old.status === video.status && video.status !== "queued") {
      this.videos.set(video.id, video);
      const bar = this.#cards.get(video.id).querySelector("progress");
      if (bar) bar.value = video.progress;
      return;
    }
    this.#take([video], true);
  }

  drop(id) {
    this.#cards.get(id)?.remove();
    this.#cards.delete(id);
    this.videos.delete(id);
    this.#picked = this.#picked.filter((each) => each !== id);
    this.#marks();
    $("#gallery-empty").hidden = this.videos.size > 0;
  }

  /** While a job is unfinished the newest page is asked for again, now and then. */
  #lookAgain() {
    clearTimeout(this.#timer);
    if ([...this.videos.values()].every(api.finished)) return;
    this.#timer = setTimeout(async () => {
      try {
        for (const video of (await api.list(PAGE)).data.reverse()) this.put(video);
      } catch {
        // The server may be starting again: the next look will tell.
      }
      this.#lookAgain();
    }, AGAIN_MS);
  }

  #card(video) {
    const text = video.prompt || "(no prompt)";
    const thumb = h("div", { class: "thumb" });
    const done = video.status === "completed";
    const press = () => this[api.finished(video) ? "open" : "watch"](this.videos.get(video.id));
    const label = `${done ? "Open" : STATES[video.status]}: ${text}`;
    const pick = done && iconButton("both", "Compare", () => this.#pick(video.id), {
      class: "square pick", "aria-pressed": this.#picked.includes(video.id),
    });
    const card = h("li", { class: `card ${video.status}`, "data-id": video.id, draggable: done ? "true" : null },
      h("button", { type: "button", class: "card-open", onclick: press, "aria-label": label },
        thumb, h("span", { class: "card-prompt", dir: "auto", lang: languageOf(text) }, text)),
      h("div", { class: "card-meta" }, h("span", {}, meta(video).map((each) => h("span", {}, each))), pick));
    if (done) this.#lively(card, thumb, video);
    else thumb.append(video.status === "failed" ? h("p", {}, video.error?.message ?? "failed")
      : h("progress", { max: 100, value: video.progress, "aria-label": STATES[video.status] }));
    return card;
  }

  /** A thumbnail that plays under the pointer or the focus, and can be dragged into a task. */
  #lively(card, thumb, video) {
    const picture = h("img", { alt: "", loading: "lazy", decoding: "async" });
    pixelated(picture, video.generated_size ?? video.size);
    api.source(api.contentPath(video.id, "thumbnail")).then((src) => { picture.src = src; }).catch(() => {});
    thumb.append(picture);
    let playing = null;
    const start = async () => {
      if (playing || calm.matches) return;
      const element = (playing = await videoElement(video));
      element.loop = true;
      element.removeAttribute("aria-label");
      element.addEventListener("playing", () => element === playing && thumb.append(element), { once: true });
      await element.play().catch(() => {});
    };
    const stop = () => {
      playing?.pause();
      playing?.remove();
      playing = null;
    };
    card.addEventListener("pointerenter", start);
    card.addEventListener("pointerleave", stop);
    card.addEventListener("focusin", start);
    card.addEventListener("focusout", stop);
    card.addEventListener("dragstart", (event) => {
      event.dataTransfer.setData(DRAGGED, video.id);
      event.dataTransfer.effectAllowed = "copy";
    });
  }

  /** Marks a video for comparing; the second one opens the comparison. null: none. */
  #pick(id) {
    if (id === null) this.#picked = [];
    else if (this.#picked.includes(id)) this.#picked = this.#picked.filter((each) => each !== id);
    else this.#picked.push(id);
    if (this.#picked.length === 2) {
      const [one, other] = this.#picked.map((each) => this.videos.get(each));
      this.#picked = [];
      this.compare(one, other);
    }
    this.#marks();
    if (this.#picked.length) say("Choose one more to compare.");
  }

  pick(id) { this.#pick(id); }

  #marks() {
    const hint = $("#compare-hint");
    hint.hidden = !this.#picked.length;
    hint.textContent = "Choose one more to compare.";
    for (const [id, card] of this.#cards) {
      card.classList.toggle("picked", this.#picked.includes(id));
      card.querySelector(".pick")?.setAttribute("aria-pressed", this.#picked.includes(id));
    }
  }
}

const STATES = { queued: "Waiting", in_progress: "Being made", failed: "Failed", completed: "Done" };

function meta(video) {
  if (video.status !== "completed") return [STATES[video.status]];
  const made = `${duration(Number(video.seconds))} · ${sizeText(video.size)}`;
  return video.cost_seconds ? [made, `took ${duration(video.cost_seconds)}`] : [made];
}
