/** Editor extension for what the server cannot set: link colours, translated labels of lists, and notices. */
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { findNode } from "./find_node.js";

const COLOURS = {
  EDTALK_MODEL: "#7d9ad4",
  EDTALK_PORTRAIT: "#e0a458",
  EDTALK_AUDIO_FEATURES: "#5fb7a5",
  EDTALK_MOTION: "#d1749b",
};

/** Sets a type's colour as default: the editor clears it when the user selects a palette without the type. */
function setDefaultColour(table, type, defaultColour) {
  let paletteColour = "";
  Object.defineProperty(table, type, {
    configurable: true,
    enumerable: true,
    get: () => paletteColour || defaultColour,
    set: (value) => (paletteColour = value),
  });
}

/** Fetches the pack's labels in a language: node id -> input -> option -> label. */
async function fetchLabels(language) {
  const texts = await (await api.fetchApi("/i18n")).json();
  const nodes = Object.entries(texts[language]?.nodeDefs ?? {}).filter(([id]) => id.startsWith("EDTalk"));
  return Object.fromEntries(nodes.map(([id, { inputs }]) => [id, inputs ?? {}]));
}

const NOTICE_MS = 15000;

/** Shows a sentence of a running node in a corner: recent editors drop a node's status text at the end of the run. */
function showNotice({ detail: { node, text, severity } }) {
  app.extensionManager.toast.add({ severity, summary: findNode(node)?.title ?? "EDTalk", detail: text, life: NOTICE_MS });
}

let labels = {};

app.registerExtension({
  name: "EDTalk",

  async init() {
    const style = document.createElement("style"); // Nodes 2.0 colours sockets by these
    style.textContent = `:root { ${Object.entries(COLOURS).map(([type, value]) => `--color-datatype-${type}: ${value};`).join(" ")} }`;
    document.head.append(style);
    const language = app.ui.settings.getSettingValue("Comfy.Locale");
    if (language !== "en") labels = await fetchLabels(language);
  },

  setup() {
    api.addEventListener("edtalk.notice", showNotice);
    for (const [type, value] of Object.entries(COLOURS)) {
      setDefaultColour(LGraphCanvas.link_type_colors, type, value);
      setDefaultColour(app.canvas.default_connection_color_byType, type, value);
    }
  },

  nodeCreated(node) {
    for (const widget of node.widgets ?? []) {
      const names = labels[node.comfyClass]?.[widget.name]?.options;
      if (names) widget.options.getOptionLabel = (value) => names[value] ?? value ?? "";
    }
  },
});
