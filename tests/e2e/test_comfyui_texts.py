"""Names, tooltips and help pages, as ComfyUI's own editor shows them, in English and in Chinese."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from comfy_server import PACK, ComfyServer
from front_end import READY, FrontEnd
from node_texts import HELP, inputs_of, main_of, node_defs_of, read_texts, write_texts

ENDLESS = 1_000_000
"""From here on a limit says nothing to an artist, and help pages leave it out."""

ADD = """type => {
    const graph = window.app.graph, node = LiteGraph.createNode(type);
    graph.clear();
    node.pos = [500, 300];
    graph.add(node);
    window.app.canvas.selectNode(node);
}"""
SHOWN = """() => {
    const node = window.app.graph.nodes[0], slots = list => list.map(slot => slot.label ?? slot.localized_name);
    return {title: node.title, inputs: slots(node.inputs), outputs: slots(node.outputs)};
}"""
PICTURE_SHOWN = """described => {
    const picture = document.querySelector('.node-help-content img');
    return picture?.alt === described && picture.naturalWidth > 0;
}"""
TOO_WIDE = """() => {
    const edge = document.querySelector('.node-help-content').getBoundingClientRect().right;
    return [...document.querySelectorAll('.node-help-content :is(p, li, td, img)')]
        .filter(one => one.getBoundingClientRect().right > edge).map(one => one.innerText);
}"""
"""Parts of a help page that reach beyond the edge of its panel, at the width that it has at first."""


@pytest.fixture(scope="module")
def object_info(server: ComfyServer) -> dict[str, Any]:
    """The pack's part of /object_info."""
    return {name: info for name, info in server.get("/object_info").items() if name.startswith("EDTalk")}


@pytest.fixture
def language(request: pytest.FixtureRequest, editor: FrontEnd) -> Iterator[str]:
    """The editor in a language, from the parameter."""
    change = "language => window.app.extensionManager.setting.set('Comfy.Locale', language)"
    editor.page.evaluate(change, request.param)
    if request.param != "en":
        editor.page.reload()
        editor.page.wait_for_function(READY)
    yield request.param
    if request.param != "en":
        editor.page.evaluate(change, "en")
        editor.page.reload()
        editor.page.wait_for_function(READY)


@pytest.mark.parametrize(("name", "of"), [("nodeDefs", node_defs_of), ("main", main_of)])
def test_the_english_texts_are_those_of_the_nodes(object_info, request, name, of):
    if request.config.getoption("snapshot"):
        write_texts("en", name, of(object_info))
    assert read_texts("en", name) == of(object_info), "write them anew: `make snapshot`"


def facts(kind: str, details: dict[str, Any]) -> list[float]:
    """The numbers that a help page tells of an input: its limits and its default."""
    if kind not in ("INT", "FLOAT"):
        return []
    limits = [details["min"], details["max"]]
    if details["min"] <= -ENDLESS:
        limits = []
    elif details["max"] >= ENDLESS:
        limits = limits[:1]
    return [float(number) for number in (*limits, details["default"])]


@pytest.mark.parametrize("page", ["{}.md", "{}/zh.md"])
def test_help_pages_tell_limits_and_defaults_as_they_are(object_info, page):
    wrong = []
    for node_id, info in object_info.items():
        text = (HELP / page.format(node_id)).read_text(encoding="utf-8")
        cells = re.findall(r"^\| \*\*.*?\*\*(?:<br>(.*?))? \|", text, re.MULTILINE)
        for cell, (name, kind, details) in zip(cells, inputs_of(info), strict=False):
            told = [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", cell)]
            if kind in ("INT", "FLOAT") and told != facts(kind, details):
                wrong.append(f"{node_id}: {name}: {cell!r}, and it is {facts(kind, details)}")
            if kind == "COMBO" and not cell.endswith(f" {details['default']}"):
                wrong.append(f"{node_id}: {name}: {cell!r}, and the default is {details['default']}")
            if kind.startswith("EDTALK") and bool(cell) != details["optional"]:
                wrong.append(f"{node_id}: {name}: is {'' if details['optional'] else 'not '}optional")
    assert wrong == []


@pytest.mark.slow
@pytest.mark.any_renderer
@pytest.mark.parametrize("language", ["en", "zh"], indirect=True)
def test_the_editor_shows_help_with_its_picture(editor: FrontEnd, object_info, language):
    texts = read_texts(language, "nodeDefs")
    editor.problems.clear()
    too_wide: list[str] = []
    for node_id in object_info:
        editor.page.evaluate(ADD, node_id)
        info = editor.page.get_by_test_id("info-button")
        info.wait_for(state="attached")
        info.dispatch_event("click")
        file = HELP / (f"{node_id}.md" if language == "en" else f"{node_id}/{language}.md")
        described = re.search(r"^!\[(.*?)\]", file.read_text(encoding="utf-8"), re.MULTILINE)
        assert described
        editor.page.wait_for_function(PICTURE_SHOWN, arg=described[1])
        too_wide += [f"{node_id}: {words}" for words in editor.page.evaluate(TOO_WIDE)]
        assert "**" not in editor.page.locator(".node-help-content").inner_text(), node_id
        shown = editor.page.evaluate(SHOWN)
        expected = texts[node_id]
        assert shown["title"] == expected["display_name"]
        assert sorted(shown["inputs"]) == sorted(one["name"] for one in expected.get("inputs", {}).values())
        assert shown["outputs"] == [one["name"] for one in expected["outputs"].values()]
    # Pages in English have no folder of their own: the editor looks there first.
    missed = [problem for problem in editor.problems if PACK in problem and not problem.endswith("/en.md")]
    assert missed == []
    assert too_wide == []
