"""Layout checks of nodes in the editor, on the canvas and in the page (Nodes 2.0)."""

from __future__ import annotations

from comfy_install import CLASSIC, NODES_2
from front_end import FrontEnd

TOLERANCE = 2.0
"""Overlap in pixels of the graph that is tolerated, because sizes are rounded."""

MEASURE = """tolerance => {
    const graph = window.app.graph, title = LiteGraph.NODE_TITLE_HEIGHT, problems = [];
    const name = node => `${node.id} ${node.title}`;
    const onCanvas = node => {
        const [x, y] = node.pos, [width, height] = node.size;
        return {name: name(node), left: x, top: y - title, right: x + width, bottom: y + height};
    };
    const inPage = node => {
        const element = document.querySelector(`[data-node-id="${node.id}"]`);
        if (!element) return null;
        const {left, top, right, bottom} = element.getBoundingClientRect(), scale = window.app.canvas.ds.scale;
        return {name: name(node), left: left / scale, top: top / scale, right: right / scale, bottom: bottom / scale};
    };
    const overlap = (first, second) =>
        Math.min(first.right, second.right) - Math.max(first.left, second.left) > tolerance &&
        Math.min(first.bottom, second.bottom) - Math.max(first.top, second.top) > tolerance;
    for (const [where, measure] of [["canvas", onCanvas], ["page", inPage]]) {
        const boxes = graph.nodes.map(measure).filter(Boolean);
        boxes.forEach((box, index) => {
            for (const other of boxes.slice(index + 1))
                if (overlap(box, other)) problems.push(`${where}: ${box.name} overlaps ${other.name}`);
        });
    }
    const groups = graph.groups.map(group => {
        const [x, y] = group.pos, [width, height] = group.size;
        return {name: group.title, left: x, top: y, right: x + width, bottom: y + height};
    });
    groups.forEach((group, index) => {
        for (const other of groups.slice(index + 1))
            if (overlap(group, other)) problems.push(`group ${group.name} overlaps ${other.name}`);
    });
    const context = document.createElement("canvas").getContext("2d");
    for (const {title, size: [width], font_size: height} of graph.groups) {
        context.font = `${height}px ${LiteGraph.GROUP_FONT}`;
        if (context.measureText(title).width > width - height) problems.push(`the title of group ${title} is too wide`);
    }
    for (const node of graph.nodes.map(onCanvas)) {
        for (const group of groups.filter(group => overlap(node, group)))
            if (node.left < group.left - tolerance || node.right > group.right + tolerance ||
                node.top < group.top - tolerance || node.bottom > group.bottom + tolerance)
                problems.push(`${node.name} extends beyond ${group.name}`);
    }
    return problems;
}"""
FIRST_NODES_2 = (1, 30)
"""First front end with a Nodes 2.0 for users. In the experiment before it, nodes measure half as large again."""
LAYOUT_MS = 1000
"""Time until nodes have their final sizes after a workflow was opened or previews appeared."""


def layout_problems(editor: FrontEnd) -> list[str]:
    """Descriptions of nodes that overlap or extend beyond their group, and of titles that do; empty if there are none.

    Always empty for an editor that the templates are not laid out for.
    """
    version, nodes_2 = editor.page.evaluate("() => [window.__COMFYUI_FRONTEND_VERSION__, LiteGraph.vueNodesMode]")
    if not is_laid_out_for(version, NODES_2 if nodes_2 else CLASSIC):
        return []
    editor.page.wait_for_timeout(LAYOUT_MS)
    return editor.page.evaluate(MEASURE, TOLERANCE)


def is_laid_out_for(version: str, renderer: str) -> bool:
    """Whether the templates are laid out for a front end, such as "1.49.6", and renderer."""
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())  # none of "newest"
    return renderer == CLASSIC or not numbers or numbers >= FIRST_NODES_2
