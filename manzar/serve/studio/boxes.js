// What has been drawn: the objects, which is chosen, the time it is; every change can be undone.

import { clamp } from "./dom.js";
import { toScript } from "./script.js";
import { boxAt, centre, keyAt, moveAll, moved, setKey, setPath, settle, tidy } from "./track.js";

const KEPT = 100; // steps of undo
export const COLOURS = 8; // the palette of stage.css

export class Boxes extends EventTarget {
  objects = [];
  chosen = 0;
  at = 0;
  #past = [];
  #future = [];

  /** frames: how many the clip has, so that keys stand on frames; maximum: objects the model can follow. */
  constructor(frames = 17, fps = 8, maximum = 8) {
    super();
    this.shape(frames, fps, maximum);
  }

  shape(frames, fps, maximum) {
    Object.assign(this, { frames: Math.max(2, frames), fps, maximum });
    this.seek(this.at);
  }

  get object() { return this.objects[this.chosen] ?? null; }
  get full() { return this.objects.length >= this.maximum; }
  get frame() { return Math.round(this.at * (this.frames - 1)); }
  get script() { return this.objects.length ? toScript(this.objects) : null; }
  get canUndo() { return this.#past.length > 0; }
  get canRedo() { return this.#future.length > 0; }

  seek(at) {
    this.at = this.#snap(clamp(at));
    this.tell();
  }

  step(frames) { this.seek((this.frame + frames) / (this.frames - 1)); }

  choose(index) {
    this.chosen = index;
    this.tell();
  }

  tell() { this.dispatchEvent(new Event("change")); }

  #snap(at) { return Math.round(at * (this.frames - 1)) / (this.frames - 1); }

  #state() { return JSON.stringify({ objects: this.objects, chosen: this.chosen }); }

  /** Remembers how things are, before a change that will be one step of undo. */
  remember() {
    this.#past.push(this.#state());
    this.#past.splice(0, this.#past.length - KEPT);
    this.#future = [];
  }

  /** A change as one step of undo. */
  change(how) {
    this.remember();
    how();
    this.tell();
  }

  undo() { this.#travel(this.#past, this.#future); }
  redo() { this.#travel(this.#future, this.#past); }

  #travel(from, to) {
    if (!from.length) return;
    to.push(this.#state());
    Object.assign(this, JSON.parse(from.pop()));
    this.tell();
  }

  /** A new object with one key here, and so pinned until it gets another. */
  add(box) {
    const colour = [...Array(COLOURS).keys()].find((each) => !this.objects.some((other) => other.colour === each)) ?? 0;
    const name = [1, 2, 3, 4, 5, 6, 7, 8, 9].map((n) => `object ${n}`)
      .find((each) => !this.objects.some((other) => other.name === each));
    const key = { at: this.at, box: tidy(box), kind: "hard" };
    this.objects.push({ name, colour, keys: [key], path: null, pin: false, enter: "", leave: "" });
    this.chosen = this.objects.length - 1;
    this.tell();
  }

  /** The chosen object's box here and now; a key is set for it, and its path goes along with it. */
  place(box) {
    const { object } = this;
    const { box: now } = boxAt(object, this.at);
    if (object.path) this.#carry(object, box, now);
    else setKey(object, this.at, tidy(box));
    this.tell();
  }

  #carry(object, box, now) {
    moveAll(object, (box[0] + box[2] - now[0] - now[2]) / 2, (box[1] + box[3] - now[1] - now[3]) / 2);
    const [w, h] = [box[2] - box[0], box[3] - box[1]];
    if (Math.abs(now[2] - now[0] - w) < 1e-6 && Math.abs(now[3] - now[1] - h) < 1e-6) return;
    for (const key of keyAt(object, this.at) ? [keyAt(object, this.at)] : object.keys) {
      const [x, y] = centre(key.box);
      key.box = tidy([x - w / 2, y - h / 2, x + w / 2, y + h / 2]);
    }
  }

  nudge(dx, dy) {
    if (this.object) this.change(() => this.place(moved(boxAt(this.object, this.at).box, dx, dy)));
  }

  grow(dx, dy) {
    if (!this.object) return;
    const [x0, y0, x1, y1] = boxAt(this.object, this.at).box;
    this.change(() => this.place([x0, y0, Math.max(x0, x1 + dx), Math.max(y0, y1 + dy)]));
  }

  /** Sets a key where there is none, takes it away where there is one beside others. Says which. */
  toggleKey() {
    const { object } = this;
    if (!object) return "";
    const key = keyAt(object, this.at);
    if (key && object.keys.length === 1) return "the only key of an object stays";
    if (!key && object.path) return "a path has two keys, one at either end";
    this.change(() => {
      if (key) object.keys = object.keys.filter((each) => each !== key);
      else setKey(object, this.at, boxAt(object, this.at).box);
      if (object.keys.length === 1) object.path = null;
      settle(object);
    });
    return key ? "key removed" : `key set at frame ${this.frame}`;
  }

  /** Whether the object is exactly or roughly here: of its key, or of both keys where it is on its path. */
  setKind(kind) {
    const { object } = this;
    this.change(() => {
      if (object.path && !keyAt(object, this.at)) for (const key of object.keys) key.kind = kind;
      else setKey(object, this.at, boxAt(object, this.at).box, kind);
    });
  }

  /** By which border the object comes ("enter") or goes ("leave"); the key in the way makes room for it in time. */
  setBorder(which, side) {
    const { object } = this;
    this.change(() => {
      const { keys } = object;
      const [key, next, end] = which === "enter" ? [keys[0], keys[1], 0] : [keys.at(-1), keys.at(-2), 1];
      if (side && key.at === end) key.at = this.#snap((key.at + (next?.at ?? 1 - end)) / 2);
      object[which] = side;
      settle(object);
    });
  }

  moveKey(object, key, at) {
    const to = this.#snap(clamp(at));
    if (object.keys.some((other) => other !== key && Math.abs(other.at - to) < 1e-6)) return;
    key.at = to;
    settle(object);
    this.seek(to);
  }

  drawPath(points) {
    if (this.object && points.length > 1) this.change(() => setPath(this.object, points));
  }

  drop(index = this.chosen) {
    if (!this.objects[index]) return;
    this.change(() => {
      this.objects.splice(index, 1);
      this.chosen = Math.max(0, Math.min(this.chosen, this.objects.length - 1));
    });
  }

  clear() {
    if (this.objects.length) this.change(() => Object.assign(this, { objects: [], chosen: 0 }));
  }
}
