// Beside the picture: what is known of the chosen object.

import { h, icon, say } from "./dom.js";
import { boxAt } from "./track.js";

const BORDERS = ["left", "right", "top", "bottom"];

export function inspector(boxes) {
  const name = h("input", {
    type: "text", dir: "auto", maxlength: 60, title: "What it is, such as: red ball",
    onchange: () => rename(name.value.trim()),
  });
  const kinds = ["hard", "soft"].map((kind) => h("input", {
    type: "radio", name: "box-kind", value: kind, onchange: () => boxes.setKind(kind),
  }));
  const key = h("button", { type: "button", class: "line", onclick: () => say(boxes.toggleKey()) });
  const pin = h("input", { type: "checkbox", onchange: () => boxes.change(() => { boxes.object.pin = pin.checked; }) });
  const enter = border("enter");
  const leave = border("leave");
  const dropPath = h("button", {
    type: "button", class: "link", onclick: () => boxes.change(() => { boxes.object.path = null; }),
  }, "Straight instead of along its path");
  const remove = h("button", { type: "button", class: "link", onclick: () => boxes.drop() }, "Remove this box");
  const add = h("button", {
    type: "button", class: "line", onclick: () => boxes.change(() => boxes.add([0.35, 0.35, 0.65, 0.65])),
  }, icon("plus"), "Add a box");
  const list = h("div", { class: "chips", role: "group", "aria-label": "Boxes" });
  const about = h("div", { class: "about-box" },
    h("label", {}, "Name", name),
    h("fieldset", { class: "segments" }, h("legend", {}, "Here it is"),
      h("label", {}, kinds[0], h("span", {}, "exact")), h("label", {}, kinds[1], h("span", {}, "roughly"))),
    key,
    h("label", { class: "check" }, pin, h("span", {}, "Pin through the whole clip")),
    h("div", { class: "pair" }, h("label", {}, "Comes from", enter), h("label", {}, "Goes to", leave)),
    dropPath, remove);
  const error = h("p", { class: "error", role: "alert", id: "boxes-error", hidden: true });

  function border(which) {
    const select = h("select", { onchange: () => boxes.setBorder(which, select.value) },
      h("option", { value: "" }, "in view"), BORDERS.map((each) => h("option", { value: each }, each)));
    return select;
  }

  /** A name is the object's own: of two alike the second gets a number. */
  function rename(wanted) {
    const others = boxes.objects.filter((object) => object !== boxes.object).map((object) => object.name);
    let unlike = wanted || boxes.object.name;
    for (let n = 2; others.includes(unlike); n++) unlike = `${wanted} ${n}`;
    boxes.change(() => { boxes.object.name = unlike; });
  }

  function render() {
    const { object } = boxes;
    about.hidden = !object;
    add.disabled = boxes.full;
    list.replaceChildren(...boxes.objects.map((each, index) => h("button", {
      type: "button", class: `chip c${each.colour}`, dir: "auto", "aria-pressed": index === boxes.chosen,
      onclick: () => boxes.choose(index),
    }, h("i", { class: "swatch" }), each.name)));
    if (!object) return;
    const { kind, key: here } = boxAt(object, boxes.at);
    if (document.activeElement !== name) name.value = object.name;
    kinds[0].checked = kind === "hard";
    kinds[1].checked = kind === "soft";
    key.replaceChildren(icon("key"), here ? "Remove this key frame" : "Set a key frame here");
    key.disabled = here ? object.keys.length === 1 : Boolean(object.path);
    pin.checked = object.pin;
    pin.disabled = Boolean(object.keys.length > 1 || object.path || object.enter || object.leave);
    enter.value = object.enter;
    leave.value = object.leave;
    dropPath.hidden = !object.path;
  }

  boxes.addEventListener("change", render);
  boxes.addEventListener("change", () => { error.hidden = true; });
  render();
  return h("div", { class: "inspector", role: "group", "aria-label": "Chosen box" }, error, list, about, add);
}
