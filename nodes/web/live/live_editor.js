// @ts-check
/** What all live editors have: a face that answers, a text that they write, steps that can be undone. */

import { History } from "./edit.js";
import { button } from "./elements.js";
import { Picture } from "./picture.js";
import { tell } from "./texts.js";

export class LiveEditor {
  /**
   * @param {import("./client.js").LiveClient} client
   * @param {(text: string) => void} write puts the text into the node
   */
  constructor(client, write) {
    this.client = client;
    this.write = write;
    this.history = new History("");
    this.locked = false;
    this.valid = true; // whether the node's text is one of this editor
    this.picture = new Picture(tell("Face"));
    this.undoButton = button("↶", tell("Undo"), () => this.restore(this.history.undo()));
    this.redoButton = button("↷", tell("Redo"), () => this.restore(this.history.redo()));
    /** @type {HTMLElement} */
    this.root = document.createElement("div");
    client.onFrame = (blob, handles, asked) => this.picture.paint(blob, handles, asked.since);
    client.onRefusal = (refusal) => this.refused(refusal);
  }

  /** The text of what is shown. @returns {string} */
  get text() {
    throw new Error("a subclass says");
  }

  /** Takes a text over; returns whether it is one. @param {string} text @returns {boolean} */
  take(text) {
    throw new Error("a subclass says");
  }

  /** Shows the state, and asks for its picture. */
  refresh() {}

  /** Takes a text that came from elsewhere: a loaded workflow, the text field, an undo of the whole graph. @param {string} text */
  read(text) {
    this.valid = this.take(text);
    this.history.push(text);
    this.showHistory();
    this.refresh();
  }

  /** @param {string} text of the history */
  restore(text) {
    if (this.locked) return;
    this.valid = this.take(text);
    this.write(text);
    this.showHistory();
    this.refresh();
  }

  /** Ends a change: one step of the history. */
  commit() {
    this.history.push(this.text);
    this.showHistory();
  }

  showHistory() {
    this.undoButton.disabled = this.locked || !this.history.canUndo;
    this.redoButton.disabled = this.locked || !this.history.canRedo;
  }

  /** Undoes and redoes by keyboard; returns whether the key was one for that. @param {KeyboardEvent} event */
  onHistoryKey(event) {
    if (!event.ctrlKey && !event.metaKey) return false;
    if (event.key === "z") this.restore(event.shiftKey ? this.history.redo() : this.history.undo());
    else if (event.key === "y") this.restore(this.history.redo());
    else return false;
    return true;
  }

  /** @param {boolean} locked whether the text comes over a wire */
  setLocked(locked) {
    if (locked === this.locked) return;
    this.locked = locked;
    for (const control of this.root.querySelectorAll("input, button, select"))
      /** @type {HTMLInputElement} */ (control).disabled = locked;
    this.showHistory();
    this.picture.say(locked ? tell("The text comes over a wire; unplug it to edit here.") : "");
  }

  /** @param {Error & {nothingYet?: boolean}} refusal */
  refused(refusal) {
    if (refusal.nothingYet) this.forget();
    else this.picture.say("busy" in refusal ? refusal.message : tell("The preview failed: the server's log says why."));
  }

  /** There is nothing to show: the node has not run here. @param {boolean} plugged whether it has a portrait */
  forget(plugged = true) {
    this.picture.hasFrame = false;
    this.picture.say(tell(plugged ? "Run once to see the face here." : "Plug in a portrait, and run once."));
  }

  /** The node is gone. */
  remove() {}
}
