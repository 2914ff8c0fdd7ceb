// The mask of an edit: painted over the clip with a brush. White is what may change.

import { clamp, h, iconButton, say } from "./dom.js";

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const PAINT = "#ff3ea5"; // seen on any picture; the file that is posted is white on black
const LEVELS = 20; // steps of undo

export class Mask {
  #past = [];
  #last = null;
  #at = [0.5, 0.5];
  erasing = false;
  empty = true;

  constructor(root, tools, changed) {
    this.changed = changed;
    this.canvas = h("canvas", { class: "mask-canvas" });
    this.back = h("div", { class: "frame-back" });
    this.tip = h("div", { class: "tip", hidden: true });
    this.hint = h("p", { class: "frame-hint" }, "Give a video to edit, then paint what may change");
    this.frame = h("div", {
      class: "frame paints", tabindex: 0, role: "application", "aria-roledescription": "mask painter",
      "aria-label": "Clip to paint a mask on", "aria-describedby": "mask-help",
      onpointerdown: (event) => this.#press(event), onpointermove: (event) => this.#move(event),
      onpointerup: () => this.#release(), onpointerleave: () => { this.tip.hidden = true; },
      onkeydown: (event) => this.#type(event),
    }, this.back, this.canvas, this.tip, this.hint);
    this.size = h("input", { type: "range", min: 2, max: 40, value: 14, "aria-label": "Width of the brush" });
    root.append(h("div", { class: "frame-hold" }, this.frame), h("p", { class: "soft help", id: "mask-help" },
      "What is painted may change, all else stays as it is, pixel for pixel. By keyboard: arrows move the brush, ",
      h("kbd", {}, "Space"), " paints, ", h("kbd", {}, "E"), " erases or paints, ", h("kbd", {}, "Ctrl Z"), " undo."));
    this.eraser = iconButton("erase", "Erase", () => this.#erase(!this.erasing));
    this.brush = iconButton("brush", "Paint", () => this.#erase(false));
    this.undoButton = iconButton("undo", "Undo", () => this.undo());
    this.clearButton = iconButton("bin", "Clear the mask", () => this.clear());
    this.tools = h("div", { class: "tools", role: "toolbar", "aria-label": "Mask" },
      this.size, this.brush, this.eraser, h("span", { class: "gap" }), this.undoButton, this.clearButton);
    tools.append(this.tools);
    this.setClip(null);
  }

  /** The <video> to paint on, or null; its own size in pixels is the mask's. */
  setClip(video) {
    this.back.replaceChildren(...(video ? [video] : []));
    this.hint.hidden = Boolean(video);
    this.ready = false;
    if (!video) this.#sized(64, 64);
    else video.addEventListener("loadedmetadata", () => {
      this.#sized(video.videoWidth, video.videoHeight);
      this.ready = true;
    }, { once: true });
    this.#erase(false);
  }

  #sized(width, height) {
    Object.assign(this.canvas, { width, height }); // clears it too
    this.frame.style.aspectRatio = `${width} / ${height}`;
    this.frame.style.setProperty("--wide", width / height);
    this.#past = [];
    this.#settle();
  }

  /** The mask as a picture file, white on black, of the clip's size; null where nothing is painted. */
  async file() {
    if (this.empty) return null;
    const flat = h("canvas", { width: this.canvas.width, height: this.canvas.height });
    const context = flat.getContext("2d");
    context.drawImage(this.canvas, 0, 0);
    for (const [how, colour] of [["source-in", "#fff"], ["destination-over", "#000"]]) {
      Object.assign(context, { globalCompositeOperation: how, fillStyle: colour });
      context.fillRect(0, 0, flat.width, flat.height);
    }
    const blob = await new Promise((resolve) => flat.toBlob(resolve, "image/png"));
    return new File([blob], "mask.png", { type: "image/png" });
  }

  #remember() {
    this.#past.push(this.#pixels());
    this.#past.splice(0, this.#past.length - LEVELS);
  }

  #pixels() { return this.#context.getImageData(0, 0, this.canvas.width, this.canvas.height); }
  get #context() { return this.canvas.getContext("2d", { willReadFrequently: true }); }

  undo() {
    if (!this.#past.length) return;
    this.#context.putImageData(this.#past.pop(), 0, 0);
    this.#settle();
  }

  clear() {
    if (this.empty) return;
    this.#remember();
    this.#context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    this.#settle();
  }

  #erase(erasing) {
    this.erasing = erasing;
    this.eraser.setAttribute("aria-pressed", erasing);
    this.brush.setAttribute("aria-pressed", !erasing);
  }

  #settle() {
    const { data } = this.#pixels();
    this.empty = !data.some((value, index) => index % 4 === 3 && value > 127);
    this.undoButton.disabled = !this.#past.length;
    this.clearButton.disabled = this.empty;
    this.changed(this);
  }

  #point(event) {
    const { left, top, width, height } = this.frame.getBoundingClientRect();
    return [clamp((event.clientX - left) / width), clamp((event.clientY - top) / height)];
  }

  #press(event) {
    if (event.button !== 0 || !this.ready) return;
    event.preventDefault();
    this.frame.focus({ preventScroll: true });
    this.frame.setPointerCapture(event.pointerId);
    this.#remember();
    this.#last = this.#point(event);
    this.#paint(this.#last, this.#last);
  }

  #move(event) {
    const at = this.#point(event);
    this.#show(at);
    if (!this.#last) return;
    this.#paint(this.#last, at);
    this.#last = at;
  }

  #release() {
    if (!this.#last) return;
    this.#last = null;
    this.#settle();
  }

  #paint(from, to) {
    const { width, height } = this.canvas;
    const context = this.#context;
    context.globalCompositeOperation = this.erasing ? "destination-out" : "source-over";
    const lineWidth = (this.size.value / 100) * Math.max(width, height);
    Object.assign(context, { strokeStyle: PAINT, lineCap: "round", lineWidth });
    context.beginPath();
    context.moveTo(from[0] * width, from[1] * height);
    context.lineTo(to[0] * width + 1e-3, to[1] * height); // a line of no length would leave no mark
    context.stroke();
  }

  #show([x, y]) {
    const { width, height } = this.frame.getBoundingClientRect();
    const across = (this.size.value / 100) * Math.max(width, height);
    this.tip.hidden = !this.ready;
    const [left, top, side] = [`${100 * x}%`, `${100 * y}%`, `${across}px`];
    Object.assign(this.tip.style, { left, top, width: side, height: side });
  }

  #type(event) {
    if (!this.ready) return;
    if (ARROWS[event.key]) this.#at = this.#at.map((value, axis) => clamp(value + 0.03 * ARROWS[event.key][axis]));
    else if (event.key === " ") {
      this.#remember();
      this.#paint(this.#at, this.#at);
      this.#settle();
    } else if (event.key.toLowerCase() === "e") this.#erase(!this.erasing);
    else if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") this.undo();
    else return;
    event.preventDefault();
    this.#show(this.#at);
    const [x, y] = this.#at.map((value) => Math.round(100 * value));
    say(`${this.erasing ? "Eraser" : "Brush"} at ${x}, ${y} per cent.`);
  }
}
