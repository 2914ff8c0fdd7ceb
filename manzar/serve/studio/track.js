// Where a box is at a time: the arithmetic of one object. Boxes are [x0, y0, x1, y1] in [0, 1]; times are `at`, the
// share of the clip from 0 to 1. An object is {name, colour, keys: [{at, box, kind}], path, pin, enter, leave}.

import { clamp } from "./dom.js";

export const LEAST = 0.02; // the smallest side of a box that can be drawn
const SAME = 1e-6;

export const lerp = (from, to, share) => from.map((value, index) => value + (to[index] - value) * share);
export const centre = ([x0, y0, x1, y1]) => [(x0 + x1) / 2, (y0 + y1) / 2];

/** The box moved so that its centre is at a point, as far as the picture lets it. */
export function centred([x0, y0, x1, y1], [x, y]) {
  return moved([x0, y0, x1, y1], x - (x0 + x1) / 2, y - (y0 + y1) / 2);
}

export function moved([x0, y0, x1, y1], dx, dy) {
  dx = clamp(dx, -x0, 1 - x1);
  dy = clamp(dy, -y0, 1 - y1);
  return [x0 + dx, y0 + dy, x1 + dx, y1 + dy];
}

/** The box with its corners sorted, inside the picture and no smaller than can be held. */
export function tidy([x0, y0, x1, y1]) {
  const [left, right] = side(Math.min(x0, x1), Math.max(x0, x1));
  const [top, bottom] = side(Math.min(y0, y1), Math.max(y0, y1));
  return [left, top, right, bottom];
}

function side(low, high) {
  low = clamp(low, 0, 1 - LEAST);
  return [low, clamp(high, low + LEAST, 1)];
}

/** The box pushed just out of the picture by a border: where it comes from or goes to. */
function outside([x0, y0, x1, y1], border) {
  const [w, h] = [x1 - x0, y1 - y0];
  return { left: [-w, y0, 0, y1], right: [1, y0, 1 + w, y1], top: [x0, -h, x1, 0], bottom: [x0, 1, x1, 1 + h] }[border];
}

/** Where the object is; its kind is hard only at keys of that kind, and everywhere if it is pinned. */
export function boxAt(object, at) {
  const { keys } = object;
  const first = keys[0];
  const last = keys[keys.length - 1];
  const key = keyAt(object, at);
  if (key) return { box: key.box, kind: key.kind, key };
  const held = (box) => ({ box, kind: object.pin ? "hard" : "soft", key: null });
  if (at < first.at) {
    return held(object.enter ? lerp(outside(first.box, object.enter), first.box, at / first.at) : first.box);
  }
  if (at > last.at) {
    const gone = (at - last.at) / (1 - last.at);
    return held(object.leave ? lerp(last.box, outside(last.box, object.leave), gone) : last.box);
  }
  const next = keys.findIndex((each) => each.at > at);
  const [from, to] = [keys[next - 1], keys[next]];
  const box = lerp(from.box, to.box, (at - from.at) / (to.at - from.at));
  return held(object.path ? centred(box, along(object.path, (at - first.at) / (last.at - first.at))) : box);
}

export const keyAt = (object, at) => object.keys.find((key) => Math.abs(key.at - at) < SAME) ?? null;

/** Sets the key at a time, replacing one that is there. */
export function setKey(object, at, box, kind) {
  const key = keyAt(object, at);
  if (key) Object.assign(key, { box, kind: kind ?? key.kind });
  else object.keys.push({ at, box, kind: kind ?? "hard" });
  settle(object);
}

/** Keys in order; what contradicts them goes: a pin among several, an entrance where there is no time for one. */
export function settle(object) {
  const { keys } = object;
  keys.sort((one, other) => one.at - other.at);
  if (keys[0].at < SAME) object.enter = "";
  if (keys[keys.length - 1].at > 1 - SAME) object.leave = "";
  if (keys.length > 1 || object.path || object.enter || object.leave) object.pin = false;
}

/** The point at a share of a path's length. */
export function along(path, share) {
  const lengths = path.slice(1).map(([x, y], index) => Math.hypot(x - path[index][0], y - path[index][1]));
  let left = share * lengths.reduce((sum, each) => sum + each, 0);
  for (const [index, length] of lengths.entries()) {
    if (left <= length && length > 0) return lerp(path[index], path[index + 1], left / length);
    left -= length;
  }
  return path[path.length - 1];
}

/** Lets an object slide along a path from its first key to its last; the keys between go, the two move to its ends. */
export function setPath(object, points) {
  const [half_w, half_h] = halves(object);
  const inside = points.map(([x, y]) => [clamp(x, half_w, 1 - half_w), clamp(y, half_h, 1 - half_h)]);
  if (object.keys.length === 1) {
    const [{ box }] = object.keys;
    object.keys = [0, 1].map((at) => ({ at, box, kind: "hard" }));
  }
  object.keys = [object.keys[0], object.keys[object.keys.length - 1]];
  object.path = simplified(inside, 0.006);
  object.keys.forEach((key, end) => { key.box = centred(key.box, object.path[end ? object.path.length - 1 : 0]); });
  settle(object);
}

/** Half the width and height of the largest of an object's boxes: its centre keeps so far from the border. */
function halves(object) {
  const largest = (low, high) => Math.max(...object.keys.map(({ box }) => box[high] - box[low])) / 2;
  return [largest(0, 2), largest(1, 3)];
}

/** Moves an object with its path, all of it, as far as the picture lets it. */
export function moveAll(object, dx, dy) {
  const boxes = object.keys.map((key) => key.box);
  const [half_w, half_h] = halves(object);
  const xs = [...boxes.flatMap((box) => [box[0], box[2]]), ...object.path.flatMap(([x]) => [x - half_w, x + half_w])];
  const ys = [...boxes.flatMap((box) => [box[1], box[3]]), ...object.path.flatMap(([, y]) => [y - half_h, y + half_h])];
  dx = clamp(dx, -Math.min(...xs), 1 - Math.max(...xs));
  dy = clamp(dy, -Math.min(...ys), 1 - Math.max(...ys));
  for (const key of object.keys) key.box = moved(key.box, dx, dy);
  object.path = object.path.map(([x, y]) => [x + dx, y + dy]);
}

/** The fewest points of a line that stay within a distance of all (Douglas and Peucker, 1973). */
function simplified(points, distance) {
  if (points.length < 3) return points;
  const [start, end] = [points[0], points[points.length - 1]];
  const length = Math.hypot(end[0] - start[0], end[1] - start[1]) || 1e-9;
  const away = ([x, y]) =>
    Math.abs((end[0] - start[0]) * (start[1] - y) - (start[0] - x) * (end[1] - start[1])) / length;
  let far = 1;
  for (let index = 1; index < points.length - 1; index++) if (away(points[index]) > away(points[far])) far = index;
  if (away(points[far]) <= distance) return [start, end];
  return [...simplified(points.slice(0, far + 1), distance).slice(0, -1), ...simplified(points.slice(far), distance)];
}
