"""Make the workflows that ship from tools/workflow_specs.py, with room for every node in every editor.

    python tools/make_workflows.py [WORKFLOW ...]

Each is built in the editor of the oldest ComfyUI that is there, opened in all front ends and renderers that the tests
run on (CONTRIBUTING.md), and laid out by the largest size that a node has in any of them. It needs what the tests in
the editor need. Thumbnails are made by tools/make_thumbnails.py.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workflow_specs import BLUEPRINTS, WORKFLOWS, Blueprint, Note, Workflow

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests/support"))

from comfy_install import RENDERERS, Target, targets
from comfy_server import ComfyServer
from front_end import open_front_end
from layout import is_laid_out_for

TITLE = 30
"""Height of a node's title, which lies above its position."""
HEADING, RIM, GAP, APART = 44, 14, 20, 26
"""Of a group: its heading, its rim about the nodes, the gap between them; and the space between groups."""
SCREEN, MARGIN = (1366, 768), (80, 100)
"""Pixels of a small screen, on which a whole workflow is seen when it is opened, and of the editor's own bars."""
SETTLED_MS = 800
"""Until the nodes of a workflow that was opened have their sizes."""

BUILD = """specs => {
    const graph = window.app.graph, nodes = {};
    graph.clear();
    for (const spec of specs) {
        const node = LiteGraph.createNode(spec.type);
        graph.add(node);
        nodes[spec.key] = node;
        if (spec.title) node.title = spec.title;
        for (const [name, value] of Object.entries(spec.settings)) {
            const widget = name ? node.widgets.find(one => one.name === name) : node.widgets[0];
            if (!widget) throw new Error(`${spec.type} has no setting ${name}`);
            widget.value = value;
        }
        node.mode = spec.bypassed ? 4 : 0;
        node.size = [spec.width, node.computeSize()[1] + spec.shows];
    }
    for (const spec of specs)
        for (const [name, source] of Object.entries(spec.wires)) {
            const [key, output] = source.split(".");
            const from = nodes[key].outputs.findIndex(one => (one.label ?? one.name) === output || one.name === output);
            const to = nodes[spec.key].inputs.findIndex(one => one.name === name);
            if (from < 0 || to < 0) throw new Error(`${source} does not fit ${spec.key}.${name}`);
            nodes[key].connect(from, nodes[spec.key], to);
        }
    return Object.fromEntries(Object.entries(nodes).map(([key, node]) => [key, Number(node.id)]));
}"""
PLACE = """([boxes, groups]) => {
    const graph = window.app.graph;
    for (const [id, x, y, width, height] of boxes) {
        const node = graph.getNodeById(id);
        node.pos = [x, y];
        node.size = [width, height];
    }
    for (const {title, color, bounding} of groups) {
        const group = new LiteGraph.LGraphGroup(title);
        group.pos = bounding.slice(0, 2);
        group.size = bounding.slice(2);
        group.color = color;
        graph.add(group);
    }
    return JSON.parse(JSON.stringify(graph.serialize()));
}"""
SERIALIZE = "() => JSON.parse(JSON.stringify(window.app.graph.serialize()))"
SIZES = "() => window.app.graph.nodes.map(node => [Number(node.id), node.size[0], node.size[1]])"


def node_specs(workflow: Workflow) -> list[dict[str, Any]]:
    """The nodes and notes of a workflow as BUILD takes them."""
    specs = []
    for column in workflow.columns:
        for part in column.parts:
            if isinstance(part, Note):
                specs.append(
                    {"key": part.title, "type": "MarkdownNote", "title": part.title, "settings": {"": part.text}}
                    | {"wires": {}, "shows": 0, "bypassed": False, "width": column.width + 2 * RIM}
                )
            else:
                specs += [vars(node) | {"width": column.width} for node in part.nodes]
    return specs


