/** What ComfyUI has no server-side place for: colours of the pack's links, and lists in the editor's language. */
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";

const COLOURS = {
  EDTALK_MODEL: "#7d9ad4",
  EDTALK_PORTRAIT: "#e0a458",
  EDTALK_AUDIO_FEATURES: "#5fb7a5",
  EDTALK_MOTION: "#d1749b",
};

/** Give a type a colour that stays when a palette is chosen which does not know it: the editor then empties it. */
function colour(table, type, own) {
  let chosen = "";
  Object.defineProperty(table, type, {
    configurable: true,
    enumerable: true,
    get: () => chosen || own,
    set: (value) => (chosen = value),
  });
}

/** The pack's labels of a language: node id -> input -> option -> label. */
async function labelsOf(language) {
  const texts = await (await api.fetchApi("/i18n")).json();
  const nodes = Object.entries(texts[language]?.nodeDefs ?? {}).filter(([id]) => id.startsWith("EDTalk"));
  return Object.fromEntries(nodes.map(([id, { inputs }]) => [id, inputs ?? {}]));
}

let labels = {};

app.registerExtension({
  name: "EDTalk",

  async init() {
    const style = document.createElement("style"); // Nodes 2.0 colours sockets by these
    style.textContent = `:root { ${Object.entries(COLOURS).map(([type, value]) => `--color-datatype-${type}: ${value};`).join(" ")} }`;
    document.head.append(style);
    const language = app.ui.settings.getSettingValue("Comfy.Locale");
    if (language !== "en") labels = await labelsOf(language);
  },

  setup() {
    for (const [type, value] of Object.entries(COLOURS)) {
      colour(LGraphCanvas.link_type_colors, type, value);
      colour(app.canvas.default_connection_color_byType, type, value);
    }
  },

  nodeCreated(node) {
    for (const widget of node.widgets ?? []) {
      const names = labels[node.comfyClass]?.[widget.name]?.options;
      if (names) widget.options.getOptionLabel = (value) => names[value] ?? value ?? "";
    }
  },
});
