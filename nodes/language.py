"""The language that the editor is set to, and what the nodes say in it.

The library speaks English, for programs. What a node shows to an artist is looked up in locales/LANGUAGE/messages.json:
English sentences, with {} for what is filled in, and their translations. A sentence that is not there stays English.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import folder_paths
from aiohttp import web
from server import PromptServer

LOCALES = Path(__file__).parents[1] / "locales"  # not resolved: a linked pack is called as its link
SETTING = "Comfy.Locale"
"""Which the editor keeps on the server once a language was chosen; until then it takes the browser's."""


def language_of(request: web.Request) -> str:
    """The language of the editor that asks, such as "zh" or "zh-TW"."""
    chosen = PromptServer.instance.user_manager.settings.get_settings(request).get(SETTING)
    return chosen or request.headers.get("Accept-Language", "en").split(",")[0].split("-")[0].strip()


def translated(sentence: str) -> str:
    """A sentence in the language that was chosen in the editor of the machine's default user."""
    for pattern, translation in _messages(_chosen_language()):
        match = pattern.fullmatch(sentence)
        if match:
            return translation.format(*match.groups())
    return sentence


def _chosen_language() -> str:
    """Read each time: the language can be changed while ComfyUI runs."""
    settings = Path(folder_paths.get_user_directory(), "default", "comfy.settings.json")
    try:
        return str(json.loads(settings.read_text(encoding="utf-8")).get(SETTING, "en"))
    except (OSError, ValueError):
        return "en"


@cache
def _messages(language: str) -> list[tuple[re.Pattern[str], str]]:
    """Patterns and translations, those with the most words of their own first."""
    path = LOCALES / language / "messages.json"
    messages = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    ordered = sorted(messages, key=lambda sentence: -len(sentence.replace("{}", "")))
    return [(re.compile("(.+?)".join(map(re.escape, one.split("{}"))), re.DOTALL), messages[one]) for one in ordered]
