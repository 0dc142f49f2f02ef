// @ts-check
/** The widget of the Face Editor: a face to pull at, and sliders, which write the text of the node's `edit`. */

import { amountOf, dragChanges, formatEdit, headChanges, HEAD_MODES, LARGEST_STRENGTH, parseEdit, withAmount, withChanges } from "./edit.js";
import { button, element, group } from "./elements.js";
import { LiveEditor } from "./live_editor.js";
import { tell } from "./texts.js";

const EYES = ["brows down", "inner brows", "outer brows", "squint", "lids"];
const KEY_STEP = 0.02; // of the picture, by an arrow key
const CLIPBOARD = "edtalk.edit";

/** @typedef {import("./edit.js").Control} Control */

export class FaceEditor extends LiveEditor {
  /** @param {import("./client.js").LiveClient} client @param {(text: string) => void} write */
  constructor(client, write) {
    super(client, write);
    /** @type {import("./edit.js").Edit} */
    this.edit = {};
    /** @type {Control[]} */
    this.controls = [];
    /** @type {import("./edit.js").Handle[]} */
    this.handles = [];
    /** @type {import("./edit.js").HeadMode} */
    this.mode = "Turn";
    this.comparing = false; // with the face at rest
    /** @type {[string, string, HTMLInputElement, HTMLOutputElement][]} */
    this.sliders = [];
    this.compareButton = button("A/B", tell("Compare"), () => this.setComparing(!this.comparing));
    this.toolbar = element("div", "edtalk-toolbar", { role: "toolbar", "aria-label": tell("Face editor") }, [
      this.undoButton,
      this.redoButton,
      this.compareButton,
      button(tell("Reset"), tell("Reset all"), () => this.change({})),
      button(tell("Copy"), tell("Copy"), () => this.copy()),
      button(tell("Paste"), tell("Paste"), () => this.paste()),
      button("★", tell("Save as preset"), () => this.askName()),
    ]);
    this.modes = element("div", "edtalk-modes", { role: "radiogroup", "aria-label": tell("What dragging the head does") });
    this.form = this.buildForm();
    this.panel = element("div", "edtalk-panel", { "data-capture-wheel": "true" });
    const left = element("div", "edtalk-left", {}, [this.picture.element, this.modes]);
    const right = element("div", "edtalk-right", {}, [this.toolbar, this.form, this.panel]);
    this.root = element("div", "edtalk-editor", { role: "group", "aria-label": tell("Face editor") }, [left, right]);
    this.root.addEventListener("keydown", (event) => this.onKey(event));
    this.listenToPicture();
    this.showHistory();
  }