def lay_out(workflow: Workflow, ids: dict[str, int], heights: dict[int, float]) -> tuple[list[Any], list[Any]]:
    """Boxes [id, x, y, width, height] of all nodes, and the groups about them."""
    boxes, groups = [], []
    x = 0
    for column in workflow.columns:
        y = 0
        for part in column.parts:
            top = y
            if isinstance(part, Note):
                number = ids[part.title]
                boxes.append([number, x, y + TITLE, column.width + 2 * RIM, heights[number]])
                y += TITLE + heights[number]
            else:
                y += HEADING
                for node in part.nodes:
                    number = ids[node.key]
                    boxes.append([number, x + RIM, y + TITLE, column.width, heights[number]])
                    y += TITLE + heights[number] + GAP
                y += RIM - GAP
                frame = [x, top, column.width + 2 * RIM, y - top]
                groups.append({"title": part.title, "color": part.colour, "bounding": frame})
            y += APART
        x += column.width + 2 * RIM + APART
    return boxes, groups


def finish(workflow: Workflow, graph: dict[str, Any], ids: dict[str, int]) -> dict[str, Any]:
    """The graph as a file: the same whenever it is made, and an app as well if it is meant to be one."""
    graph["id"] = str(uuid.uuid5(uuid.NAMESPACE_URL, workflow.name))
    right, bottom = (
        max(group["bounding"][axis] + group["bounding"][axis + 2] for group in graph["groups"]) for axis in (0, 1)
    )
    scale = min((SCREEN[0] - MARGIN[0] - 20) / right, (SCREEN[1] - MARGIN[1] - 20) / bottom)
    graph["extra"] = {"ds": {"scale": round(scale, 3), "offset": [round(margin / scale) for margin in MARGIN]}}
    if workflow.app_outputs:
        graph["extra"]["linearData"] = {
            "inputs": [[ids[key], widget] for key, widget in workflow.app_inputs],
            "outputs": [ids[key] for key in workflow.app_outputs],
        }
    return graph


@dataclass
class Draft:
    """A workflow whose nodes are wired but not yet laid out."""

    workflow: Workflow
    ids: dict[str, int]
    """Key of a node, or title of a note -> its number in the graph."""
    graph: dict[str, Any]
    heights: dict[int, float] = field(default_factory=dict)
    """Number of a node -> the largest height it had in the editors so far, rounded up to ten pixels."""


def draft(workflow: Workflow, page: Any) -> Draft:
    """Build a workflow in an editor's page."""
    return Draft(workflow, page.evaluate(BUILD, node_specs(workflow)), page.evaluate(SERIALIZE))


def open_draft(draft: Draft, page: Any) -> None:
    """Open a draft in an editor's page, and wait until its nodes have their sizes."""
    page.evaluate("graph => window.app.loadGraphData(graph)", draft.graph)
    page.wait_for_timeout(SETTLED_MS)


