"""The bundled workflows, and substitutes for the models they need."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from comfy_server import ComfyServer
from front_end import FrontEnd

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / "workflows").glob("*.json"))
VIDEOS = (".mp4", ".mov", ".mkv", ".webm")

HAS_CHECKPOINT = "() => window.app.graph.nodes.some(node => node.type === 'CheckpointLoaderSimple')"
USE_EXAMPLE = """() => {
    const graph = window.app.graph, example = LiteGraph.createNode("LoadImage");
    graph.add(example);
    example.pos = [-400, 0];
    example.widgets.find(widget => widget.name === "image").value = "edtalk_generated.jpg";
    for (const decoder of graph.nodes.filter(node => node.type === "VAEDecode"))
        for (const id of [...decoder.outputs[0].links]) {
            const link = graph.links.get(id);
            example.connect(0, graph.getNodeById(link.target_id), link.target_slot);
        }
}"""
"""Script that connects the generated example picture in place of generated pictures."""
RENDER_FRAMES = """frames => {
    for (const node of window.app.graph.nodes.filter(node => node.type.startsWith("EDTalkRender")))
        for (const [name, value] of [["length", "frames"], ["frames", frames]])
            node.widgets.find(widget => widget.name === name).value = value;
}"""
"""Script that limits the graph's renderings to a number of frames."""


def read_workflow(path: Path) -> dict[str, Any]:
    """Read a workflow in the editor's format."""
    return json.loads(path.read_text(encoding="utf-8"))


def provide_models(workflow: dict[str, Any], server: ComfyServer) -> None:
    """Create files with the names of the core models that a workflow uses.

    An upscale model is a working one that repeats pixels; a checkpoint is an empty file, which is enough for
    validation.
    """
    subgraphs = workflow.get("definitions", {}).get("subgraphs", [])
    for node in (node for graph in (workflow, *subgraphs) for node in graph["nodes"]):
        if node["type"] == "UpscaleModelLoader":
            _write_plain_upscaler(server.base / "models/upscale_models" / node["widgets_values"][0])
        elif node["type"] == "CheckpointLoaderSimple":
            (server.base / "models/checkpoints" / node["widgets_values"][0]).touch()


def use_example_for_checkpoint(editor: FrontEnd) -> None:
    """Replace pictures that need a checkpoint to be generated with the bundled example."""
    if editor.page.evaluate(HAS_CHECKPOINT):
        editor.page.evaluate(USE_EXAMPLE)


def _write_plain_upscaler(path: Path) -> None:
    """Write a Compact upscaler with zero convolutions: 4x nearest neighbour."""
    import torch

    state = {}
    for number, (outputs, inputs) in enumerate([(1, 3), (1, None), (1, 1), (1, None), (48, 1)]):
        state[f"body.{number}.weight"] = torch.zeros(outputs, inputs, 3, 3) if inputs else torch.zeros(outputs)
        if inputs:
            state[f"body.{number}.bias"] = torch.zeros(outputs)
    torch.save(state, path)
