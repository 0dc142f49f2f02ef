// @ts-check
/** The widget of the Motion Timeline: keys on lanes below a waveform, which write the text of the node's `performance`. */

import { headChanges } from "./edit.js";
import { button, element } from "./elements.js";
import { LiveEditor } from "./live_editor.js";
import { EASINGS, emptyPerformance, formatPerformance, gesture, LANES, parsePerformance, peaks, secondsOf, snap, withKey, withKeys } from "./performance.js";
import { LoopedSound } from "./sound.js";
import { tell } from "./texts.js";

/** @typedef {import("./performance.js").Key} Key */
/** @typedef {import("./performance.js").Lane} Lane */

const TITLES = { emotions: "Emotions", head: "Head", blinks: "Blinks", mouth: "Mouth" };
const SNAP_PIXELS = 10;
const SHORTEST_SPAN = 0.5; // seconds that zooming in leaves to see
const LEAD = 0.4; // seconds before the first emotion, from which the face leaves its own
const WAVE_PARTS = 4000;
const HELP = "Double-click a lane to add a key; drag keys; click the sound to move the playhead.";

export class MotionTimeline extends LiveEditor {
  /** @param {import("./client.js").LiveClient} client @param {(text: string) => void} write */
  constructor(client, write) {
    super(client, write);
    this.performance = emptyPerformance();
    /** @type {Key[] | null} */
    this.wiredEmotions = null; // those that come over a wire instead of the text's
    /** @type {{lane: Lane, key: Key} | null} */
    this.selected = null;
    this.lane = /** @type {Lane} */ ("emotions");
    this.duration = 5;
    this.fps = 25;
    /** @type {[number, number, string][]} */
    this.words = [];
    /** @type {import("./edit.js").Control[]} */
    this.controls = [];
    /** @type {import("./edit.js").Handle[]} */
    this.handles = [];
    /** @type {string[]} */
    this.presets = [];
    this.view = { start: 0, span: 5 };
    this.time = 0; // of the playhead
    this.snapping = true;
    this.known = false; // whether the node has run
    this.sound = new LoopedSound();
    this.playing = 0; // id of the next animation frame
    /** @type {Float32Array | null} */
    this.wave = null;
    this.waveSeconds = 1;
    this.playButton = button("▶", tell("Play"), () => this.setPlaying(!this.playing));
    this.snapButton = button(tell("Snap"), tell("Snap to words and frames"), () => this.setSnapping(!this.snapping));
    this.clock = element("output", "edtalk-clock", { "aria-label": tell("Playhead") });
    const toolbar = element("div", "edtalk-toolbar", { role: "toolbar", "aria-label": tell("Motion timeline") }, [
      this.playButton,
      this.clock,
      this.undoButton,
      this.redoButton,
      this.snapButton,
      button("−", tell("Zoom out"), () => this.zoom(2, this.time)),
      button("+", tell("Zoom in"), () => this.zoom(0.5, this.time)),
      button(tell("Nod"), tell("Nod"), () => this.gesture("pitch")),
      button(tell("Shake"), tell("Shake"), () => this.gesture("yaw")),
    ]);
    this.inspector = element("div", "edtalk-inspector", {});
    this.waveform = /** @type {HTMLCanvasElement} */ (element("canvas", "edtalk-wave", { tabindex: "0", role: "slider", "aria-label": tell("Playhead") }));
    this.wordRow = element("div", "edtalk-words", {});
    this.cursor = element("div", "edtalk-cursor", {});
    /** @type {Record<string, HTMLElement>} */
    this.lanes = {};
    const rows = LANES.map((lane) => {
      const track = (this.lanes[lane] = element("div", "edtalk-lane", { "data-lane": lane }));
      track.addEventListener("dblclick", (event) => event.target === track && this.add(lane, this.timeAt(event)));
      track.addEventListener("click", (event) => event.target === track && this.select(null, lane));
      const add = button("+", `${tell("Add a key at the playhead")}: ${tell(TITLES[lane])}`, () => this.add(lane, this.time));
      return element("div", "edtalk-row", {}, [element("span", "edtalk-title", {}, [tell(TITLES[lane]), add]), track]);
    });
    this.tracks = element("div", "edtalk-tracks", { "data-capture-wheel": "true" }, [
      element("div", "edtalk-row", {}, [element("span", "edtalk-title", {}, []), element("div", "edtalk-sound", {}, [this.waveform, this.wordRow])]),
      ...rows,
      element("div", "edtalk-cursor-room", {}, [this.cursor]),
    ]);
    const top = element("div", "edtalk-top", {}, [
      this.picture.element,
      element("div", "edtalk-right", {}, [toolbar, this.inspector]),
    ]);
    this.root = element("div", "edtalk-timeline", { role: "group", "aria-label": tell("Motion timeline") }, [top, this.tracks]);
    this.root.addEventListener("keydown", (event) => this.onKey(event));
    this.tracks.addEventListener("wheel", (event) => this.onWheel(event));
    this.listenToSound();
    this.listenToPicture();
    new ResizeObserver(() => this.draw()).observe(this.tracks);
    this.showHistory();
    this.setSnapping(true);
    this.select(null, this.lane);
  }

