"""Where nodes lie in the editor: measured on the canvas, and in the page where nodes are part of it."""

from __future__ import annotations

from front_end import FrontEnd

TOLERANCE = 2.0
"""Pixels of the graph by which a node may reach over an edge: sizes are rounded."""

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
    const overlap = (one, other) =>
        Math.min(one.right, other.right) - Math.max(one.left, other.left) > tolerance &&
        Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top) > tolerance;
    for (const [where, measure] of [["canvas", onCanvas], ["page", inPage]]) {
        const boxes = graph.nodes.map(measure).filter(Boolean);
        boxes.forEach((one, place) => {
            for (const other of boxes.slice(place + 1))
                if (overlap(one, other)) problems.push(`${where}: ${one.name} lies over ${other.name}`);
        });
    }
    const groups = graph.groups.map(group => {
        const [x, y] = group.pos, [width, height] = group.size;
        return {name: group.title, left: x, top: y, right: x + width, bottom: y + height};
    });
    groups.forEach((one, place) => {
        for (const other of groups.slice(place + 1))
            if (overlap(one, other)) problems.push(`group ${one.name} lies over ${other.name}`);
    });
    for (const node of graph.nodes.map(onCanvas)) {
        for (const group of groups.filter(group => overlap(node, group)))
            if (node.left < group.left - tolerance || node.right > group.right + tolerance ||
                node.top < group.top - tolerance || node.bottom > group.bottom + tolerance)
                problems.push(`${node.name} reaches out of ${group.name}`);
    }
    return problems;
}"""
SETTLED_MS = 1000
"""Until nodes of a workflow that was opened, or previews that came, have their sizes."""


def layout_problems(editor: FrontEnd) -> list[str]:
    """Nodes that lie over each other or reach out of their group, in words; none when all is well."""
    editor.page.wait_for_timeout(SETTLED_MS)
    return editor.page.evaluate(MEASURE, TOLERANCE)
