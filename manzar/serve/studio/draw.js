// Boxes as SVG: over the stage while they are drawn, over a video while it plays.

import { s } from "./dom.js";
import { boxAt, centre } from "./track.js";

export const HANDLES = [[0, 0], [0.5, 0], [1, 0], [1, 0.5], [1, 1], [0.5, 1], [0, 1], [0, 0.5]];
const HANDLE = 9; // pixels
const SEEN = 24; // places at which the way of an object is looked up

/** Every object's box at a time, in an <svg> of width × height pixels. */
export function drawBoxes(svg, objects, at, width, height, chosen = -1) {
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const scale = { width, height };
  const ways = objects.map((object, index) => (index === chosen ? way(object, scale) : null));
  svg.replaceChildren(...ways.filter(Boolean), ...objects.map((object, index) =>
    boxOf(object, at, scale, index === chosen)));
}

const pixels = ([x0, y0, x1, y1], { width, height }) =>
  ({ x: x0 * width, y: y0 * height, width: (x1 - x0) * width, height: (y1 - y0) * height });

function boxOf(object, at, scale, chosen) {
  const { box, kind } = boxAt(object, at);
  const place = pixels(box, scale);
  const label = s("text", { x: place.x + 5, y: place.y > 18 ? place.y - 6 : place.y + 15 }, object.name);
  return s("g", { class: `box ${kind} c${object.colour}${chosen ? " chosen" : ""}` },
    s("rect", { class: "halo", ...place }), s("rect", { class: "edge", ...place }), label,
    chosen ? HANDLES.map(([u, v]) => s("rect", {
      class: "handle", width: HANDLE, height: HANDLE, rx: 2,
      x: place.x + u * place.width - HANDLE / 2, y: place.y + v * place.height - HANDLE / 2,
    })) : null);
}

/** Where the chosen object comes from and goes to: its keys, and the line of its centre. */
function way(object, scale) {
  if (object.keys.length < 2 && !object.enter && !object.leave) return null;
  const points = [...Array(SEEN + 1).keys()].map((k) => centre(boxAt(object, k / SEEN).box))
    .map(([x, y]) => `${x * scale.width},${y * scale.height}`);
  return s("g", { class: `way c${object.colour}` },
    object.keys.map((key) => s("rect", { class: "ghost", ...pixels(key.box, scale) })),
    s("polyline", { points: points.join(" ") }));
}