  get text() {
    return this.valid ? formatPerformance(this.performance) : this.history.text;
  }

  /** The text of what is shown, with the emotions that come over a wire. */
  get shownText() {
    return this.wiredEmotions ? formatPerformance({ ...this.performance, emotions: this.wiredEmotions }) : this.text;
  }

  /** @param {string} text */
  take(text) {
    const performance = parsePerformance(text);
    this.performance = performance ?? emptyPerformance();
    this.selected = null;
    return performance !== null;
  }

  /** Takes over what another input says of the last run. @param {string} text that ran @param {Set<string>} linked inputs */
  ran(text, linked) {
    this.wiredEmotions = linked.has("emotions") ? (parsePerformance(text)?.emotions ?? []) : null;
    this.lanes.emotions.classList.toggle("edtalk-wired", this.wiredEmotions !== null);
  }

  /** Shows what the node is about. @param {any} description as the service tells it */
  describe(description) {
    const { duration, fps, words, controls, handles, presets } = description;
    if (!this.known || duration !== this.duration) this.view = { start: 0, span: duration };
    Object.assign(this, { duration, fps, words, controls, handles, presets, known: true });
    this.time = Math.min(this.time, duration);
    this.picture.setPoints([]);
    if (description.sound) void this.loadSound();
    else {
      this.wave = null;
      this.sound.load(null);
    }
    this.select(this.selected?.key ?? null, this.lane);
    this.refresh();
  }

  async loadSound() {
    const wav = await this.client.sound();
    this.wave = peaks(wav, WAVE_PARTS);
    this.waveSeconds = secondsOf(wav);
    this.sound.load(wav);
    this.draw();
  }

  // Time and pixels.

  get width() {
    return this.lanes.emotions.clientWidth || 1;
  }

  /** @param {number} time */
  place(time) {
    return (100 * (time - this.view.start)) / this.view.span;
  }

  /** The time under the pointer. @param {MouseEvent} event */
  timeAt(event) {
    const box = this.lanes.emotions.getBoundingClientRect();
    return Math.max(0, Math.min(this.duration, this.view.start + ((event.clientX - box.left) / box.width) * this.view.span));
  }

  /** @param {number} time */
  snapped(time) {
    if (!this.snapping) return Math.max(0, Math.round(time * 1000) / 1000);
    return Math.min(snap(time, this.fps, this.words, (SNAP_PIXELS / this.width) * this.view.span), this.duration);
  }

  /** @param {number} factor of the seconds that are seen @param {number} centre that stays where it is */
  zoom(factor, centre) {
    const span = Math.max(Math.min(SHORTEST_SPAN, this.duration), Math.min(this.duration, this.view.span * factor));
    const share = (centre - this.view.start) / this.view.span;
    this.scroll(centre - share * span, span);
  }

  /** @param {number} start @param {number} [span] */
  scroll(start, span = this.view.span) {
    this.view = { start: Math.max(0, Math.min(start, this.duration - span)), span };
    this.draw();
  }

