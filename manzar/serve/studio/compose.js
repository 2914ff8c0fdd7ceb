// The form: what is wanted, in one of six tasks; it posts the job and hands it on.

import * as api from "./api.js";
import { $, duration, h, say, sizeText } from "./dom.js";
import { Faults } from "./faults.js";
import { EXAMPLES, languageOf, NAMES } from "./languages.js";
import { Slot } from "./slots.js";
import { COMMON, SECONDS_LABEL, TASKS } from "./tasks.js";

const SEEDS = 100_000; // enough to choose from, and few digits to read out
const LENGTH = 8; // seconds at the right end of the slider, where the model allows so much

export class Compose {
  task = "create";
  slots = [];
  #filled = {}; // what was put into the inputs of each task
  #turns = {}; // which example of each language was shown last

  /** boxes, mask: what is drawn; recent(): finished videos; onTask, onShape, onInput, onJob tell of what happens. */
  constructor(parts) {
    Object.assign(this, parts);
    this.form = $("#compose");
    this.faults = new Faults(this.form, $("#form-error"));
    this.#listen();
    this.#examples();
    this.#newSeed();
  }

  /** Takes over what a model can do. */
  setModel(model, limits) {
    this.model = model;
    const can = model.manzar;
    const own = `${can.width}x${can.height}`;
    const sizes = [own, ...can.sizes.filter((size) => size !== own)];
    $("#size").replaceChildren(...sizes.map((size, index) =>
      h("option", { value: size }, sizeText(size) + (index ? "" : " · own"))),
    h("option", { value: "custom" }, "Other…"));
    $("#width").value = can.width;
    $("#height").value = can.height;
    const most = Math.min(can.max_seconds, limits.max_seconds, Math.max(LENGTH, 2 * can.seconds));
    Object.assign($("#seconds"), { min: 1 / can.fps, max: most, step: 1 / can.fps });
    $("#seconds").value = can.seconds;
    $("#steps").placeholder = can.steps;
    $("#guidance").placeholder = can.guidance;
    $("#box_guidance").placeholder = "as the model has it";
    this.choose(this.task);
    this.#shape();
  }

  get size() {
    return $("#size").value === "custom" ? `${$("#width").value || 0}x${$("#height").value || 0}` : $("#size").value;
  }

