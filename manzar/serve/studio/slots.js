// The inputs of a task: a picture or a video, dropped, pasted, chosen as a file, or sent from the gallery by its id.

import { contentPath, source } from "./api.js";
import { h, icon, iconButton, say } from "./dom.js";
import { languageOf } from "./languages.js";

export const DRAGGED = "application/x-manzar-video"; // what a card of the gallery carries when it is dragged

export class Slot {
  file = null;
  video = null;
  #url = null;

  /** kind: "image" or "video"; recent(): finished videos to choose from; changed() is called after each change. */
  constructor({ name, label, kind, recent, changed }) {
    Object.assign(this, { name, label, kind, recent, changed });
    this.input = h("input", {
      type: "file", accept: `${kind}/*`, id: `slot-${name}`, class: "hidden", "aria-label": `${label}: choose a file`,
      onchange: () => this.input.files[0] && this.takeFile(this.input.files[0]),
    });
    this.choice = h("select", {
      dir: "auto",
      "aria-label": `${label}: from the gallery`, onfocus: () => this.#offer(), onpointerdown: () => this.#offer(),
      onchange: () => this.choice.value && this.takeVideo(this.recent().find(({ id }) => id === this.choice.value)),
    });
    this.view = h("div", { class: "slot-view" });
    this.remove = iconButton("close", `Remove: ${label}`, () => this.clear(true));
    this.element = h("div", { class: "field slot", "data-field": name, role: "group", "aria-label": label,
      ondragover: (event) => this.#over(event), ondragleave: () => this.element.classList.remove("over"),
      ondrop: (event) => this.#drop(event) },
    h("div", { class: "slot-head" }, h("span", { class: "label" }, label), this.remove), this.view,
    h("div", { class: "slot-from" }, this.input,
      h("label", { class: "button", for: `slot-${name}` }, "Choose a file"), this.choice));
    this.#offer();
    this.#render();
  }

  get empty() { return !this.file && !this.video; }

  /** What is posted: a file, or {id} of a video that the server has. */
  get value() { return this.file ?? (this.video && { id: this.video.id }); }

  async takeFile(file) {
    this.#set(file, null);
  }

  /** A video of the gallery; a slot for a picture takes its frame at `seconds`, or the last one. */
  async takeVideo(video, seconds = null) {
    if (this.kind === "video") return this.#set(null, video);
    this.view.setAttribute("aria-busy", "true");
    this.#set(await frameOf(video, seconds), null);
  }

  clear(focus = false) {
    this.input.value = "";
    this.#set(null, null);
    if (focus) this.choice.focus();
  }

  #set(file, video) {
    if (this.#url) URL.revokeObjectURL(this.#url);
    this.#url = file && URL.createObjectURL(file);
    Object.assign(this, { file, video });
    if (!this.empty) say(`${this.label}: ${file ? file.name : video.prompt || video.id}`);
    this.#render();
    this.changed(this);
  }

  /** A new <img> or <video> of what is in the slot; null where nothing is. */
  async picture() {
    if (this.empty) return null;
    const src = this.#url ?? (await source(contentPath(this.video.id, "video")));
    if (this.kind === "image") return h("img", { src, alt: this.label });
    const element = h("video", { src, loop: true, playsinline: true, preload: "auto", "aria-label": this.label });
    element.muted = true;
    return element;
  }

  async #render() {
    this.view.removeAttribute("aria-busy");
    this.element.classList.toggle("filled", !this.empty);
    this.remove.hidden = this.empty;
    this.choice.value = this.video?.id ?? "";
    const picture = await this.picture();
    const words = this.video ? this.video.prompt || this.video.id : this.file?.name;
    this.view.replaceChildren(...(picture
      ? [picture, h("p", { dir: "auto", lang: languageOf(words) }, words)]
      : [icon("plus"), h("p", {}, `Drop or paste ${this.kind === "image" ? "a picture" : "a video"}`)]));
  }

  #offer() {
    const videos = this.recent();
    this.choice.replaceChildren(h("option", { value: "" }, "From the gallery…"),
      ...videos.map((video) => h("option", { value: video.id }, (video.prompt || video.id).slice(0, 60))));
    this.choice.value = this.video?.id ?? "";
  }

  #over(event) {
    event.preventDefault();
    this.element.classList.add("over");
  }

  #drop(event) {
    event.preventDefault();
    event.stopPropagation();
    this.element.classList.remove("over");
    const id = event.dataTransfer.getData(DRAGGED);
    const video = id && this.recent().find((each) => each.id === id);
    if (video) this.takeVideo(video);
    else if (event.dataTransfer.files[0]) this.takeFile(event.dataTransfer.files[0]);
  }
}

/** One frame of a finished video as a picture file: the one at `seconds`, the last if that is null. */
async function frameOf(video, seconds) {
  const element = h("video", { src: await source(contentPath(video.id, "video")), preload: "auto" });
  element.muted = true;
  await new Promise((resolve, reject) => {
    element.onloadeddata = resolve;
    element.onerror = () => reject(new Error("this browser cannot open the video"));
  });
  await new Promise((resolve) => {
    element.onseeked = resolve;
    element.currentTime = seconds ?? Math.max(0, element.duration - 0.5 / (video.fps || 8));
  });
  const canvas = h("canvas", { width: element.videoWidth, height: element.videoHeight });
  canvas.getContext("2d").drawImage(element, 0, 0);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  return new File([blob], "frame.png", { type: "image/png" });
}
