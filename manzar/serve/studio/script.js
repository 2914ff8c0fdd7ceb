// boxes.json: what has been drawn as the server reads it, and back; and which video was made from which.

import { clamp } from "./dom.js";

const KEPT = "manzar.boxes";
const MOST_KEPT = 200;

const rounded = (values) => values.map((value) => Number(clamp(value).toFixed(4)));

/** What boxes.json holds of the objects. */
export function toScript(objects) {
  return {
    objects: objects.map(({ name, keys, path, pin, enter, leave }) => ({
      name,
      keys: keys.map(({ at, box, kind }) => ({ at: Number(at.toFixed(6)), box: rounded(box), kind })),
      ...(path && { path: path.map(rounded) }),
      ...(pin && { pin: true }),
      ...(enter && { enter }),
      ...(leave && { leave }),
    })),
  };
}

/** The objects of a boxes.json, whatever its keys count time in. */
export function fromScript(script, frames, fps) {
  const share = (key) => clamp(key.at ?? (key.frame ?? key.time * fps) / Math.max(1, frames - 1));
  return (script?.objects ?? []).map((object, index) => ({
    name: object.name ?? `object ${index + 1}`,
    colour: index % 8,
    keys: object.keys.map((key) => ({ at: share(key), box: key.box, kind: key.kind ?? "hard" }))
      .sort((one, other) => one.at - other.at),
    path: object.path ?? null,
    pin: Boolean(object.pin),
    enter: object.enter ?? "",
    leave: object.leave ?? "",
  }));
}

const kept = () => {
  try {
    return JSON.parse(localStorage.getItem(KEPT) ?? "{}");
  } catch {
    return {}; // what another version of this page left is no reason to fail
  }
};

/** Remembers in this browser what a video was made from, for the latest few. */
export function keepScript(id, script) {
  const entries = [...Object.entries(kept()), [id, script]].slice(-MOST_KEPT);
  try {
    localStorage.setItem(KEPT, JSON.stringify(Object.fromEntries(entries)));
  } catch {
    // A full or forbidden storage costs the overlay of an old video, nothing else.
  }
}

/** The boxes.json of a video: as the server tells it, else as this browser remembers; null where there is none. */
export const scriptOf = (video) => video.boxes ?? kept()[video.id] ?? null;
