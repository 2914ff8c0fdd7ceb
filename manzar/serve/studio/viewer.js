// One video in full: play it, know how it was made, take it, or go on from it.

import * as api from "./api.js";
import { $, duration, h, icon, openDialog, saveBlob, sizeText } from "./dom.js";
import { languageOf } from "./languages.js";
import { controls, framed } from "./player.js";
import { scriptOf } from "./script.js";
import { notes, words } from "./watch.js";

const KINDS = { create: "Created", remix: "Remixed", edit: "Edited", extension: "Extended", connection: "Connected" };

/** use(task, video, input, seconds) sends it to the form, pick(id) to a comparison; onJob(video), onGone(id). */
export async function openViewer(video, { use, pick, onJob, onGone }) {
  const dialog = $("#viewer");
  if (video.status === "failed") return openFailed(dialog, video, onGone);
  const { element, frame, draw } = await framed(video);
  const player = controls([element], video.fps || 8, draw);
  const send = (task, input = 0, seconds = null) => {
    dialog.close();
    use(task, video, input, seconds);
  };
  const action = (label, onclick) => h("button", { type: "button", class: "line", onclick }, label);
  openDialog(dialog, KINDS[video.kind] ?? "Video", h("div", { class: "viewer-grid" },
    h("div", { class: "viewer-film" }, h("div", { class: "frame-hold" }, frame), player.bar),
    h("div", { class: "telling" }, words(video), notes(video), facts(video),
      group("Go on from it",
        action("Extend", () => send("extend")), action("Edit", () => send("edit")),
        action("Connect as first", () => send("connect", 0)), action("Connect as last", () => send("connect", 1)),
        action("Animate this frame", () => send("animate", 0, element.currentTime)),
        action("Compare with…", () => { dialog.close(); pick(video.id); })),
      remix(video, dialog, onJob),
      group("Download", ...downloads(video)),
      removal(video, dialog, onGone))));
  dialog.onclose = () => element.pause();
  new ResizeObserver(player.show).observe(frame);
  element.addEventListener("loadeddata", () => player.start(), { once: true });
}

function openFailed(dialog, video, onGone) {
  openDialog(dialog, "It failed", h("div", { class: "telling" }, words(video),
    h("p", { class: "error" }, video.error?.message ?? "No reason is known."), notes(video), facts(video),
    removal(video, dialog, onGone)));
}

function group(title, ...content) {
  return h("section", { class: "group" }, h("h3", {}, title), h("div", { class: "lines" }, content));
}

function facts(video) {
  const made = video.generated_size && video.generated_size !== video.size
    ? `${sizeText(video.size)}, made at ${sizeText(video.generated_size)}` : sizeText(video.size);
  const rows = {
    Length: duration(Number(video.seconds)),
    Frames: video.frames ? `${video.frames} at ${video.fps} per second` : null,
    Size: made,
    Cost: video.cost_seconds ? `${duration(video.cost_seconds)} of computing` : null,
    Seed: video.seed, Steps: video.steps, Model: video.model,
    Made: new Date(1000 * video.created_at).toLocaleString(),
    "Kept until": video.expires_at ? new Date(1000 * video.expires_at).toLocaleString() : null,
  };
  return h("dl", { class: "facts" }, Object.entries(rows).filter(([, value]) => value !== null && value !== undefined)
    .map(([name, value]) => [h("dt", {}, name), h("dd", {}, String(value))]));
}

/** The same video by another prompt. */
function remix(video, dialog, onJob) {
  const lang = languageOf(video.prompt ?? "");
  const prompt = h("textarea", { rows: 2, dir: "auto", lang, "aria-label": "Prompt of the remix" });
  prompt.value = video.prompt ?? "";
  prompt.oninput = () => { prompt.lang = languageOf(prompt.value); };
  const error = h("p", { class: "error", role: "alert", hidden: true });
  const send = async (event) => {
    event.preventDefault();
    try {
      onJob(await api.submit(`/v1/videos/${video.id}/remix`, { prompt: prompt.value.trim() }), null);
      dialog.close();
    } catch (fault) {
      Object.assign(error, { textContent: fault.message, hidden: false });
    }
  };
  return h("form", { class: "group", onsubmit: send }, h("h3", {}, "Remix"), prompt, error,
    h("button", { class: "line" }, "Remix with this prompt"));
}

function downloads(video) {
  const script = scriptOf(video);
  const short = video.id.slice(0, 14);
  const file = (label, get, name) => h("button", {
    type: "button", class: "line", onclick: async ({ currentTarget: button }) => {
      button.disabled = true;
      try {
        saveBlob(await get(), name);
      } finally {
        button.disabled = false;
      }
    },
  }, icon("save"), label);
  return [
    file("Video", () => api.content(video.id, "video"), `${short}.mp4`),
    file("Thumbnail", () => api.content(video.id, "thumbnail"), `${short}.webp`),
    file("Spritesheet", () => api.content(video.id, "spritesheet"), `${short}.jpg`),
    script && file("boxes.json", () => new Blob([JSON.stringify(script, null, 1)]), "boxes.json"),
  ];
}

/** Deleting asks once more, in place. */
function removal(video, dialog, onGone) {
  const button = h("button", { type: "button", class: "link danger" }, "Delete this video");
  button.onclick = () => {
    button.textContent = "Really delete it?";
    button.onclick = async () => {
      await api.remove(video.id).catch((error) => { if (error.status !== 404) throw error; });
      dialog.close();
      onGone(video.id);
    };
  };
  return button;
}
