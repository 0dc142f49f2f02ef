"""The language that the editor is set to."""

from __future__ import annotations

from pathlib import Path

from aiohttp import web
from server import PromptServer

LOCALES = Path(__file__).parents[1] / "locales"  # not resolved: a linked pack is called as its link
SETTING = "Comfy.Locale"
"""Which the editor keeps on the server once a language was chosen; until then it takes the browser's."""


def language_of(request: web.Request) -> str:
    """The language of the editor that asks, such as "zh" or "zh-TW"."""
    chosen = PromptServer.instance.user_manager.settings.get_settings(request).get(SETTING)
    return chosen or request.headers.get("Accept-Language", "en").split(",")[0].split("-")[0].strip()
