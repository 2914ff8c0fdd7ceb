// Errors of the API, shown at the field that they name.

import { $, h } from "./dom.js";

// Where a parameter of the API stands on the page, if not in the field of its own name.
const PLACES = {
  image: "input_reference", file: "input_reference", width: "size", height: "size", loop: "direction",
  "first[id]": "first", "last[id]": "last", "video[id]": "video", box_guidance: "box_guidance",
};

export class Faults {
  /** form: holds elements with data-field; general: a line for what belongs to no field. */
  constructor(form, general) {
    Object.assign(this, { form, general });
    form.addEventListener("input", (event) => this.#clearField(event.target.closest("[data-field]")));
  }

  clear() {
    this.general.hidden = true;
    for (const field of this.form.querySelectorAll("[data-field].wrong")) this.#clearField(field);
    $("#boxes-error").hidden = true;
  }

  /** Shows a message at the field of a parameter and takes the reader there. */
  show(message, param = null) {
    const name = PLACES[param] ?? param?.split(/[.[]/)[0] ?? "";
    const field = name && this.form.querySelector(`[data-field="${CSS.escape(name)}"]:not([hidden])`);
    if (!field) {
      this.general.textContent = message;
      this.general.hidden = false;
      return;
    }
    field.closest("details")?.setAttribute("open", "");
    field.classList.add("wrong");
    const id = `error-${name}`;
    field.append(h("p", { class: "error", id, role: "alert" }, message));
    const input = field.querySelector("textarea, input:not(.hidden), select, button");
    input.setAttribute("aria-invalid", "true");
    input.setAttribute("aria-describedby", id);
    input.focus();
    if (name === "boxes") Object.assign($("#boxes-error"), { textContent: message, hidden: false });
  }

  #clearField(field) {
    if (!field?.classList.contains("wrong")) return;
    field.classList.remove("wrong");
    for (const error of field.querySelectorAll(":scope > .error")) error.remove();
    const input = field.querySelector("[aria-invalid]");
    input?.removeAttribute("aria-invalid");
    input?.removeAttribute("aria-describedby");
  }
}
