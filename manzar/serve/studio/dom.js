// Small helpers over the DOM. Nothing here sets a style attribute: the page's content policy forbids it.

export const $ = (selector, root = document) => root.querySelector(selector);

const SVG = "http://www.w3.org/2000/svg";

/** An element: attributes by name, `on…` as listeners, null left out and, but for aria-…, false; children, or text. */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same in the name space of SVG. */
export function s(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined) continue;
    if (name.startsWith("aria-")) element.setAttribute(name, String(value));
    else if (value === false) continue;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child ?? false));
  return element;
}

export function icon(name) {
  return s("svg", { class: "icon", "aria-hidden": "true" }, s("use", { href: `#i-${name}` }));
}

/** A button that shows an icon and is called by its label. */
export function iconButton(name, label, onclick, attributes = {}) {
  return h("button", { type: "button", class: "square", "aria-label": label, title: label, onclick, ...attributes },
    icon(name));
}

/** Says a line to screen readers, politely. */
export function say(text) {
  const region = $("#spoken");
  if (region.textContent === text) region.textContent = "";
  region.textContent = text;
}

export const calm = matchMedia("(prefers-reduced-motion: reduce)");

/** Opens a dialog with this content; it closes by Escape, its button, or a press beside it. */
export function openDialog(dialog, title, ...content) {
  const close = iconButton("close", "Close", () => dialog.close(), { class: "square dialog-close" });
  dialog.replaceChildren(h("div", { class: "dialog-body" },
    h("header", { class: "dialog-head" }, h("h2", { id: `${dialog.id}-title`, dir: "auto" }, title), close), content));
  dialog.onclick = (event) => { if (event.target === dialog) dialog.close(); };
  if (!dialog.open) dialog.showModal();
}

export const clamp = (value, low = 0, high = 1) => Math.min(high, Math.max(low, value));

const SPACE = "\u00a0"; // where a line may not break

/** Seconds for people: 0.4 s, 12 s, 3 min 5 s. */
export function duration(seconds) {
  const whole = Math.round(seconds);
  if (whole >= 100) return `${Math.floor(whole / 60)}${SPACE}min ${whole % 60}${SPACE}s`;
  return `${seconds >= 9.95 ? whole : Number(seconds.toFixed(1))}${SPACE}s`;
}

export const sizeText = (size) => size.replace("x", `${SPACE}×${SPACE}`);

/** What a file is saved as. */
export function saveBlob(blob, name) {
  const url = URL.createObjectURL(blob);
  const link = h("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
