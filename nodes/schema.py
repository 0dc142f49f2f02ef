"""What the nodes' schemas share: words that the editor's search knows them by, and settings that few need."""

from __future__ import annotations

from dataclasses import fields

from comfy_api.latest import io


def advanced(setting: io.Input) -> io.Input:
    """The input, folded away by Nodes 2.0 until it is asked for; the classic canvas shows it anyway.

    `advanced=` and `extra_dict=` of the inputs themselves are a TypeError before ComfyUI 0.10.
    """
    setting.extra_dict = {**setting.extra_dict, "advanced": True}
    return setting


def search_words(english: str, chinese: str) -> dict[str, list[str]]:
    """`search_aliases` of a schema, from words separated by commas; nothing for ComfyUI before 0.11, which has no such.

    The editor searches the names of nodes and these words, never their descriptions.
    """
    if not any(field.name == "search_aliases" for field in fields(io.Schema)):
        return {}
    return {"search_aliases": [word.strip() for word in f"{english}, {chinese}".split(",")]}