def measure(draft: Draft, page: Any) -> None:
    """Raise the heights of a draft's nodes to what this editor gives them."""
    open_draft(draft, page)
    for number, _, height in page.evaluate(SIZES):
        draft.heights[number] = max(draft.heights.get(number, 0), -(-height // 10) * 10)


def place(draft: Draft, page: Any) -> dict[str, Any]:
    """Lay a draft out by the heights of its nodes, in an editor's page: the graph as a file."""
    open_draft(draft, page)
    boxes_and_groups = list(lay_out(draft.workflow, draft.ids, draft.heights))
    return finish(draft.workflow, page.evaluate(PLACE, boxes_and_groups), draft.ids)


ENCLOSE = """([ids, inside, settings, title]) => {
    const graph = window.app.graph;
    inside.forEach((key, place) => (graph.getNodeById(ids[key]).pos = [350 * place, 0]));
    const {node} = graph.convertToSubgraph(new Set(inside.map(key => graph.getNodeById(ids[key]))));
    // A node whose widget became an input outside would hand its value to the first of the settings shown on it.
    const widgets = node.inputs.filter(input => input.widget).map(input => input.name);
    for (const slot of [...node.subgraph.inputs])
        if (widgets.includes(slot.name)) node.subgraph.removeInput(slot);
    node.title = node.subgraph.name = title;
    node.pos = [0, 0];
    node.properties.proxyWidgets = settings.map(([key, widget]) => [String(ids[key]), widget]);
    for (const slot of [...node.inputs]) node.disconnectInput(node.inputs.indexOf(slot));
    node.outputs.forEach((_, place) => node.disconnectOutput(place));
    const {nodes, subgraphs} = window.app.canvas._serializeItems([node]);
    return JSON.parse(JSON.stringify({nodes, definitions: {subgraphs}}));
}"""


def make_blueprint(blueprint: Blueprint, page: Any) -> dict[str, Any]:
    """Build a blueprint in an editor that has subgraphs: one node, and what is in it."""
    nodes = (*blueprint.outside, *blueprint.inside)
    ids = page.evaluate(BUILD, [vars(node) | {"width": 300} for node in nodes])
    inside = [node.key for node in blueprint.inside]
    graph = page.evaluate(ENCLOSE, [ids, inside, list(blueprint.settings), blueprint.name])
    names = {node["type"]: str(uuid.uuid5(uuid.NAMESPACE_URL, blueprint.name)) for node in graph["nodes"]}
    for node in graph["nodes"]:
        node["type"] = names[node["type"]]
    for subgraph in graph["definitions"]["subgraphs"]:
        subgraph["id"] = names[subgraph["id"]]
        subgraph["category"] = "EDTalk"
    extra = {"BlueprintDescription": blueprint.description, "BlueprintSearchAliases": list(blueprint.words)}
    return {"revision": 0, "last_node_id": graph["nodes"][0]["id"], "last_link_id": 0, "links": [], "version": 0.4} | (
        graph | {"extra": extra}
    )


def write(path: Path, content: dict[str, Any]) -> None:
    """Write a file of the editor's."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(f"{path.relative_to(ROOT)}\n")
    sys.stdout.flush()


@contextlib.contextmanager
def open_editor(target: Target, renderer: str) -> Iterator[Any]:
    """The page of an editor, with a server of its own."""
    with tempfile.TemporaryDirectory() as folder:
        server = ComfyServer(target.place.find(), Path(folder, "base"), target.front_end_root())
        server.start()
        try:
            with open_front_end(server, renderer) as editor:
                yield editor.page
        finally:
            server.stop()


def main() -> None:
    """Make the workflows and blueprints that are asked for."""
    known = [item.name for item in (*WORKFLOWS, *BLUEPRINTS)]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="beginnings of names of workflows and blueprints")
    beginnings = tuple(parser.parse_args().names) or ("",)
    workflows = [workflow for workflow in WORKFLOWS if workflow.name.startswith(beginnings)]
    blueprints = [blueprint for blueprint in BLUEPRINTS if blueprint.name.startswith(beginnings)]
    if not workflows and not blueprints:
        parser.error(f"there is none of these names; there are {', '.join(known)}")
    # One after the other: Playwright runs a single browser at a time.
    editors = [
        (target, renderer)
        for target in targets()
        for renderer in RENDERERS
        if is_laid_out_for(target.front_end_version, renderer)
    ]
    drafts: list[Draft] = []
    for target, renderer in editors if workflows else ():
        with open_editor(target, renderer) as page:
            drafts = drafts or [draft(workflow, page) for workflow in workflows]
            for item in drafts:
                measure(item, page)
    if drafts:
        with open_editor(*editors[0]) as page:
            for item in drafts:
                write(ROOT / "workflows" / f"{item.workflow.name}.json", place(item, page))
    if blueprints:
        with open_editor(*editors[-1]) as page:
            for blueprint in blueprints:
                write(ROOT / "subgraphs" / f"{blueprint.name}.json", make_blueprint(blueprint, page))


if __name__ == "__main__":
    main()
