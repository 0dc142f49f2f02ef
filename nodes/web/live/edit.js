// @ts-check
/** Edits of a face: their text, their history, and what dragging a point changes. Knows nothing of the editor. */

const FORMAT = "edtalk-edit";
const VERSION = 1;
const TRACKS = ["expression", "pose", "lip"];
export const LARGEST_STRENGTH = 2; // of the slider of a preset
const HISTORY = 200;

/**
 * Amounts by the name of a base, or of a preset, for each part of the text: presets, expression, pose, lip.
 * @typedef {Record<string, Record<string, number>>} Edit
 */

/**
 * @typedef {object} Control
 * @property {string} track
 * @property {string} name
 * @property {number} reach the largest change in both directions
 * @property {number} strength
 */

/**
 * @typedef {object} Handle
 * @property {string} name
 * @property {number} x from 0 to 1
 * @property {number} y
 * @property {number[]} drags indices of the controls that dragging changes
 * @property {[number, number][]} effects how far it moves with a change of 1 of each control
 */

/** Reads an edit from its text; null if it is none. @param {string} text @returns {Edit | null} */
export function parseEdit(text) {
  if (!text.trim()) return {};
  let content;
  try {
    content = JSON.parse(text);
  } catch {
    return null;
  }
  if (content?.format !== FORMAT || content.format_version !== VERSION) return null;
  /** @type {Edit} */
  const edit = {};
  for (const part of ["presets", ...TRACKS]) {
    const amounts = content[part] ?? {};
    if (typeof amounts !== "object" || Object.values(amounts).some((amount) => !Number.isFinite(amount))) return null;
    if (Object.keys(amounts).length) edit[part] = { ...amounts };
  }
  return edit;
}

/** Writes an edit, empty if it changes nothing. @param {Edit} edit */
export function formatEdit(edit) {
  /** @type {Record<string, unknown>} */
  const content = { format: FORMAT, format_version: VERSION };
  let empty = true;
  for (const part of ["presets", ...TRACKS]) {
    const amounts = Object.entries(edit[part] ?? {}).filter(([, amount]) => amount);
    if (!amounts.length) continue;
    content[part] = Object.fromEntries(amounts);
    empty = false;
  }
  return empty ? "" : JSON.stringify(content);
}

/** @param {Edit} edit @param {string} part @param {string} name */
export const amountOf = (edit, part, name) => edit[part]?.[name] ?? 0;

/** Returns the edit with one amount replaced. @param {Edit} edit @param {string} part @param {string} name @param {number} amount */
export function withAmount(edit, part, name, amount) {
  const rounded = Math.round(amount * 1000) / 1000;
  const amounts = { ...edit[part], [name]: rounded };
  if (!rounded) delete amounts[name];
  return { ...edit, [part]: amounts };
}

/** Returns the edit with changes added to controls, within their reach. @param {Edit} edit @param {[Control, number][]} changes */
export function withChanges(edit, changes) {
  for (const [{ track, name, reach }, change] of changes) {
    const amount = amountOf(edit, track, name) + change;
    edit = withAmount(edit, track, name, Math.max(-reach, Math.min(reach, amount)));
  }
  return edit;
}

/**
 * Finds the changes of some controls that move a point by (dx, dy), of all those the least, mostly of the controls that
 * move it most: the weighted minimum-norm solution of two equations.
 * @param {Handle} handle @param {Control[]} controls @param {number} dx @param {number} dy
 * @param {number[]} [drags] indices of the controls that may change
 * @returns {[Control, number][]}
 */
export function dragChanges(handle, controls, dx, dy, drags = handle.drags) {
  const lengths = drags.map((index) => Math.hypot(...handle.effects[index]));
  const longest = Math.max(...lengths);
  if (!longest) return [];
  const weights = lengths.map((length) => (length / longest) ** 4);
  let [xx, xy, yy] = [0, 0, 0];
  drags.forEach((index, row) => {
    const [x, y] = handle.effects[index];
    xx += weights[row] * x * x;
    xy += weights[row] * x * y;
    yy += weights[row] * y * y;
  });
  const ridge = 0.05 * (xx + yy); // a direction in which nothing moves the point asks for no huge changes
  xx += ridge;
  yy += ridge;
  const determinant = xx * yy - xy * xy;
  const [u, v] = [(yy * dx - xy * dy) / determinant, (xx * dy - xy * dx) / determinant];
  return drags.map((index, row) => {
    const [x, y] = handle.effects[index];
    return [controls[index], weights[row] * (x * u + y * v)];
  });
}

/** @typedef {"Turn" | "Move" | "Tilt"} HeadMode */

/** What dragging the head does: which bases of the pose it changes, across and down. @type {{mode: HeadMode, bases: string[]}[]} */
export const HEAD_MODES = [
  { mode: "Turn", bases: ["yaw", "pitch"] },
  { mode: "Move", bases: ["x", "y"] },
  { mode: "Tilt", bases: ["roll", "size"] },
];
const TURN_GAIN = 2; // reaches of a slider that dragging over the whole picture turns the head by

/**
 * Finds the changes of the pose by which the head follows a drag. Where the bases have no names, the head's point follows.
 * @param {HeadMode} mode @param {Handle[]} handles @param {Control[]} controls @param {number} dx @param {number} dy
 * @returns {[Control, number][]}
 */
export function headChanges(mode, handles, controls, dx, dy) {
  const head = handles.find(({ name }) => name === "head");
  const bases = HEAD_MODES.find((one) => one.mode === mode)?.bases ?? [];
  const [across, down] = bases.map((base) => controls.findIndex(({ track, name }) => track === "pose" && name === base));
  if (across < 0 || down < 0) return head ? dragChanges(head, controls, dx, dy) : [];
  if (mode === "Move" && head) return dragChanges(head, controls, dx, dy, [across, down]);
  // A turn moves the face by less than the hand wants to: so far for the whole picture, the way that the face moves.
  const sign = (/** @type {number} */ control, /** @type {number} */ axis) => Math.sign(head?.effects[control][axis] || 1);
  const signs = mode === "Turn" ? [sign(across, 0), sign(down, 1)] : [1, -1];
  return [
    [controls[across], signs[0] * TURN_GAIN * controls[across].reach * dx],
    [controls[down], signs[1] * TURN_GAIN * controls[down].reach * dy],
  ];
}

/** Texts that can be gone back to. */
export class History {
  /** @param {string} text */
  constructor(text) {
    this.texts = [text];
    this.place = 0;
  }

  get text() {
    return this.texts[this.place];
  }

  get canUndo() {
    return this.place > 0;
  }

  get canRedo() {
    return this.place < this.texts.length - 1;
  }

  /** Adds a step, unless nothing changed. @param {string} text */
  push(text) {
    if (text === this.text) return;
    this.texts.splice(this.place + 1, Infinity, text);
    this.texts.splice(0, this.texts.length - HISTORY);
    this.place = this.texts.length - 1;
  }

  undo() {
    if (this.canUndo) this.place -= 1;
    return this.text;
  }

  redo() {
    if (this.canRedo) this.place += 1;
    return this.text;
  }
}