  /** Goes to a task; its inputs are as they were left. */
  choose(task, focus = false) {
    this.task = task;
    const { about, slots, fields, verb } = TASKS[task];
    for (const tab of this.form.querySelectorAll("[role=tab]")) {
      const chosen = tab.dataset.task === task;
      tab.setAttribute("aria-selected", chosen);
      tab.setAttribute("aria-controls", "panel");
      tab.tabIndex = chosen ? 0 : -1;
      if (chosen && focus) tab.focus();
      if (chosen) tab.scrollIntoView({ block: "nearest", inline: "nearest" });
    }
    $("#panel").setAttribute("aria-labelledby", `tab-${task}`);
    $("#about").textContent = about;
    this.#filled[task] ??= slots.map((slot) => new Slot({
      ...slot, recent: this.recent, changed: (changed) => this.#input(changed),
    }));
    this.slots = this.#filled[task];
    $("#slots").replaceChildren(...this.slots.map((slot) => slot.element));
    for (const field of this.form.querySelectorAll("#panel [data-field]:not(.slot)")) {
      const name = field.dataset.field;
      field.hidden = !COMMON.includes(name) && !fields.includes(name === "box_guidance" ? "boxes" : name);
    }
    if (this.model && !this.model.manzar.boxes) $('[data-field="box_guidance"]').hidden = true;
    $("#seconds-label").textContent = SECONDS_LABEL[task] ?? "Length";
    $("#go-text").textContent = verb;
    this.faults.clear();
    this.onTask(task);
  }

  /** Puts a video of the gallery into an input of a task and goes there; seconds: which frame, for a picture. */
  use(task, video, index = 0, seconds = null) {
    this.choose(task);
    const slot = this.slots[index];
    slot.takeVideo(video, seconds).catch((error) => this.faults.show(error.message, slot.name));
    if (!$("#prompt").value) this.setPrompt(video.prompt ?? "");
    $("#prompt").focus();
  }

  setPrompt(text) {
    $("#prompt").value = text;
    this.#language($("#prompt"));
  }

  #listen() {
    const { form } = this;
    for (const tab of form.querySelectorAll("[role=tab]")) {
      tab.addEventListener("click", () => this.choose(tab.dataset.task));
      tab.addEventListener("keydown", (event) => this.#turn(event));
    }
    for (const area of form.querySelectorAll("textarea")) area.addEventListener("input", () => this.#language(area));
    for (const id of ["#seconds", "#strength", "#size", "#width", "#height"]) {
      $(id).addEventListener("input", () => this.#shape());
    }
    $("#dice").addEventListener("click", () => this.#newSeed(true));
    $("#lock").addEventListener("click", () => this.#lock(!this.locked));
    $("#seed").addEventListener("input", () => this.#lock(true));
    this.boxes.addEventListener("change", () => this.#count());
    form.addEventListener("submit", (event) => { event.preventDefault(); this.#submit(); });
    form.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
      else if (event.key === "Enter" && event.target.matches("input")) event.preventDefault();
    });
    addEventListener("paste", (event) => this.#offered([...event.clipboardData.files], event));
    addEventListener("dragover", (event) => event.dataTransfer.types.includes("Files") && event.preventDefault());
    addEventListener("drop", (event) => this.#offered([...event.dataTransfer.files], event));
  }

  #turn(event) {
    const tabs = [...this.form.querySelectorAll("[role=tab]")];
    const here = tabs.indexOf(event.target);
    const to = { ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.choose(tabs[(to + tabs.length) % tabs.length].dataset.task, true);
  }

  /** A file from anywhere on the page: into the first input that takes it, else into the task that is made for it. */
  #offered(files, event) {
    const file = files.find(({ type }) => /^(image|video)\//.test(type));
    if (!file) return;
    event.preventDefault();
    const kind = file.type.split("/")[0];
    const fitting = () => this.slots.filter((slot) => slot.kind === kind);
    if (!fitting().length) this.choose(kind === "image" ? "animate" : "extend");
    (fitting().find((slot) => slot.empty) ?? fitting()[0]).takeFile(file);
  }

  #language(area) {
    area.lang = languageOf(area.value || area.placeholder);
  }

  #examples() {
    $("#examples").append(...Object.entries(NAMES).map(([code, name]) => h("button", {
      type: "button", class: "chip", lang: code, onclick: () => {
        const turn = (this.#turns[code] = ((this.#turns[code] ?? -1) + 1) % EXAMPLES[code].length);
        this.setPrompt(EXAMPLES[code][turn]);
        $("#prompt").focus();
      },
    }, name)));
  }

  #newSeed(told = false) {
    $("#seed").value = Math.floor(Math.random() * SEEDS);
    if (told) say(`Seed ${$("#seed").value}`);
  }

  #lock(locked) {
    this.locked = locked;
    $("#lock").setAttribute("aria-pressed", locked);
  }

  /** Tells what the sliders say, and the stage what the clip will be. */
  #shape() {
    const { fps } = this.model.manzar;
    const seconds = Number($("#seconds").value);
    $("#seconds-out").textContent = `${duration(seconds)} · ${Math.round(seconds * fps)} frames`;
    $("#seconds").setAttribute("aria-valuetext", duration(seconds));
    $("#strength-out").textContent = Number($("#strength").value).toFixed(2);
    $("#custom-size").hidden = $("#size").value !== "custom";
    const [width, height] = this.size.split("x").map(Number);
    const maximum = this.model.manzar.boxes?.objects ?? 8;
    this.boxes.shape(Math.round(seconds * fps), fps, maximum);
    if (width > 0 && height > 0) this.onShape(width, height);
    this.#count();
  }

  #count() {
    const { length } = this.boxes.objects;
    const untaught = length > 0 && this.model && !this.model.manzar.boxes;
    $("#boxes-count").textContent = untaught ? `${length} drawn; this model has not learnt boxes`
      : length ? `${length} drawn` : "none drawn";
  }

  #input(slot) {
    slot.element.dispatchEvent(new Event("input", { bubbles: true }));
    this.onInput(this.task, slot);
  }

  async #fields() {
    const value = (name) => $(`#${name}`).value.trim();
    const { fields } = TASKS[this.task];
    const body = { model: this.model.id, prompt: value("prompt"), seed: Number(value("seed") || 0) };
    for (const name of ["steps", "guidance"]) if (value(name)) body[name] = Number(value(name));
    if (value("negative_prompt")) body.negative_prompt = value("negative_prompt");
    for (const slot of this.slots) body[slot.name] = slot.value;
    if (fields.includes("size") && this.#sized()) body.size = this.size;
    if (fields.includes("seconds")) body.seconds = value("seconds");
    if (fields.includes("strength")) body.strength = Number(value("strength"));
    if (fields.includes("mask")) body.mask = await this.mask.file();
    if (fields.includes("boxes") && this.boxes.script) {
      body.boxes = this.boxes.script;
      if (value("box_guidance")) body.box_guidance = Number(value("box_guidance"));
    }
    if (this.task === "loop") body.loop = true;
    if (this.task === "extend") Object.assign(body, way(this.form.elements.direction.value));
    return body;
  }

  /** A picture to animate brings its own proportions, so the model's own size is not asked for then. */
  #sized() {
    return this.task !== "animate" || $("#size").selectedIndex > 0;
  }

  async #submit() {
    const button = $("#go");
    if (button.getAttribute("aria-disabled") === "true") return;
    this.faults.clear();
    if (!$("#prompt").value.trim()) return this.faults.show("Say what happens.", "prompt");
    const missing = this.slots.find((slot) => slot.empty);
    const lacking = missing?.kind === "image" ? "a picture" : "a video";
    if (missing) return this.faults.show(`This task needs ${lacking}.`, missing.name);
    if (!this.locked) this.#newSeed();
    button.setAttribute("aria-disabled", "true");
    try {
      const body = await this.#fields();
      const video = await api.submit(TASKS[this.task].path, body);
      say("Accepted.");
      this.onJob(video, body.boxes ?? null);
    } catch (error) {
      if (error.status === 401) this.onKey(error.message);
      else this.faults.show(error.message, error.param);
    } finally {
      button.setAttribute("aria-disabled", "false");
    }
  }
}

const way = (direction) => (direction === "loop" ? { loop: true } : { direction });
