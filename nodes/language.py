"""Translation of status texts and errors into the language of the editor.

The library's messages are English. What a node shows is looked up in locales/LANGUAGE/messages.json: English sentences
with {} as placeholders, and their translations. A sentence without an entry stays English.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import folder_paths
from aiohttp import web
from server import PromptServer

LOCALES = Path(__file__).parents[1] / "locales"  # not resolved: ComfyUI knows a symlinked pack by its link's name
SETTING = "Comfy.Locale"
"""The editor's setting on the server. It is absent until a language is chosen; the editor then uses the browser's."""


def language_of(request: web.Request) -> str:
    """Return the language of the requesting editor, such as "zh" or "zh-TW"."""
    setting = PromptServer.instance.user_manager.settings.get_settings(request).get(SETTING)
    return setting or request.headers.get("Accept-Language", "en").split(",")[0].split("-")[0].strip()


def translate(sentence: str) -> str:
    """Translate a sentence into the language that ComfyUI's default user set in the editor."""
    for pattern, translation in _messages(_language_setting()):
        match = pattern.fullmatch(sentence)
        if match:
            return translation.format(*match.groups())
    return sentence


def _language_setting() -> str:
    """Read the setting, each time anew: it can change while ComfyUI runs."""
    settings = Path(folder_paths.get_user_directory(), "default", "comfy.settings.json")
    try:
        return str(json.loads(settings.read_text(encoding="utf-8")).get(SETTING, "en"))
    except (OSError, ValueError):
        return "en"


@cache
def _messages(language: str) -> list[tuple[re.Pattern[str], str]]:
    """Return patterns and translations, those with the longest fixed text first."""
    path = LOCALES / language / "messages.json"
    messages = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    sentences = sorted(messages, key=lambda sentence: -len(sentence.replace("{}", "")))
    return [
        (re.compile("(.+?)".join(map(re.escape, sentence.split("{}"))), re.DOTALL), messages[sentence])
        for sentence in sentences
    ]
