// The editor of boxes: draw, drag and resize on the picture, by pointer and by keyboard.

import { h, iconButton, s, say } from "./dom.js";
import { drawBoxes, HANDLES } from "./draw.js";
import { inspector } from "./inspector.js";
import { KINDS, timeline } from "./timeline.js";
import { boxAt, moved } from "./track.js";

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const CLICK = 0.015; // a press that moved less than this share of the picture draws no box
const FIRST_BOX = [0.35, 0.35, 0.65, 0.65]; // where a box drawn by key stands

export class Stage {
  #tool = "box";
  #drag = null;

  /** boxes: what is drawn. The pieces are put into `root`, the tools into `tools`. */
  constructor(root, tools, boxes) {
    this.boxes = boxes;
    this.svg = s("svg", { class: "boxes" });
    this.back = h("div", { class: "frame-back" });
    this.hint = h("p", { class: "frame-hint" });
    this.frame = h("div", {
      class: "frame draws", tabindex: 0, role: "application", "aria-roledescription": "box editor",
      "aria-label": "Picture to draw boxes on", "aria-describedby": "stage-help",
    }, this.back, this.svg, this.hint);
    this.help = h("p", { class: "soft help", id: "stage-help" },
      "Arrows move the chosen box, with Shift they resize it, with Alt by a pixel. ",
      h("kbd", {}, "N"), " new, ", h("kbd", {}, "K"), " key frame, ", h("kbd", {}, "Del"), " removes, ",
      h("kbd", {}, ","), " ", h("kbd", {}, "."), " step in time, ", h("kbd", {}, "["), " ", h("kbd", {}, "]"),
      " choose, ", h("kbd", {}, "Ctrl Z"), " undo.");
    root.append(h("div", { class: "direct" }, h("div", { class: "frame-hold" }, this.frame), inspector(boxes)),
      timeline(boxes), this.help);
    this.tools = this.#tools();
    tools.append(this.tools);
    this.#listen();
    new ResizeObserver(() => this.render()).observe(this.frame);
    boxes.addEventListener("change", () => this.render());
  }

  /** The picture's proportions, its size in pixels, and what lies behind it, if anything: an <img> or <video>. */
  setPicture(width, height, behind = null) {
    Object.assign(this, { width, height });
    this.frame.style.aspectRatio = `${width} / ${height}`;
    this.frame.style.setProperty("--wide", width / height);
    this.back.replaceChildren(...(behind ? [behind] : []));
    this.render();
  }

  #tools() {
    const { boxes } = this;
    this.boxTool = iconButton("box", "Draw boxes", () => this.#choose("box"));
    this.pathTool = iconButton("path", "Draw the path of the chosen box", () => this.#choose("path"));
    this.undo = iconButton("undo", "Undo", () => boxes.undo());
    this.redo = iconButton("redo", "Redo", () => boxes.redo());
    this.clear = iconButton("bin", "Remove all boxes", () => boxes.clear());
    return h("div", { class: "tools", role: "toolbar", "aria-label": "Drawing" },
      this.boxTool, this.pathTool, h("span", { class: "gap" }), this.undo, this.redo, this.clear);
  }

  #choose(tool) {
    this.#tool = tool;
    this.render();
  }

  render() {
    const { boxes } = this;
    const { width, height } = this.frame.getBoundingClientRect();
    if (width) drawBoxes(this.svg, boxes.objects, boxes.at, width, height, boxes.chosen);
    if (this.#drag?.trail) this.#drawTrail(width, height);
    if (!boxes.object) this.#tool = "box";
    const pathed = this.#tool === "path";
    this.boxTool.setAttribute("aria-pressed", !pathed);
    this.pathTool.setAttribute("aria-pressed", pathed);
    this.pathTool.disabled = !boxes.object;
    this.undo.disabled = !boxes.canUndo;
    this.redo.disabled = !boxes.canRedo;
    this.clear.disabled = !boxes.objects.length;
    this.hint.textContent = pathed ? "Draw the way it goes" : "Draw a box to say where something is";
    this.hint.hidden = pathed ? Boolean(boxes.object?.path) : boxes.objects.length > 0;
  }

  #drawTrail(width, height) {
    const points = this.#drag.trail.map(([x, y]) => `${x * width},${y * height}`).join(" ");
    this.svg.append(s("polyline", { class: `trail c${this.boxes.object.colour}`, points }));
  }

