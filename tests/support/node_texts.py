"""Texts of the nodes in the editor (names, descriptions, tooltips), from /object_info.

ComfyUI reads translations from locales/<language>/nodeDefs.json and main.json. The English files are generated from the
nodes, so that translators see changes: `pytest tests/e2e/test_comfyui_texts.py --snapshot`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LOCALES = ROOT / "locales"
HELP = ROOT / "nodes/web/docs"

Texts = dict[str, Any]
"""Texts by name, in nested groups."""


def node_defs_of(object_info: dict[str, Any]) -> Texts:
    """The content of nodeDefs.json: for each node its names and tooltips, outputs by number."""
    texts: Texts = {}
    for node_id, info in sorted(object_info.items()):
        inputs = {
            name: {"name": name} | _tooltip(details.get("tooltip")) | _options(details)
            for name, _, details in inputs_of(info)
        }
        outputs = {
            str(number): {"name": name} | _tooltip(tooltip)
            for number, (name, tooltip) in enumerate(zip(info["output_name"], info["output_tooltips"], strict=True))
        }
        texts[node_id] = {"display_name": info["display_name"], "description": info["description"]}
        texts[node_id] |= {key: part for key, part in (("inputs", inputs), ("outputs", outputs)) if part}
    return texts


def inputs_of(info: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """A node's inputs in order: name, type, and further details."""
    for group in ("required", "optional"):
        for name in info["input_order"].get(group, []):
            kind, details = (*info["input"][group][name], {})[:2]
            yield name, kind, details | {"optional": group == "optional"}


def _tooltip(text: str | None) -> dict[str, str]:
    return {"tooltip": text} if text else {}


def _options(details: dict[str, Any]) -> Texts:
    """Labels of a list's entries, applied by nodes/web/edtalk.js; file names are not translated."""
    names = [option for option in details.get("options", []) if not Path(option).suffix]
    return {"options": {name: name for name in names}} if names else {}


def short_name(display_name: str) -> str:
    """A node's name in help pages and notes: without the pack's name and the search terms in brackets."""
    return re.sub(r"^(.*[:：] ?)?EDTalk | ?[(（].*[)）]$", "", display_name)


def main_of(object_info: dict[str, Any]) -> Texts:
    """The content of main.json: the categories of the node menu, which ComfyUI translates level by level."""
    folders = {folder for info in object_info.values() for folder in info["category"].split("/")}
    return {"nodeCategories": {folder: folder for folder in sorted(folders)}}


def read_texts(language: str, name: str) -> Texts:
    """Read a file of a language: nodeDefs or main."""
    return json.loads((LOCALES / language / f"{name}.json").read_text(encoding="utf-8"))


def write_texts(language: str, name: str, texts: Texts) -> None:
    """Write a file of a language: nodeDefs or main."""
    content = json.dumps(texts, ensure_ascii=False, indent=2) + "\n"
    (LOCALES / language / f"{name}.json").write_text(content, encoding="utf-8")


def flat(texts: Texts, *above: str) -> dict[str, str]:
    """Flatten texts; keys are joined by dots."""
    flat_texts: dict[str, str] = {}
    for key, value in texts.items():
        flat_texts |= flat(value, *above, key) if isinstance(value, dict) else {".".join((*above, key)): value}
    return flat_texts
