"use strict";
const PAGE = 48, HUES = ["#ff5a3c", "#3cc8ff", "#ffdc3c", "#78ff78", "#e078ff", "#ff9ec4", "#ffffff", "#b0a0ff"];
const byId = (id) => document.getElementById(id);
const index = JSON.parse(byId("index").textContent);
const make = (tag, attributes = {}, ...children) => {
  const node = tag === "svg" || tag === "rect" ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
};
const embedded = (id, kind) => byId(id) ? `data:${kind};base64,${byId(id).textContent}` : "";
const short = (value) => Number(value.toPrecision(3)).toString();
const measured = (row) => Object.entries(row.measures).map(([name, value]) => `${name} ${short(value)}`);
// One spelling for what people type differently: case, accents, vowel marks, Arabic and Persian letter forms.
const fold = (text) => text.normalize("NFKD").toLowerCase()
  .replace(/[\u0300-\u036f\u0640\u064b-\u065f\u0670\u200b-\u200f]/g, "")
  .replace(/[يى]/g, "ی").replace(/ك/g, "ک").replace(/[هة]/g, "ہ");
for (const [n, clip] of index.clips.entries()) {
  clip.n = n;
  clip.text = fold([...Object.values(clip.captions), ...clip.tracks, clip.source, clip.licence, clip.id].join("\n"));
}
for (const [n, row] of index.away.entries()) {
  row.n = n;
  row.text = fold([row.path, row.reason, row.detail].join("\n"));
}

// What is asked for lives in the address: one source of truth, and a view that can be kept.
const asked = new URLSearchParams();
function readAddress() {
  for (const name of [...asked.keys()]) asked.delete(name);
  for (const [name, value] of new URLSearchParams(location.hash.slice(1))) asked.set(name, value);
}
function ask(name, value) {
  if (value) asked.set(name, value); else asked.delete(name);
  history.replaceState(null, "", "#" + asked);
  show();
}
const words = () => fold(asked.get("q") || "").split(/\s+/).filter(Boolean);
const bounds = () => [...asked].filter(([name]) => name.startsWith("m.")).map(([name, value]) => {
  const [low, high] = value.split("..").map((side) => side === "" || side === undefined ? NaN : Number(side));
  return { name: name.slice(2), low, high };
});

function chosen() {
  const all = words(), ranges = bounds(), lang = asked.get("lang"), split = asked.get("split");
  const clips = index.clips.filter((clip) => all.every((word) => clip.text.includes(word))
    && (!split || clip.split === split)
    && (!lang || (lang === "none" ? !Object.keys(clip.captions).length : lang in clip.captions))
    && ranges.every(({ name, low, high }) => name in clip.measures
      && !(clip.measures[name] < low) && !(clip.measures[name] > high)));
  const sort = asked.get("sort") || "", key = sort.replace(/^-/, ""), sign = sort.startsWith("-") ? -1 : 1;
  const value = (clip) => key === "seconds" || key === "source" ? clip[key] : clip.measures[key];
  const rank = (a, b) => a === undefined ? 1 : b === undefined ? -1 : a === b ? 0 : (a < b ? -sign : sign);
  return key ? clips.sort((a, b) => rank(value(a), value(b)) || a.n - b.n) : clips;
}

function boxAt(boxes, at) {
  const a = boxes[Math.floor(at)], b = boxes[Math.floor(at) + 1], part = at % 1;
  return a && b ? a.map((side, k) => side + part * (b[k] - side)) : a;
}
// The boxes of one moment, in a picture whose corner lies at (x, y) of a grid of `tiles` across.
function draw(svg, clip, seconds, x, y, tiles) {
  clip.boxes ??= JSON.parse(byId("t" + clip.n).textContent);
  clip.boxes.tracks.forEach((boxes, k) => {
    const box = boxAt(boxes, Math.max(0, seconds * clip.fps / clip.boxes.step));
    if (box) svg.append(make("rect", { stroke: HUES[k % HUES.length],
      x: (x + box[0] / 1000) / tiles, y: (y + box[1] / 1000) / tiles,
      width: (box[2] - box[0]) / 1000 / tiles, height: (box[3] - box[1]) / 1000 / tiles }));
  });
}
function drawPoster(svg, clip) {
  svg.replaceChildren();
  const across = clip.tiles.length > 1 ? 2 : 1;
  clip.tiles.forEach((seconds, k) => draw(svg, clip, seconds, k % across, Math.floor(k / across), across));
}