  /** @param {WheelEvent} event */
  onWheel(event) {
    event.preventDefault();
    event.stopPropagation();
    const sideways = event.deltaX || (event.shiftKey ? event.deltaY : 0);
    if (sideways) this.scroll(this.view.start + (sideways / this.width) * this.view.span);
    else this.zoom(event.deltaY > 0 ? 1.25 : 0.8, this.timeAt(event));
  }

  /** @param {number} time @param {number} [since] */
  seek(time, since = performance.now()) {
    this.time = Math.max(0, Math.min(time, this.duration));
    if (this.playing) void this.sound.play(this.time, this.view.start, this.view.span);
    if (this.time < this.view.start || this.time > this.view.start + this.view.span) this.scroll(this.time - this.view.span / 2);
    this.showTime();
    this.ask(since);
  }

  /** @param {number} since */
  ask(since) {
    if (this.known) this.client.request(this.shownText, this.time, since);
  }

  /** @param {boolean} playing the visible part of the sound, in a loop, with the face under the playhead */
  setPlaying(playing) {
    cancelAnimationFrame(this.playing);
    this.playing = 0;
    this.playButton.textContent = playing ? "❚❚" : "▶";
    this.playButton.setAttribute("aria-pressed", String(playing));
    if (!playing) return this.sound.stop();
    void this.sound.play(this.time, this.view.start, this.view.span);
    const step = (/** @type {number} */ now) => {
      this.time = Math.min(this.sound.time, this.duration);
      this.showTime();
      this.ask(now);
      this.playing = requestAnimationFrame(step);
    };
    this.playing = requestAnimationFrame(step);
  }

  /** @param {boolean} snapping */
  setSnapping(snapping) {
    this.snapping = snapping;
    this.snapButton.setAttribute("aria-pressed", String(snapping));
  }

  // Keys.

  /** Shows a changed performance. @param {import("./performance.js").Performance} changed @param {number} since */
  preview(changed, since) {
    if (this.locked) return;
    this.performance = changed;
    this.valid = true;
    this.write(this.text);
    this.draw();
    this.ask(since);
  }

  /** @param {import("./performance.js").Performance} changed */
  change(changed) {
    this.preview(changed, performance.now());
    this.commit();
  }

  /** @param {Lane} lane @param {number} at in seconds */
  add(lane, at) {
    if (this.locked || (lane === "emotions" && this.wiredEmotions)) return;
    const time = this.snapped(at);
    const keys = this.performance[lane];
    const emotion = this.presets.includes("happy") ? "happy" : (this.presets[0] ?? "own");
    /** @type {Key} */
    const key = {
      emotions: { time, easing: "ease-in-out", emotion, strength: 1 },
      head: { time, easing: "ease-in-out", pose: {} },
      blinks: { time, easing: "linear" },
      mouth: { time, easing: "linear", gain: 1 },
    }[lane];
    const first = lane === "emotions" && time > 0 && !keys.some((one) => one.time < time);
    const before = { time: Math.max(0, Math.round((time - LEAD) * 1000) / 1000), easing: "linear", emotion: "own", strength: 1 };
    this.change(withKeys(this.performance, lane, [...keys, ...(first ? [before] : []), key]));
    this.select(key, lane);
    this.seek(time);
  }

  /** @param {string} base */
  gesture(base) {
    const control = this.controls.find(({ track, name }) => track === "pose" && name === base) ?? this.controls.find(({ track }) => track === "pose");
    if (this.locked || !control) return;
    const keys = gesture(this.snapped(this.time), control.name, 0.6 * control.reach);
    this.change(withKeys(this.performance, "head", [...this.performance.head, ...keys]));
  }

  /** @param {Key} key @param {number} [since] */
  replace(key, since = performance.now()) {
    if (!this.selected) return;
    const { lane, key: old } = this.selected;
    this.selected = { lane, key };
    this.preview(withKey(this.performance, lane, old, key), since);
  }

  removeSelected() {
    if (!this.selected || this.locked) return;
    const { lane, key } = this.selected;
    this.change(withKey(this.performance, lane, key, null));
    this.select(null, lane);
  }

