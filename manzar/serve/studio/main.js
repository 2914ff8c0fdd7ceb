// The page: brings its parts together.

import * as api from "./api.js";
import { Boxes } from "./boxes.js";
import { openCompare } from "./compare.js";
import { Compose } from "./compose.js";
import { $, h, openDialog } from "./dom.js";
import { Gallery } from "./gallery.js";
import { Mask } from "./mask.js";
import { keepScript } from "./script.js";
import { Stage } from "./stage.js";
import { TASKS } from "./tasks.js";
import { openViewer } from "./viewer.js";
import { bring, Watch } from "./watch.js";

const boxes = new Boxes();
const stage = new Stage($("#draw-boxes"), $("#stage-tools"), boxes);
const mask = new Mask($("#draw-mask"), $("#stage-tools"), ({ empty }) => {
  $("#mask-state").textContent = empty ? "everything may change" : "only what is painted";
});
const gallery = new Gallery({ open, watch, compare: openCompare, onKey: askKey });
const watching = new Watch($("#watch"), {
  open,
  onChange: (video) => gallery.put(video),
  onEnd: (video) => (video ? gallery.put(video) : gallery.drop(watching.video?.id)),
});
const compose = new Compose({ boxes, mask, recent: gallery.recent, onTask, onShape, onInput, onJob, onKey: askKey });

/** The stage shows what is drawn ("draw") or what is made ("watch"). */
function look(what) {
  const { draws } = TASKS[compose.task];
  const drawing = what === "draw" && draws !== null;
  $("#draw-boxes").hidden = !(drawing && draws === "boxes");
  $("#draw-mask").hidden = !(drawing && draws === "mask");
  $("#watch").hidden = drawing;
  stage.tools.hidden = $("#draw-boxes").hidden;
  mask.tools.hidden = $("#draw-mask").hidden;
  $("#stage .stage-head").hidden = draws === null;
  $("#show-draw").textContent = draws === "mask" ? "Mask" : "Boxes";
  $("#show-draw").setAttribute("aria-pressed", drawing);
  $("#show-watch").setAttribute("aria-pressed", !drawing);
}

function onTask(task) {
  look(TASKS[task].draws ? "draw" : "watch");
  const [slot] = compose.slots;
  if (slot) onInput(task, slot);
  else if (TASKS[task].draws === "boxes" && compose.model) onShape(...compose.size.split("x").map(Number));
}

async function onShape(width, height) {
  const [slot] = compose.slots;
  stage.setPicture(width, height, compose.task === "animate" ? await slot.picture() : null);
}

/** What is put into an input lies behind what is drawn. */
async function onInput(task, slot) {
  const picture = await slot.picture();
  if (task === "edit") {
    mask.setClip(picture);
    picture?.play().catch(() => {});
  }
  if (task !== "animate") return;
  const [width, height] = compose.size.split("x").map(Number);
  if (!picture) return stage.setPicture(width, height);
  await picture.decode().catch(() => {});
  const own = $("#size").selectedIndex === 0 && picture.naturalWidth; // the video takes the picture's proportions
  stage.setPicture(own ? picture.naturalWidth : width, own ? picture.naturalHeight : height, picture);
}

function onJob(video, script) {
  if (script) keepScript(video.id, script);
  gallery.put(video);
  watch(video);
}

function watch(video) {
  look("watch");
  bring("#stage");
  watching.follow(video);
}

function open(video) {
  openViewer(video, {
    use: (task, used, input, seconds) => {
      compose.use(task, used, input, seconds);
      bring("#compose");
    },
    pick: (id) => {
      gallery.pick(id);
      bring("#gallery-title");
    },
    onJob,
    onGone: (id) => gallery.drop(id),
  });
}

/** Asks for the API key; only a server that wants one leads here. */
function askKey(message = "") {
  const input = h("input", { type: "password", id: "key-input", autocomplete: "off", spellcheck: "false" });
  input.value = api.getKey();
  const dialog = $("#asking");
  const keep = async (event) => {
    event.preventDefault();
    api.setKey(input.value.trim());
    dialog.close();
    await start();
  };
  openDialog(dialog, "API key", h("form", { onsubmit: keep }, message ? h("p", { class: "error" }, message) : null,
    h("label", { for: "key-input" }, "Key"), input,
    h("p", { class: "soft" }, "It is kept until this tab is closed, and sent to this server alone."),
    h("button", { class: "primary" }, "Use it")));
  input.focus();
}

function showPages(pages) {
  const kinds = { run: "Training runs", report: "Score reports", other: "Other pages" };
  openDialog($("#asking"), "Runs and reports", Object.entries(kinds).map(([kind, title]) => {
    const some = pages.filter((page) => page.kind === kind);
    return some.length ? h("section", { class: "group" }, h("h3", {}, title), h("ul", { class: "pages" },
      some.map(({ name, url }) => h("li", {}, h("a", { href: url, target: "_blank", rel: "noopener" }, name))))) : null;
  }));
}

async function start() {
  const about = await api.about();
  $("#key").hidden = !about.auth;
  if (about.auth && !api.getKey()) return askKey();
  try {
    const models = await api.models();
    const select = $("#model");
    select.replaceChildren(...models.map(({ id }) => h("option", { value: id }, id)));
    select.value = about.defaults.model;
    select.onchange = () => compose.setModel(models.find(({ id }) => id === select.value), about.limits);
    select.closest("label").hidden = models.length < 2;
    select.onchange();
    await gallery.reload();
    const pages = await api.pages();
    $("#reports").hidden = !pages.length;
    $("#reports").onclick = () => showPages(pages);
  } catch (error) {
    if (error.status === 401) return askKey(error.message);
    throw error;
  }
}

$("#key").addEventListener("click", () => askKey());
$("#show-draw").addEventListener("click", () => look("draw"));
$("#show-watch").addEventListener("click", () => look("watch"));
for (const id of ["#open-boxes", "#open-mask"]) {
  $(id).addEventListener("click", () => {
    look("draw");
    bring("#stage");
    $("#stage .stage-body:not([hidden]) .frame").focus();
  });
}
start().catch((error) => compose.faults.show(error.message));
