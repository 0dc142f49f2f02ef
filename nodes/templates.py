"""The templates in the language of the editor, and under the names that they once had.

ComfyUI serves the files in workflows/ as they are. In its place, a request for one of them is answered here with its
titles, groups and notes in the language that the editor is set to, if locales/LANGUAGE/workflows.json has them.
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
"""Templates by the names that links and notes may still call them."""


def add_template_routes() -> None:
    """Answer requests for the templates, whatever the folder of the pack is called. Nothing without a server."""
    server = getattr(PromptServer, "instance", None)
    if server is None:
        return
    prefix = f"/workflow_templates/{FOLDER.parent.name}"
    names = {path.stem: path.stem for path in FOLDER.glob("*.json")} | FORMER_NAMES
    for asked, name in names.items():
        # A path without a pattern comes before core's folder of static files; "/api" is put before it by core.
        server.routes.get(f"{prefix}/{asked}.json")(_answer_with(FOLDER / f"{name}.json"))


def _answer_with(path: Path) -> Any:
    async def answer(request: web.Request) -> web.Response:
        workflow = json.loads(path.read_text(encoding="utf-8"))
        return web.json_response(in_language(workflow, language_of(request)))

    return answer


def in_language(workflow: dict[str, Any], language: str) -> dict[str, Any]:
    """A workflow with the titles, groups and notes that are known in a language; the others stay English."""
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