  /** @param {Key | null} key @param {Lane} lane */
  select(key, lane) {
    this.lane = lane;
    this.selected = key && { lane, key };
    this.showInspector();
    this.draw();
  }

  showInspector() {
    if (!this.selected) {
      this.inspector.replaceChildren(element("p", "edtalk-help", {}, [tell(HELP)]));
      return;
    }
    const { lane, key } = this.selected;
    const current = () => /** @type {Key} */ (this.selected?.key);
    const fields = [
      this.number("Time", key.time, 0, this.duration, 1 / this.fps, (time) => this.replace({ ...current(), time })),
    ];
    if (lane === "emotions") {
      fields.push(this.choice("Emotion", ["own", ...this.presets], key.emotion ?? "own", (emotion) => this.replace({ ...current(), emotion })));
      fields.push(this.range("Strength", key.strength ?? 1, 0, 2, (strength, since) => this.replace({ ...current(), strength }, since)));
    }
    if (lane === "mouth") fields.push(this.range("Gain", key.gain ?? 1, 0, 2, (gain, since) => this.replace({ ...current(), gain }, since)));
    if (lane === "head")
      for (const { name, reach } of this.controls.filter(({ track }) => track === "pose"))
        fields.push(
          this.range(name, key.pose?.[name] ?? 0, -reach, reach, (amount, since) => {
            const { [name]: _, ...others } = current().pose ?? {};
            this.replace({ ...current(), pose: amount ? { ...others, [name]: amount } : others }, since);
          }),
        );
    if (lane !== "blinks") fields.push(this.choice("Easing", EASINGS, key.easing, (easing) => this.replace({ ...current(), easing })));
    this.inspector.replaceChildren(...fields, button("✕", tell("Delete the key"), () => this.removeSelected()));
  }

  /** @param {string} name @param {HTMLElement} field @param {Node[]} [more] */
  field(name, field, more = []) {
    const title = /^\d+$/.test(name) ? `pose ${name}` : tell(name);
    field.setAttribute("aria-label", title);
    field.addEventListener("change", () => this.commit());
    return element("label", "edtalk-slider", {}, [element("span", "", { title }, [title]), field, ...more]);
  }

  /** @param {string} name @param {number} value @param {number} low @param {number} high @param {number} step @param {(value: number) => void} set */
  number(name, value, low, high, step, set) {
    const input = /** @type {HTMLInputElement} */ (
      element("input", "", { type: "number", min: String(low), max: String(high), step: step.toFixed(3), value: value.toFixed(2) })
    );
    input.addEventListener("change", () => Number.isFinite(input.valueAsNumber) && set(Math.max(low, Math.min(high, input.valueAsNumber))));
    return this.field(name, input);
  }

  /** @param {string} name @param {number} value @param {number} low @param {number} high @param {(value: number, since: number) => void} set */
  range(name, value, low, high, set) {
    const input = /** @type {HTMLInputElement} */ (
      element("input", "", { type: "range", min: String(low), max: String(high), step: "0.05", value: String(value) })
    );
    const output = /** @type {HTMLOutputElement} */ (element("output", "", {}, [value.toFixed(2)]));
    input.addEventListener("input", (event) => {
      output.value = input.valueAsNumber.toFixed(2);
      set(Math.round(input.valueAsNumber * 100) / 100, event.timeStamp);
    });
    return this.field(name, input, [output]);
  }

  /** @param {string} name @param {string[]} options @param {string} value @param {(value: string) => void} set */
  choice(name, options, value, set) {
    const input = /** @type {HTMLSelectElement} */ (
      element("select", "", {}, options.map((option) => element("option", "", { value: option }, [tell(option)])))
    );
    input.value = value;
    input.addEventListener("change", () => set(input.value));
    return this.field(name, input);
  }

  // What is drawn.

  refresh() {
    if (!this.valid) this.picture.say(tell("The text is no performance: correct it."));
    this.showInspector();
    this.draw();
    this.ask(performance.now());
  }

