"""Server routes of the workflow templates: translated into the editor's language, and under their former names.

ComfyUI would serve the files in workflows/ as they are. The routes here take precedence and translate titles, groups
and notes by locales/LANGUAGE/workflows.json.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from aiohttp import web
from server import PromptServer

from .language import LOCALES, language_of

FOLDER = LOCALES.parent / "workflows"
FORMER_NAMES = {
    "talk": "01 Talk - a picture and a sound to a video",
    "talk_with_head_motion": "02 Talk with head motion - no driver video",
    "reenact_from_video": "03 Reenact - mouth, head and face from a video",
    "dub_a_video": "04 Dub a video - new words, same face",
    "stable_diffusion_portrait_talks": "05 Stable Diffusion portrait talks",
    "expression_timeline": "06 Expression timeline - emotions as text",
    "blend_two_expressions": "07 Blend two expressions - over time",
    "mix_sources": "08 Mix sources - mouth, head, expression",
    "paste_back_into_large_portrait": "09 Paste back - into a large picture",
    "two_people_in_one_picture": "10 Two people in one picture",
    "contact_sheets": "11 Contact sheets - emotions and weights",
}
"""Former name -> current name; links to the former names must keep working."""


def add_template_routes() -> None:
    """Add a route for each template, under the name of the pack's folder; nothing if ComfyUI runs without a server."""
    server = getattr(PromptServer, "instance", None)
    if server is None:
        return
    prefix = f"/workflow_templates/{FOLDER.parent.name}"
    names = {path.stem: path.stem for path in FOLDER.glob("*.json")} | FORMER_NAMES
    for route_name, name in names.items():
        # A fixed path takes precedence over ComfyUI's static folder; ComfyUI adds the route under "/api" as well.
        server.routes.get(f"{prefix}/{route_name}.json")(_template_handler(FOLDER / f"{name}.json"))


def _template_handler(path: Path) -> Any:
    async def handle(request: web.Request) -> web.Response:
        workflow = json.loads(path.read_text(encoding="utf-8"))
        return web.json_response(translate_workflow(workflow, language_of(request)))

    return handle


def translate_workflow(workflow: dict[str, Any], language: str) -> dict[str, Any]:
    """Translate titles, groups and notes of a workflow, in place; texts without a translation stay English."""
    texts = _texts(language)
    for group in workflow["groups"]:
        group["title"] = texts.get(group["title"], group["title"])
    for node in workflow["nodes"]:
        if "title" in node:
            node["title"] = texts.get(node["title"], node["title"])
        if node["type"] == "MarkdownNote":
            node["widgets_values"] = [texts.get(text, text) for text in node["widgets_values"]]
    return workflow


@cache
def _texts(language: str) -> dict[str, str]:
    path = LOCALES / language / "workflows.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
