"""The workflows and blueprints that ship: what can be seen of them without an editor."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest
from node_texts import LOCALES, read_texts

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / "workflows").glob("*.json"))
BLUEPRINTS = sorted((ROOT / "subgraphs").glob("*.json"))
APPS = ("01", "03", "04", "05", "14")
"""Numbers of the templates that open as apps as well."""


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def texts_of(workflow: dict[str, Any]) -> set[str]:
    notes = [node["widgets_values"][0] for node in workflow["nodes"] if node["type"] == "MarkdownNote"]
    titles = [node["title"] for node in workflow["nodes"] if "title" in node]
    return {*notes, *titles, *(group["title"] for group in workflow["groups"])}


def test_templates_are_numbered_in_their_order():
    assert [int(path.stem[:2]) for path in WORKFLOWS] == list(range(1, len(WORKFLOWS) + 1))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem[:2])
def test_a_template_has_a_thumbnail_and_says_what_to_do_first(path):
    assert path.with_suffix(".jpg").is_file()
    notes = [node for node in read(path)["nodes"] if node["type"] == "MarkdownNote"]
    assert len(notes) == 1
    assert "ress Run" in notes[0]["title"]
    (text,) = notes[0]["widgets_values"]
    assert len(text) <= 240
    assert "`" not in text  # Nodes 2.0 shows code as a dark box that cannot be read


def test_every_text_of_the_templates_is_there_in_chinese():
    texts = set().union(*(texts_of(read(path)) for path in WORKFLOWS))
    names = {one["display_name"] for one in read_texts("en", "nodeDefs").values()}
    chinese = read(LOCALES / "zh/workflows.json")
    assert set(chinese) >= {text for text in texts if (text not in names and not text.isascii()) or " " in text}
    assert set(chinese) <= texts


def test_former_names_lead_to_templates():
    source = ast.parse((ROOT / "nodes/templates.py").read_text(encoding="utf-8"))
    table = next(
        ast.literal_eval(node.value)
        for node in source.body
        if isinstance(node, ast.Assign) and node.targets[0].id == "FORMER_NAMES"
    )
    assert set(table.values()) <= {path.stem for path in WORKFLOWS}  # those that came later never had another name


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem[:2])
def test_an_app_names_nodes_and_settings_that_are_there(path):
    workflow = read(path)
    app = workflow["extra"].get("linearData")
    assert (app is not None) == path.stem.startswith(APPS)
    if app is None:
        return
    nodes = {node["id"]: node for node in workflow["nodes"]}
    assert app["outputs"]
    assert set(app["outputs"]) <= set(nodes)
    for number, setting in app["inputs"]:
        assert setting in {slot["name"] for slot in nodes[number]["inputs"] if "widget" in slot}


def test_there_are_three_blueprints_of_one_node_each():
    assert len(BLUEPRINTS) == 3
    for path in BLUEPRINTS:
        blueprint = read(path)
        (subgraph,) = blueprint["definitions"]["subgraphs"]
        assert [node["type"] for node in blueprint["nodes"]] == [subgraph["id"]]
        assert subgraph["name"] == path.stem
        # A widget that became an input would hand its value to the first of the settings that the node shows.
        assert {slot["type"] for slot in subgraph["inputs"]} <= {"IMAGE", "AUDIO", "VIDEO"}
        assert [slot["name"] for slot in blueprint["nodes"][0]["inputs"]] == [
            slot["name"] for slot in subgraph["inputs"]
        ]
        links = {link["id"] for link in subgraph["links"]}
        assert all(slot["link"] in {None, *links} for node in subgraph["nodes"] for slot in node["inputs"])
        inside = {str(node["id"]): node for node in subgraph["nodes"]}
        for number, setting in blueprint["nodes"][0]["properties"]["proxyWidgets"]:
            assert setting in {slot["name"] for slot in inside[number]["inputs"]}
