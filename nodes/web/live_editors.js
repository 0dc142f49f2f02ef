// @ts-check
/** Puts the live editors into their nodes: all that depends on ComfyUI's front end is here. */

// @ts-ignore
import { api } from "../../scripts/api.js";
// @ts-ignore
import { app } from "../../scripts/app.js";
import { findNode } from "./find_node.js";
import { LiveClient } from "./live/client.js";
import { FaceEditor } from "./live/face_editor.js";
import { MotionTimeline } from "./live/motion_timeline.js";
import { setLanguage } from "./live/texts.js";

/** The widget of a node, the input that is its truth, its least height and the node's size at first. */
const EDITORS = {
  EDTalkFaceEditor: { Editor: FaceEditor, text: "edit", height: 360, size: [620, 500] },
  EDTalkMotionTimeline: { Editor: MotionTimeline, text: "performance", height: 400, size: [820, 720] },
};
const WIDGET = "edtalk_editor";
const UI_KEY = "edtalk_live"; // nodes/live.py
const WATCH_MS = 200;

/** @type {Map<any, Host>} */
const hosts = new Map();

/** The execution id of a node: its number, behind those of the subgraphs around it. */
function executionId(node) {
  const path = (graph) => {
    if (graph === node.graph) return [node.id];
    for (const one of graph?.nodes ?? []) {
      const inner = one.subgraph && path(one.subgraph);
      if (inner) return [one.id, ...inner];
    }
    return null;
  };
  return (path(node.graph?.rootGraph ?? node.graph) ?? [node.id]).join(":");
}

/** One editor in its node. */
class Host {
  constructor(node, { Editor, text, height, size }) {
    this.node = node;
    this.textInput = text;
    /** @type {import("./live/client.js").Source | null} */
    this.source = null;
    this.client = new LiveClient(api, () => this.source ?? this.ownSource());
    this.editor = new Editor(this.client, (written) => this.write(written));
    this.root = document.createElement("div");
    this.root.className = "edtalk-live";
    this.root.style.setProperty("--edtalk-height", `${height}px`);
    this.root.append(this.editor.root);
    passOn(this.root);
    const widget = node.addDOMWidget(WIDGET, WIDGET, this.root, { serialize: false, hideOnZoom: false, getMinHeight: () => height });
    widget.serialize = false;
    node.setSize([Math.max(node.size[0], size[0]), Math.max(node.size[1], size[1])]);
    this.timer = setInterval(() => this.watch(), WATCH_MS);
    this.known = null; // the text as it was last seen
    this.described = null; // the place whose description is shown
  }

  ownSource() {
    const root = this.node.graph?.rootGraph ?? this.node.graph;
    return { graph: String(root?.id ?? ""), node: executionId(this.node) };
  }

  get widget() {
    return this.node.widgets?.find(({ name }) => name === this.textInput);
  }

  isLinked(name) {
    return this.node.inputs?.some((input) => input.name === name && input.link != null);
  }

  /** Writes the node's text, as if it had been typed. */
  write(text) {
    this.known = text;
    const { widget } = this;
    if (!widget || widget.value === text) return;
    widget.value = text;
    widget.callback?.(text);
    this.node.setDirtyCanvas(true, true);
  }

  /** Follows the node: values are read, since not every editor of a value tells of it. */
  watch() {
    this.attach();
    if (!this.root.isConnected || !this.node.graph) return;
    const linked = this.isLinked(this.textInput);
    this.editor.setLocked(linked);
    const text = linked ? null : String(this.widget?.value ?? "");
    if (text !== null && text !== this.known) {
      this.known = text;
      this.editor.read(text);
    }
    const plugged = this.isLinked("portrait");
    const { graph, node } = this.source ?? this.ownSource();
    const place = JSON.stringify([graph, node, plugged]);
    if (place === this.described) return;
    this.described = place;
    if (plugged) void this.describe();
    else this.editor.forget(false);
  }

  async describe() {
    try {
      this.editor.describe(await this.client.describe());
    } catch (refusal) {
      this.editor.refused(refusal);
    }
  }

  /** The node has run, here or in the cache. */
  ran({ graph, node, text }) {
    this.source = { graph, node };
    this.described = null;
    const linked = (this.node.inputs ?? []).filter(({ link }) => link != null).map(({ name }) => name);
    this.editor.ran?.(text, new Set(linked));
    if (this.isLinked(this.textInput)) this.editor.read(text);
    this.watch();
  }

  /** Nodes 2.0 of early front ends shows no elements of scripts. */
  attach() {
    // @ts-ignore
    if (this.root.isConnected || !globalThis.LiteGraph.vueNodesMode) return;
    document.querySelector(`[data-testid="node-body-${this.node.id}"]`)?.append(this.root);
  }

  remove() {
    clearInterval(this.timer);
    this.client.close();
    this.editor.remove();
    this.root.remove();
    hosts.delete(this.node);
  }
}

/** Keeps what is done in an editor from moving its node; the middle button and the wheel still move the canvas. */
function passOn(root) {
  const handlers = { pointerdown: "processMouseDown", pointermove: "processMouseMove", pointerup: "processMouseUp" };
  for (const [type, method] of Object.entries(handlers))
    root.addEventListener(type, (event) => {
      if (event.button === 1 || event.buttons & 4) app.canvas[method](event);
      else if (type !== "pointerup") event.stopPropagation();
    });
  root.addEventListener("wheel", (event) => {
    if (event.target.closest("[data-capture-wheel]") && !event.ctrlKey) event.stopPropagation();
    else if (!globalThis.LiteGraph.vueNodesMode) app.canvas.processMouseWheel(event);
  });
  for (const type of ["contextmenu", "dblclick", "copy", "paste"]) root.addEventListener(type, (event) => event.stopPropagation());
}

app.registerExtension({
  name: "EDTalk.LiveEditors",

  init() {
    const link = document.createElement("link");
    Object.assign(link, { rel: "stylesheet", href: new URL("live/live.css", import.meta.url).href });
    document.head.append(link);
    setLanguage(app.ui.settings.getSettingValue("Comfy.Locale") ?? "en");
  },

  setup() {
    api.addEventListener("executed", ({ detail }) => {
      const [run] = detail.output?.[UI_KEY] ?? [];
      const host = run && hosts.get(findNode(detail.display_node ?? detail.node));
      host?.ran(run);
    });
  },

  nodeCreated(node) {
    const settings = EDITORS[node.comfyClass];
    if (!settings) return;
    const host = new Host(node, settings);
    hosts.set(node, host);
    const { onRemoved } = node;
    node.onRemoved = function (...args) {
      onRemoved?.apply(this, args);
      host.remove();
    };
  },
});
