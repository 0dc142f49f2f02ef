// Live preview of nodes that end with a video, in an element of its own.
//
// ComfyUI's editor prefers the last preview of a node to the node's result and drops it only when the node starts
// again, so a node that ends with a video must not send previews for itself: they would be loaded as the video. They
// are sent for a node that no graph has (nodes/execution.py) and shown here until the node is done.

import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";
import { findNode } from "./find_node.js";

const ADDRESSEE = "edtalk-preview";
const WIDGET = "edtalk_live_preview";
const CLASSIC_VIDEO = "video-preview"; // the editor's own widget, in its classic renderer
const LEAST_HEIGHT = 220; // as the editor's own previews

// In the classic renderer the preview covers the video of the previous run; in Nodes 2.0 that video is hidden.
const STYLE = `
.edtalk-live-preview { position: relative; min-height: ${LEAST_HEIGHT}px }
.comfy-img-preview > .edtalk-live-preview { position: absolute; inset: 0; background: #000 }
.edtalk-live-preview > img { position: absolute; inset: 0; width: 100%; height: 100%; object-fit: contain }
[data-node-id]:has(.edtalk-live-preview) :is(.video-preview, .edtalk-video) { display: none }
.edtalk-video { width: 100% }
:has(> .edtalk-video) > .lg-node-content { display: none }
`;

const findWidget = (node, name) => node.widgets?.find((widget) => widget.name === name);

const bodyOf = (node) => document.querySelector(`[data-testid="node-body-${node.id}"]`);
const afterDrawing = (callback) => requestAnimationFrame(() => requestAnimationFrame(callback));

/** Puts an element into a node, over its last video where the classic renderer has one. */
function place(node, element) {
  const video = LiteGraph.vueNodesMode ? undefined : findWidget(node, CLASSIC_VIDEO);
  if (video?.element) {
    video.element.append(element);
    return;
  }
  const widget = node.addDOMWidget(WIDGET, WIDGET, element, {
    serialize: false,
    hideOnZoom: false,
    getMinHeight: () => LEAST_HEIGHT,
  });
  widget.serialize = false;
  if (LiteGraph.vueNodesMode)
    afterDrawing(() => {
      if (!element.isConnected && findWidget(node, WIDGET)) bodyOf(node)?.append(element);
    });
}

function remove(node, element) {
  const widget = findWidget(node, WIDGET);
  if (widget) node.removeWidget(widget);
  element.remove();
}

const previews = new Map(); // execution id -> {node, element, image}

function show(executionId, blob) {
  let preview = previews.get(executionId);
  if (!preview) {
    const node = findNode(executionId);
    if (!node) return;
    const element = document.createElement("div");
    element.className = "edtalk-live-preview";
    const image = document.createElement("img");
    image.alt = "";
    element.append(image);
    place(node, element);
    preview = { node, element, image };
    previews.set(executionId, preview);
  }
  URL.revokeObjectURL(preview.image.src);
  preview.image.src = URL.createObjectURL(blob);
  preview.node.setDirtyCanvas(true);
}

function clear(executionId) {
  const preview = previews.get(executionId);
  if (!preview) return;
  previews.delete(executionId);
  URL.revokeObjectURL(preview.image.src);
  remove(preview.node, preview.element);
  preview.node.setDirtyCanvas(true, true);
}

/** Shows a node's video where the editor does not: Nodes 2.0 of 1.27 knows neither videos nor elements of scripts. */
function showVideo(node, file) {
  const root = document.querySelector(`[data-node-id="${node.id}"]`);
  if (!root) return;
  const video = (root.edtalkVideo ??= document.createElement("video"));
  Object.assign(video, { className: "edtalk-video", controls: true, loop: true, playsInline: true });
  const attach = () => {
    const body = bodyOf(node);
    if (root.querySelector("video:not(.edtalk-video)")) video.remove();
    else if (body && video.parentElement !== body) body.append(video);
  };
  attach();
  if (!video.isConnected && bodyOf(node)) return;
  video.src = api.apiURL(`/view?${new URLSearchParams(file)}`);
  // The body is made anew when the node was collapsed, or too small to be drawn in full.
  root.edtalkObserver ??= new MutationObserver(attach);
  root.edtalkObserver.observe(root, { childList: true, subtree: true });
}

function onExecuted({ detail }) {
  clear(String(detail.node));
  if (!LiteGraph.vueNodesMode || !detail.output?.animated?.some(Boolean)) return;
  const file = detail.output.images?.[0];
  const node = findNode(detail.display_node ?? detail.node);
  if (file && node?.type?.startsWith("EDTalk")) afterDrawing(() => showVideo(node, file));
}

app.registerExtension({
  name: "EDTalk.LivePreview",
  setup() {
    const style = document.createElement("style");
    style.textContent = STYLE;
    document.head.append(style);
    api.addEventListener("b_preview_with_metadata", ({ detail }) => {
      if (detail.displayNodeId === ADDRESSEE) show(detail.nodeId, detail.blob);
    });
    api.addEventListener("executed", onExecuted);
    for (const end of ["execution_success", "execution_error", "execution_interrupted"])
      api.addEventListener(end, () => [...previews.keys()].forEach(clear));
  },
});
