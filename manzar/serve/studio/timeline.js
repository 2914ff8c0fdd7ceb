// Time below the picture: a playhead, and for every object a line with its keys.

import { calm, clamp, h, icon, iconButton } from "./dom.js";

export const KINDS = { hard: "exact", soft: "rough" }; // what boxes.json calls hard and soft

export function timeline(boxes) {
  const range = h("input", {
    type: "range", class: "scrub", min: 0, step: 1, "aria-label": "Time",
    oninput: () => boxes.seek(range.value / range.max),
  });
  const clock = h("output", { class: "clock" });
  const play = iconButton("play", "Play the boxes", () => (playing ? stop() : start()));
  const rows = h("div", { class: "rows" });
  let playing = 0;
  let drag = null;

  function start() {
    const began = performance.now() - 1000 * (boxes.frame >= boxes.frames - 1 ? 0 : boxes.frame / boxes.fps);
    const tick = (now) => {
      const frame = Math.floor((Math.max(0, now - began) / 1000) * boxes.fps);
      if (frame >= boxes.frames || !play.isConnected) return stop();
      if (frame !== boxes.frame) boxes.seek(frame / (boxes.frames - 1));
      playing = requestAnimationFrame(tick);
    };
    playing = requestAnimationFrame(tick);
    play.replaceChildren(icon("pause"));
  }

  function stop() {
    cancelAnimationFrame(playing);
    playing = 0;
    play.replaceChildren(icon("play"));
  }

  function render() {
    range.max = boxes.frames - 1;
    range.value = boxes.frame;
    const seconds = (boxes.frame / boxes.fps).toFixed(2);
    range.setAttribute("aria-valuetext", `${seconds} seconds, frame ${boxes.frame}`);
    clock.textContent = `${seconds} s`;
    rows.style.setProperty("--at", boxes.at);
    if (!drag) rows.replaceChildren(...boxes.objects.map(row));
  }

  function row(object, index) {
    const chosen = index === boxes.chosen;
    const [first, last] = [object.keys[0].at, object.keys[object.keys.length - 1].at];
    const span = h("span", { class: "span" });
    span.style.left = `${100 * (object.enter || object.pin ? 0 : first)}%`;
    span.style.right = `${100 * (object.leave || object.pin ? 0 : 1 - last)}%`;
    const name = h("button", {
      type: "button", class: "row-name", dir: "auto", "aria-pressed": chosen, onclick: () => boxes.choose(index),
    }, h("i", { class: "swatch" }), h("span", {}, object.name));
    return h("div", { class: `row c${object.colour}${chosen ? " chosen" : ""}` }, name,
      h("div", { class: "track" }, span, object.keys.map((key) => dot(object, key, index))));
  }

  function dot(object, key, index) {
    const element = h("button", {
      type: "button", class: `dot ${key.kind}`,
      "aria-label": `${object.name}, ${KINDS[key.kind]} key at ${(key.at * (boxes.frames - 1) / boxes.fps).toFixed(2)} s`,
      onclick: () => { boxes.chosen = index; boxes.seek(key.at); },
      onkeydown: (event) => type(event, object, key),
      onpointerdown: (event) => {
        element.setPointerCapture(event.pointerId);
        drag = { object, key, element, moved: false, from: event.clientX };
      },
      onpointermove: (event) => drag?.element === element && slide(event),
      onpointerup: () => { drag = null; render(); },
    });
    element.style.left = `${100 * key.at}%`;
    return element;
  }

  function slide(event) {
    if (!drag.moved && Math.abs(event.clientX - drag.from) < 4) return;
    if (!drag.moved) boxes.remember();
    drag.moved = true;
    const { left, width } = drag.element.parentElement.getBoundingClientRect();
    boxes.moveKey(drag.object, drag.key, clamp((event.clientX - left) / width));
    drag.element.style.left = `${100 * drag.key.at}%`;
  }

  /** Arrows move a key in time; focus stays with it though its row is drawn anew. */
  function type(event, object, key) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step && event.key !== "Delete") return;
    event.preventDefault();
    const index = boxes.objects.indexOf(object);
    boxes.chosen = index;
    if (step) boxes.change(() => boxes.moveKey(object, key, key.at + step / (boxes.frames - 1)));
    else {
      boxes.at = key.at;
      boxes.toggleKey();
    }
    rows.children[index]?.querySelectorAll(".dot")[object.keys.indexOf(key)]?.focus();
  }

  boxes.addEventListener("change", render);
  calm.addEventListener("change", stop);
  render();
  const lead = h("div", { class: "lead" }, play, clock);
  return h("div", { class: "timeline" }, h("div", { class: "transport" }, lead, range), rows);
}
