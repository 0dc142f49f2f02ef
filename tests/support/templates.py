"""The workflows that ship, and what they need to be run on a machine without models."""

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
"""Plugs the example that was generated in wherever a generated picture goes."""


def read_workflow(path: Path) -> dict[str, Any]:
    """A workflow as the editor saves it."""
    return json.loads(path.read_text(encoding="utf-8"))


def provide_models(workflow: dict[str, Any], server: ComfyServer) -> None:
    """Lay down files under the names of the core models that a workflow asks for.

    An upscale model is a real one that enlarges without adding anything; a checkpoint is an empty file, which is
    enough for validation.
    """
    subgraphs = workflow.get("definitions", {}).get("subgraphs", [])
    for node in (node for graph in (workflow, *subgraphs) for node in graph["nodes"]):
        if node["type"] == "UpscaleModelLoader":
            _write_plain_upscaler(server.base / "models/upscale_models" / node["widgets_values"][0])
        elif node["type"] == "CheckpointLoaderSimple":
            (server.base / "models/checkpoints" / node["widgets_values"][0]).touch()


def use_example_for_checkpoint(editor: FrontEnd) -> None:
    """Where the graph generates a picture, which needs a checkpoint, plug in the example that was generated so."""
    if editor.page.evaluate(HAS_CHECKPOINT):
        editor.page.evaluate(USE_EXAMPLE)


def _write_plain_upscaler(path: Path) -> None:
    """A model of the Compact kind whose convolutions are zero: four times the size, each pixel repeated."""
    import torch

    state = {}
    for number, (outputs, inputs) in enumerate([(1, 3), (1, None), (1, 1), (1, None), (48, 1)]):
        state[f"body.{number}.weight"] = torch.zeros(outputs, inputs, 3, 3) if inputs else torch.zeros(outputs)
        if inputs:
            state[f"body.{number}.bias"] = torch.zeros(outputs)
    torch.save(state, path)
