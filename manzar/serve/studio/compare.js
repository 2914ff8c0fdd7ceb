// Two videos side by side, on one playhead.

import { $, h, iconButton, openDialog } from "./dom.js";
import { controls, framed } from "./player.js";
import { notes, summary, words } from "./watch.js";

/** Opens the comparison of two finished videos. */
export async function openCompare(one, other) {
  const dialog = $("#compare");
  const sides = await Promise.all([framed(one), framed(other)]);
  const [first, second] = sides;
  const fps = Math.max(one.fps || 8, other.fps || 8);
  const player = controls(sides.map(({ element }) => element), fps, (at) => sides.forEach(({ draw }) => draw(at)));
  const swap = iconButton("both", "Swap sides", () => pair.prepend(pair.lastChild));
  const pair = h("div", { class: "sides" }, side(one, first), side(other, second));
  openDialog(dialog, "Compare", pair, h("div", { class: "compare-bar" }, player.bar, swap), differences(one, other));
  dialog.onclose = () => sides.forEach(({ element }) => element.pause());
  await Promise.all(sides.map(({ element }) => loaded(element)));
  player.start();
}

function side(video, { frame }) {
  return h("figure", {}, h("div", { class: "frame-hold" }, frame),
    h("figcaption", {}, words(video), h("p", { class: "soft" }, summary(video)), notes(video)));
}

const loaded = (element) => element.readyState >= 2 ? null
  : new Promise((resolve) => element.addEventListener("loadeddata", resolve, { once: true }));

/** In words, what was asked for differently. */
function differences(one, other) {
  const rows = [["Prompt", "prompt"], ["Seed", "seed"], ["Steps", "steps"], ["Size", "size"], ["Length", "seconds"],
    ["Model", "model"]];
  const unlike = rows.filter(([, key]) => String(one[key]) !== String(other[key])).map(([name]) => name.toLowerCase());
  return h("p", { class: "soft" },
    unlike.length ? `They differ in ${unlike.join(", ")}.` : "Both were asked for alike.");
}