  buildForm() {
    const name = /** @type {HTMLInputElement} */ (
      element("input", "edtalk-name", { type: "text", maxlength: "64", "aria-label": tell("Name of the preset"), placeholder: "smile" })
    );
    const form = element("form", "edtalk-form", {}, [
      name,
      element("button", "", { type: "submit" }, [tell("Save")]),
      button(tell("Cancel"), tell("Cancel"), () => (form.hidden = true)),
    ]);
    form.hidden = true;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      try {
        this.picture.say(tell("Saved as {}", await this.client.savePreset(this.text, name.value.trim())));
        form.hidden = true;
      } catch (refusal) {
        this.picture.say(/** @type {Error} */ (refusal).message);
      }
    });
    return form;
  }

  get text() {
    return this.valid ? formatEdit(this.edit) : this.history.text;
  }

  /** @param {string} text */
  take(text) {
    const edit = parseEdit(text);
    this.edit = edit ?? {};
    this.comparing = false;
    return edit !== null;
  }

  /** Shows what the node is about. @param {any} description as the service tells it */
  describe(description) {
    this.controls = description.controls;
    this.handles = description.handles;
    this.picture.setPoints(this.handles.map((handle) => tell(handle.name)));
    this.buildModes();
    this.buildSliders(description.presets);
    this.refresh();
  }

  buildModes() {
    const names = new Set(this.controls.filter(({ track }) => track === "pose").map(({ name }) => name));
    const modes = HEAD_MODES.filter(({ bases }) => bases.every((base) => names.has(base))).map(({ mode }) => mode);
    this.modes.replaceChildren(
      ...modes.map((mode) => {
        const choice = button(tell(mode), tell(mode), () => this.setMode(mode));
        choice.setAttribute("role", "radio");
        choice.dataset.mode = mode;
        return choice;
      }),
    );
    if (modes.length) this.setMode(modes[0]);
  }

  /** @param {import("./edit.js").HeadMode} mode */
  setMode(mode) {
    this.mode = mode;
    for (const choice of this.modes.children)
      choice.setAttribute("aria-checked", String(/** @type {HTMLElement} */ (choice).dataset.mode === mode));
  }

  /** @param {string[]} presets */
  buildSliders(presets) {
    this.sliders = [];
    /** @param {Control} control */
    const slider = ({ track, name, reach }) => this.slider(track, name, -reach, reach);
    const of = (/** @type {string} */ track) => this.controls.filter((control) => control.track === track);
    const eyes = of("expression").filter(({ name }) => EYES.includes(name));
    const others = of("expression").filter(({ name }) => !EYES.includes(name));
    const named = eyes.length > 0;
    const groups = [
      group(tell("Emotions"), presets.map((name) => this.slider("presets", name, 0, LARGEST_STRENGTH)), !named),
      group(tell("Brows and eyes"), eyes.map(slider), true),
      group(tell("Mouth"), [...of("lip"), ...(named ? others : [])].map(slider), true),
      group(tell("Expression"), (named ? [] : others).map(slider), true),
      group(tell("Head"), of("pose").map(slider), false),
    ];
    this.panel.replaceChildren(...groups.filter((one) => one !== null));
  }

  /** @param {string} part @param {string} name @param {number} low @param {number} high */
  slider(part, name, low, high) {
    const title = /^\d+$/.test(name) ? `${part} ${name}` : tell(name);
    const input = /** @type {HTMLInputElement} */ (
      element("input", "", { type: "range", min: String(low), max: String(high), step: "0.05", "aria-label": title })
    );
    input.dataset.base = `${part} ${name}`;
    const output = /** @type {HTMLOutputElement} */ (element("output", "", {}));
    input.addEventListener("input", (event) => this.preview(withAmount(this.edit, part, name, input.valueAsNumber), event.timeStamp));
    input.addEventListener("change", () => this.commit());
    const reset = () => this.change(withAmount(this.edit, part, name, 0));
    input.addEventListener("dblclick", reset);
    output.addEventListener("click", reset);
    output.title = tell("Reset");
    this.sliders.push([part, name, input, output]);
    return element("label", "edtalk-slider", {}, [element("span", "", { title }, [title]), input, output]);
  }

  listenToPicture() {
    const { canvas } = this.picture;
    /** @type {{handle: number, x: number, y: number} | null} */
    let drag = null;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || this.locked || !this.picture.hasFrame) return;
      canvas.setPointerCapture(event.pointerId);
      drag = { handle: this.picture.pointAt(event), ...this.picture.share(event) };
      this.picture.highlight(drag.handle);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!drag) {
        this.picture.highlight(this.picture.pointAt(event));
        return;
      }
      const { x, y } = this.picture.share(event);
      this.drag(drag.handle, x - drag.x, y - drag.y, event);
      Object.assign(drag, { x, y });
    });
    for (const end of ["pointerup", "pointercancel"])
      canvas.addEventListener(end, () => {
        if (drag) this.commit();
        drag = null;
      });
  }

  /**
   * Moves a point, or the head, by a share of the picture.
   * @param {number} index of the handle, -1 for the head @param {number} dx @param {number} dy
   * @param {PointerEvent | KeyboardEvent} event
   */
  drag(index, dx, dy, event) {
    const handle = this.handles[index];
    const changes =
      handle && handle.name !== "head"
        ? dragChanges(handle, this.controls, dx, dy)
        : headChanges(event.shiftKey ? "Move" : event.altKey ? "Tilt" : this.mode, this.handles, this.controls, dx, dy);
    this.preview(withChanges(this.edit, changes), event.timeStamp);
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    const command = event.ctrlKey || event.metaKey;
    const typing = /** @type {HTMLElement} */ (event.target).matches("input[type=text]");
    const arrow = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (typing) return event.stopPropagation();
    if (this.onHistoryKey(event)) event.preventDefault();
    else if (command && event.key === "c") this.copy();
    else if (command && event.key === "v") this.paste();
    else if (arrow && event.target === this.picture.canvas && !this.locked) {
      this.drag(-1, arrow[0] * KEY_STEP, arrow[1] * KEY_STEP, event);
      this.commit();
    } else {
      // The canvas would move nodes by arrow keys, and delete them.
      if (arrow || event.key === "Delete" || event.key === "Backspace") event.stopPropagation();
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  /** Shows an edit while it is being made. @param {import("./edit.js").Edit} edit @param {number} since */
  preview(edit, since) {
    if (this.locked) return;
    this.edit = edit;
    this.valid = true;
    this.comparing = false;
    this.write(this.text);
    this.showAmounts();
    this.client.request(this.text, 0, since);
  }

  /** @param {import("./edit.js").Edit} edit */
  change(edit) {
    this.preview(edit, performance.now());
    this.commit();
  }

  /** @param {boolean} comparing whether the face at rest is shown */
  setComparing(comparing) {
    this.comparing = comparing;
    this.refresh();
  }

  copy() {
    localStorage.setItem(CLIPBOARD, this.text);
    navigator.clipboard?.writeText(this.text).catch(() => {});
    this.picture.say(tell("Copied"));
  }

  paste() {
    const edit = parseEdit(localStorage.getItem(CLIPBOARD) ?? "{");
    if (edit) this.change(edit);
    else this.picture.say(tell("There is no edit to paste: copy one first."));
  }

  askName() {
    this.form.hidden = false;
    this.form.querySelector("input")?.focus();
  }

  /** Shows the state and asks for its picture. */
  refresh() {
    this.showAmounts();
    if (!this.valid) this.picture.say(tell("The text is no edit: correct it, or reset."));
    if (this.controls.length) this.client.request(this.comparing ? "" : this.text, 0, performance.now());
  }

  showAmounts() {
    for (const [part, name, input, output] of this.sliders) {
      const amount = amountOf(this.edit, part, name);
      if (Math.abs(input.valueAsNumber - amount) > 0.024) input.value = String(amount);
      output.value = amount ? amount.toFixed(2) : "0";
      input.parentElement?.classList.toggle("edtalk-changed", amount !== 0);
    }
    this.compareButton.setAttribute("aria-pressed", String(this.comparing));
  }
}