  draw() {
    for (const lane of LANES) {
      const keys = lane === "emotions" && this.wiredEmotions ? this.wiredEmotions : this.performance[lane];
      // A key that is being dragged keeps its element, or it would lose the pointer.
      const old = new Map([...this.lanes[lane].children].map((child) => [/** @type {any} */ (child).edtalkKey, child]));
      const held = this.dragged && this.selected?.lane === lane ? this.dragged : null;
      const children = keys.map((key) => {
        const mark = held && key === this.selected?.key ? held : (old.get(key) ?? this.mark(lane));
        /** @type {any} */ (mark).edtalkKey = key;
        return this.showMark(/** @type {HTMLElement} */ (mark), lane, key);
      });
      const same = children.length === this.lanes[lane].children.length && children.every((child, index) => child === this.lanes[lane].children[index]);
      if (!same && !held) this.lanes[lane].replaceChildren(...children);
      else if (!same) children.forEach((child) => child !== held && this.lanes[lane].append(child));
    }
    this.wordRow.replaceChildren(
      ...this.words
        .filter(([start, end]) => end > this.view.start && start < this.view.start + this.view.span)
        .map(([start, end, text]) => {
          const word = element("span", "", { title: text }, [text]);
          word.style.left = `${this.place(start)}%`;
          word.style.width = `${(100 * (end - start)) / this.view.span}%`;
          return word;
        }),
    );
    this.drawWave();
    this.showTime();
  }