  #listen() {
    this.frame.addEventListener("pointerdown", (event) => this.#press(event));
    this.frame.addEventListener("pointermove", (event) => this.#move(event));
    this.frame.addEventListener("pointerup", (event) => this.#release(event));
    this.frame.addEventListener("pointercancel", () => this.#cancel());
    this.frame.addEventListener("keydown", (event) => this.#type(event));
  }

  #point(event) {
    const { left, top, width, height } = this.frame.getBoundingClientRect();
    return [(event.clientX - left) / width, (event.clientY - top) / height];
  }

  #press(event) {
    if (event.button !== 0 || this.#drag) return;
    const { boxes } = this;
    const from = this.#point(event);
    const reach = event.pointerType === "touch" ? 18 : 9;
    this.frame.setPointerCapture(event.pointerId);
    this.frame.focus({ preventScroll: true });
    if (this.#tool === "path") this.#drag = { from, trail: [from] };
    else if (this.#handleAt(from, reach)) this.#begin(from, this.#handleAt(from, reach));
    else if (this.#objectAt(from) >= 0) {
      boxes.choose(this.#objectAt(from));
      this.#begin(from, null);
    } else if (!boxes.full) this.#drag = { from, fresh: true };
    else say(`This model follows ${boxes.maximum} objects at most.`);
    event.preventDefault();
  }

  #begin(from, handle) {
    this.#drag = { from, handle, box: boxAt(this.boxes.object, this.boxes.at).box, touched: false };
  }

  #move(event) {
    const drag = this.#drag;
    const to = this.#point(event);
    if (!drag) return this.#point_out(to);
    if (drag.trail) {
      drag.trail.push(to);
      return this.render();
    }
    const [dx, dy] = [to[0] - drag.from[0], to[1] - drag.from[1]];
    if (!drag.touched && Math.hypot(dx, dy) < CLICK) return;
    if (!drag.touched) this.boxes.remember();
    if (drag.fresh && !drag.touched) this.boxes.add([...drag.from, ...to]);
    drag.touched = true;
    if (drag.fresh) this.boxes.place([...drag.from, ...to]);
    else this.boxes.place(drag.handle ? pulled(drag.box, drag.handle, dx, dy) : moved(drag.box, dx, dy));
  }

  #release() {
    const drag = this.#drag;
    this.#drag = null;
    if (drag?.trail) {
      this.boxes.drawPath(drag.trail);
      this.#choose("box");
      say("Path drawn.");
    }
    if (drag?.fresh && drag.touched) say(`${this.boxes.object.name} drawn at frame ${this.boxes.frame}.`);
  }

  #cancel() {
    if (this.#drag?.touched) this.boxes.undo();
    this.#drag = null;
    this.render();
  }

  #point_out(at) {
    const handle = this.#tool === "box" && this.#handleAt(at, 9);
    const over = handle ? `pull-${handle.join("-").replaceAll(".", "")}` : this.#objectAt(at) >= 0 ? "hold" : "";
    if (this.frame.dataset.over !== over) this.frame.dataset.over = over;
  }

  #handleAt([x, y], reach) {
    if (!this.boxes.object) return null;
    const { width, height } = this.frame.getBoundingClientRect();
    const [x0, y0, x1, y1] = boxAt(this.boxes.object, this.boxes.at).box;
    return HANDLES.find(([u, v]) =>
      Math.hypot((x0 + u * (x1 - x0) - x) * width, (y0 + v * (y1 - y0) - y) * height) < reach) ?? null;
  }

  /** The object under a point: the chosen one first, then the one drawn last. */
  #objectAt([x, y]) {
    const inside = (object) => {
      const [x0, y0, x1, y1] = boxAt(object, this.boxes.at).box;
      return x >= x0 && x <= x1 && y >= y0 && y <= y1;
    };
    const { objects, chosen } = this.boxes;
    return objects[chosen] && inside(objects[chosen]) ? chosen : objects.findLastIndex(inside);
  }

  #type(event) {
    const { boxes } = this;
    const done = this.#typed(event, boxes);
    if (done === false) return;
    event.preventDefault();
    const { object } = boxes;
    say(typeof done === "string" ? done : object ? described(object, boxes) : "No boxes.");
  }

  #typed(event, boxes) {
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (event.ctrlKey || event.metaKey) {
      if (key === "z") return event.shiftKey ? boxes.redo() : boxes.undo();
      return key === "y" ? boxes.redo() : false;
    }
    if (ARROWS[key]) {
      const [dx, dy] = ARROWS[key];
      const [across, down] = event.altKey ? [1 / this.width, 1 / this.height] : [0.02, 0.02];
      return boxes[event.shiftKey ? "grow" : "nudge"](dx * across, dy * down);
    }
    if (key === "k") return boxes.toggleKey();
    if (key === "n" && !boxes.full) return boxes.change(() => boxes.add(FIRST_BOX));
    if (key === "," || key === ".") return boxes.step(key === "," ? -1 : 1);
    if (key === "Home" || key === "End") return boxes.seek(key === "Home" ? 0 : 1);
    if (key === "Delete" || key === "Backspace") return this.#remove(boxes);
    if ((key === "[" || key === "]") && boxes.objects.length) {
      return boxes.choose((boxes.chosen + (key === "]" ? 1 : -1) + boxes.objects.length) % boxes.objects.length);
    }
    return false;
  }

  /** The key under the playhead, where it is one of several; else the object. */
  #remove(boxes) {
    if (!boxes.object) return "No boxes.";
    const { name, keys } = boxes.object;
    if (keys.length > 1 && boxAt(boxes.object, boxes.at).key) return boxes.toggleKey();
    boxes.drop();
    return `${name} removed.`;
  }
}

/** A box pulled at one of its handles; a handle in the middle of a side moves that side only. */
function pulled([x0, y0, x1, y1], [u, v], dx, dy) {
  return [u === 0 ? x0 + dx : x0, v === 0 ? y0 + dy : y0, u === 1 ? x1 + dx : x1, v === 1 ? y1 + dy : y1];
}

function described(object, boxes) {
  const { box, key } = boxAt(object, boxes.at);
  const [left, top, right, bottom] = box.map((each) => Math.round(100 * each));
  return `${object.name}, frame ${boxes.frame}${key ? `, ${KINDS[key.kind]} key` : ""}: left ${left}, top ${top}, ` +
    `right ${right}, bottom ${bottom} per cent.`;
}