function stageOf(clip) {
  const [w, h] = clip.area, words = Object.values(clip.captions)[0] || "no caption";
  const stage = make("button",
    { type: "button", class: "stage", style: `--w:${w};--h:${h}`, "aria-label": `play: ${words}` },
    make("img", { src: embedded("p" + clip.n, "image/jpeg"), alt: "" }));
  const svg = make("svg", { viewBox: "0 0 1 1", preserveAspectRatio: "none" });
  if (clip.tracks.length) drawPoster(svg, clip);
  const carried = embedded("v" + clip.n, clip.kind), still = clip.kind.startsWith("image/");
  let film = null;
  const stop = () => {
    stage.classList.remove("on");
    if (film && !still) film.pause();
    if (clip.tracks.length) drawPoster(svg, clip);
  };
  const fail = () => {
    stop();
    stage.querySelector("u").textContent = carried ? "cannot be played here" : "not in this page";
  };
  const follow = () => {
    if (!stage.classList.contains("on")) return;
    svg.replaceChildren();
    draw(svg, clip, film.currentTime, 0, 0, 1);
    requestAnimationFrame(follow);
  };
  const play = () => {
    if (!film) {
      film = still ? make("img", { class: "film", alt: "" })
        : make("video", { class: "film", loop: "", playsinline: "", preload: "auto" });
      film.muted = true;
      film.addEventListener("error", fail);
      film.src = carried || clip.file;
      svg.before(film);
    }
    stage.classList.add("on");
    if (!still) film.play().catch((error) => { if (error.name !== "AbortError") fail(); });
    if (!still && clip.tracks.length) follow();
  };
  stage.append(svg);
  if (clip.kind && (carried || clip.file)) {
    stage.append(make("u", {}, "play"));
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    stage.addEventListener("pointerenter", (event) => { if (event.pointerType === "mouse" && !calm) play(); });
    stage.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") stop(); });
    stage.addEventListener("click", (event) => {  // a mouse has it playing by pointing already; touch and Enter toggle
      if (event.pointerType === "mouse" && !calm) return;
      if (stage.classList.contains("on")) stop(); else play();
    });
  }
  return stage;
}
function card(clip) {
  const article = make("article", { id: "clip-" + clip.id });
  article.append(clip.note ? make("p", { class: "bad", dir: "auto" }, clip.note) : stageOf(clip));
  const first = asked.get("lang"), captions = Object.entries(clip.captions);
  captions.sort((a, b) => (b[0] === first) - (a[0] === first));
  for (const [language, text] of captions) article.append(make("p", { class: "caption", dir: "auto", lang: language },
    make("bdi", { class: "tag" }, language), text));
  if (!captions.length) article.append(make("p", { class: "none" }, "no caption: this clip trains unconditionally"));
  if (clip.tracks.length) article.append(make("p", { class: "names" },
    ...clip.tracks.map((name, k) => make("i", { dir: "auto", style: `--hue:${HUES[k % HUES.length]}` }, name))));
  const facts = [`${short(clip.seconds)} s`, `${clip.width}×${clip.height}`, `${short(clip.fps)} fps`];
  article.append(make("p", { class: "facts" }, make("span", { class: "chip " + clip.split }, clip.split), " ",
    [...facts, ...measured(clip), ...(clip.licence ? [clip.licence] : [])].join(" · ")));
  const piece = `${clip.start.toFixed(2)}–${clip.end.toFixed(2)} s of `;
  article.append(make("p", { class: "source" }, piece,
    make("bdi", { title: clip.source }, clip.source.split(/[\\/]/).pop() || clip.source)));
  return article;
}
function refusal(row) {
  const article = make("article"), picture = embedded("r" + row.n, "image/jpeg");
  if (picture) article.append(make("img", { class: "shot", src: picture, alt: row.reason, loading: "lazy" }));
  article.append(make("p", { dir: "auto" }, row.detail));
  if (measured(row).length) article.append(make("p", { class: "facts" }, measured(row).join(" · ")));
  article.append(make("p", { class: "source" }, `${row.start.toFixed(2)} s into `, make("bdi", {}, row.path)));
  return article;
}

let waiting = [];
const sentinel = new IntersectionObserver((seen) => { if (seen.some((entry) => entry.isIntersecting)) more(); },
  { rootMargin: "800px" });
function more() {
  byId("cards").append(...waiting.splice(0, PAGE).map(card));
  byId("more").hidden = !waiting.length;
  sentinel.disconnect();  // asked again, it reports at once where there is still room on the screen
  if (waiting.length) sentinel.observe(byId("more"));
}
function showClips() {
  waiting = chosen();
  byId("count").textContent = waiting.length === index.clips.length ? `${waiting.length} clips`
    : `${waiting.length} of ${index.clips.length} clips`;
  const none = make("p", { class: "empty" }, "No clip answers to all of this.");
  byId("cards").replaceChildren(...(waiting.length ? [] : [none]));
  more();
}
function showMeasures() {
  byId("count").textContent = `${byId("measures").children.length} measures`;
  for (const img of document.querySelectorAll("img[data-picture]:not([src])")) {
    const source = embedded(img.dataset.picture, "image/jpeg");
    if (source) img.src = source;
  }
}
function showAway() {
  const all = words(), groups = new Map(), reason = asked.get("reason") || "";
  const reasons = new Map();
  for (const row of index.away) reasons.set(row.reason, (reasons.get(row.reason) || 0) + 1);
  const select = options("reason",
    [["", "every reason"], ...[...reasons].map(([name, n]) => [name, `${name} (${n})`])]);
  const rows = index.away.filter((row) => (!reason || row.reason === reason)
    && all.every((word) => row.text.includes(word)));
  for (const row of rows) groups.set(row.reason, [...(groups.get(row.reason) || []), row]);
  byId("count").textContent = `${rows.length} of ${index.away.length} turned away`;
  const largest = [...groups].sort((a, b) => b[1].length - a[1].length);
  byId("away").replaceChildren(select, ...largest.flatMap(([name, found]) => {
    const grid = make("div", { class: "group" }), next = make("button", { type: "button" });
    const grow = () => {
      grid.append(...found.splice(0, PAGE).map(refusal));
      next.textContent = `${found.length} more`;
      next.hidden = !found.length;
    };
    const heading = make("h2", { class: "reason" }, name + " ", make("span", {}, String(found.length)));
    next.addEventListener("click", grow);
    grow();
    return [heading, grid, next];
  }), ...(rows.length ? [] : [make("p", { class: "empty" }, "Nothing that was turned away answers to all of this.")]));
}