  /** A button for a key: draggable, and moved by arrow keys. @param {Lane} lane */
  mark(lane) {
    const mark = button("", "", () => {});
    mark.className = "edtalk-key";
    const keyOf = () => /** @type {Key} */ (/** @type {any} */ (mark).edtalkKey);
    const wired = () => this.locked || (lane === "emotions" && this.wiredEmotions !== null);
    mark.addEventListener("focus", () => this.select(keyOf(), lane));
    let offset = 0;
    mark.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || wired()) return;
      mark.setPointerCapture(event.pointerId);
      this.select(keyOf(), lane);
      this.dragged = mark;
      offset = keyOf().time - this.timeAt(event);
    });
    mark.addEventListener("pointermove", (event) => {
      if (this.dragged === mark) this.moveSelected(this.timeAt(event) + offset, event.timeStamp);
    });
    for (const end of ["pointerup", "pointercancel"])
      mark.addEventListener(end, () => {
        if (this.dragged !== mark) return;
        this.dragged = null;
        this.commit();
        this.showInspector();
        this.draw();
      });
    mark.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step || wired()) return;
      event.preventDefault();
      event.stopPropagation();
      this.select(keyOf(), lane);
      this.dragged = mark;
      this.moveSelected(keyOf().time + step / this.fps, event.timeStamp);
      this.dragged = null;
      this.commit();
    });
    return mark;
  }

  /** @param {number} time @param {number} since */
  moveSelected(time, since) {
    if (!this.selected) return;
    const { lane, key } = this.selected;
    const snapped = this.snapped(time);
    if (snapped === key.time || this.performance[lane].some((one) => one !== key && one.time === snapped)) return;
    this.time = snapped;
    this.replace({ ...key, time: snapped }, since);
  }

  /** @param {HTMLElement} mark @param {Lane} lane @param {Key} key */
  showMark(mark, lane, key) {
    const strength = key.emotion === "own" ? "" : ` ${key.strength}`;
    const label = { emotions: `${tell(key.emotion ?? "")}${strength}`, head: "", blinks: "", mouth: `×${key.gain}` }[lane];
    if (mark.textContent !== label) mark.textContent = label;
    mark.setAttribute("aria-label", tell("Key of {} at {} s", tell(TITLES[lane]), key.time.toFixed(2)) + (label && `: ${label}`));
    mark.title = `${key.time.toFixed(2)} s${label && `: ${label}`}`;
    mark.style.left = `${this.place(key.time)}%`;
    mark.hidden = key.time < this.view.start - 1e-6 || key.time > this.view.start + this.view.span + 1e-6;
    mark.classList.toggle("edtalk-active", this.selected?.key === key);
    return mark;
  }

  drawWave() {
    const { waveform: canvas, view } = this;
    const ratio = globalThis.devicePixelRatio || 1;
    const [width, height] = [Math.max(1, canvas.clientWidth * ratio), Math.max(1, canvas.clientHeight * ratio)];
    Object.assign(canvas, { width, height });
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    const style = getComputedStyle(canvas);
    context.fillStyle = style.getPropertyValue("--edtalk-wave") || "#5fb7a5";
    if (this.wave)
      for (let x = 0; x < width; x++) {
        const time = view.start + (x / width) * view.span;
        const peak = this.wave[Math.floor((time / this.waveSeconds) * this.wave.length)] ?? 0;
        context.fillRect(x, (height * (1 - peak)) / 2, 1, Math.max(1, height * peak));
      }
    context.fillStyle = style.color;
    context.font = `${10 * ratio}px system-ui, sans-serif`;
    const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300].find((one) => view.span / one <= 10) ?? 600;
    for (let time = Math.ceil(view.start / step) * step; time <= view.start + view.span; time += step) {
      const x = ((time - view.start) / view.span) * width;
      context.fillRect(x, height - 4 * ratio, ratio, 4 * ratio);
      context.fillText(step < 1 ? time.toFixed(1) : String(Math.round(time)), x + 3 * ratio, height - 2 * ratio);
    }
  }

  showTime() {
    this.clock.textContent = `${this.time.toFixed(2)} s`;
    this.waveform.setAttribute("aria-valuenow", this.time.toFixed(2));
    this.waveform.setAttribute("aria-valuemax", this.duration.toFixed(2));
    const place = this.place(this.time);
    this.cursor.style.left = `${place}%`;
    this.cursor.hidden = place < -0.01 || place > 100.01;
  }

  listenToSound() {
    let seeking = false;
    this.waveform.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      this.waveform.setPointerCapture(event.pointerId);
      seeking = true;
      this.seek(this.timeAt(event), event.timeStamp);
    });
    this.waveform.addEventListener("pointermove", (event) => seeking && this.seek(this.timeAt(event), event.timeStamp));
    for (const end of ["pointerup", "pointercancel"]) this.waveform.addEventListener(end, () => (seeking = false));
  }

  /** Dragging the face turns the head in the selected key, or in a new one at the playhead. */
  listenToPicture() {
    const { canvas } = this.picture;
    /** @type {{x: number, y: number} | null} */
    let last = null;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || this.locked || !this.picture.hasFrame) return;
      canvas.setPointerCapture(event.pointerId);
      if (this.selected?.lane !== "head") this.add("head", this.time);
      last = this.picture.share(event);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!last || !this.selected) return;
      const { x, y } = this.picture.share(event);
      const mode = event.shiftKey ? "Move" : event.altKey ? "Tilt" : "Turn";
      const { key } = this.selected;
      const pose = { ...key.pose };
      for (const [{ name, reach }, change] of headChanges(mode, this.handles, this.controls, x - last.x, y - last.y))
        pose[name] = Math.round(1000 * Math.max(-reach, Math.min(reach, (pose[name] ?? 0) + change))) / 1000;
      last = { x, y };
      this.time = key.time;
      this.replace({ ...key, pose }, event.timeStamp);
    });
    for (const end of ["pointerup", "pointercancel"])
      canvas.addEventListener(end, () => {
        if (last) this.commit();
        last = null;
        this.showInspector();
      });
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    const typing = /** @type {HTMLElement} */ (event.target).matches("input, select");
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (this.onHistoryKey(event)) event.preventDefault();
    else if (!typing && (event.key === "Delete" || event.key === "Backspace")) this.removeSelected();
    else if (!typing && event.key === " " && event.target === this.waveform) {
      event.preventDefault();
      this.setPlaying(!this.playing);
    } else if (step && event.target === this.waveform) this.seek(this.time + step / this.fps, event.timeStamp);
    else if (!typing && !event.key.startsWith("Arrow")) return;
    event.stopPropagation();
  }

  remove() {
    this.setPlaying(false);
    this.sound.close();
  }
}