function options(name, pairs) {
  const select = byId(name) || make("select", { id: name, "aria-label": name });
  select.replaceChildren(...pairs.map(([value, text]) => make("option", { value }, text)));
  select.value = asked.get(name) || "";
  select.onchange = () => ask(name, select.value);
  return select;
}
function facet(figure) {
  const { measure, low, high } = figure.dataset, span = high - low;
  const [from, to] = ["least", "most"].map((word) => make("input", { type: "range", min: 0, max: 1000,
    "aria-label": `${word} ${measure}` }));
  const said = make("output"), value = (input) => Number(low) + span * input.value / 1000;
  const ends = () => [from.value > 0 ? short(value(from)) : "", to.value < 1000 ? short(value(to)) : ""];
  const change = () => ask("m." + measure, ends().some(Boolean) ? ends().join("..") : "");
  for (const input of [from, to]) input.addEventListener("input", change);
  const sync = () => {
    const [least = "", most = ""] = (asked.get("m." + measure) || "").split("..");
    const [isLeast, isMost] = ends();  // a slider that says the same already is left where the hand has put it
    if (isLeast !== least) from.value = least === "" ? 0 : (least - low) / span * 1000;
    if (isMost !== most) to.value = most === "" ? 1000 : (most - low) / span * 1000;
    said.textContent = least || most ? `${least || "…"} to ${most || "…"}` : "";
  };
  byId("facets").append(make("div", { class: "facet" }, make("p", {}, make("b", {}, measure), said),
    figure.querySelector("svg").cloneNode(true), make("div", { class: "range" }, from, to)));
  return sync;
}

const figures = [...document.querySelectorAll("figure[data-measure]")];
const names = figures.map((figure) => figure.dataset.measure);
const facets = figures.map(facet);
const count = (test) => index.clips.filter(test).length;
const languages = [...new Set(index.clips.flatMap((clip) => Object.keys(clip.captions)))].sort();
const ways = [["seconds", "length"], ...names.map((name) => [name, name])];
options("sort", [["", "as in the data set"], ["source", "source"],
  ...ways.flatMap(([key, name]) => [["-" + key, name + ", most first"], [key, name + ", least first"]])]);
options("lang", [["", "every language"],
  ...languages.map((name) => [name, `${name} (${count((clip) => name in clip.captions)})`]),
  ["none", `no caption (${count((clip) => !Object.keys(clip.captions).length)})`]]);
options("split", [["", "both"], ["train", `train (${count((clip) => clip.split === "train")})`],
  ["val", `held out (${count((clip) => clip.split === "val")})`]]);
byId("boxes").closest("label").hidden = !index.clips.some((clip) => clip.tracks.length);
const VIEWS = { clips: showClips, measures: showMeasures, away: showAway };
const tabs = [...document.querySelectorAll("[data-view]")];
byId("q").addEventListener("input", (event) => ask("q", event.target.value));
byId("boxes").addEventListener("change", (event) => ask("boxes", event.target.checked ? "" : "off"));
byId("more").addEventListener("click", more);
byId("reset").addEventListener("click", () => { location.hash = ""; });
addEventListener("hashchange", () => { readAddress(); show(); });
addEventListener("keydown", (event) => {
  if (event.key !== "/" || /INPUT|SELECT/.test(document.activeElement.tagName)) return;
  event.preventDefault();
  byId("q").focus();
});
tabs[1].hidden = !figures.length;
tabs[2].hidden = !index.away.length;
for (const tab of tabs) tab.addEventListener("click", () => {
  ask("view", tab.dataset.view === "clips" ? "" : tab.dataset.view);
  scrollTo(0, 0);
});
if (innerWidth <= 760) byId("panel").open = false;

function show() {
  const view = asked.get("view") in VIEWS ? asked.get("view") : "clips";
  for (const tab of tabs) tab.setAttribute("aria-pressed", tab.dataset.view === view);
  for (const name of Object.keys(VIEWS)) byId(name).hidden = name !== view;
  if (byId("q").value !== (asked.get("q") || "")) byId("q").value = asked.get("q") || "";
  for (const name of ["sort", "lang", "split"]) byId(name).value = asked.get(name) || "";
  byId("boxes").checked = asked.get("boxes") !== "off";
  document.body.classList.toggle("plain", asked.get("boxes") === "off");
  for (const sync of facets) sync();
  VIEWS[view]();
}
readAddress();
show();
