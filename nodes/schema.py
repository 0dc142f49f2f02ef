"""Shared parts of the nodes' schemas: search aliases and advanced inputs."""

from __future__ import annotations

from dataclasses import fields

from comfy_api.latest import io


def advanced(setting: io.Input) -> io.Input:
    """Mark an input as advanced: Nodes 2.0 hides it behind a button, the classic canvas shows it.

    `advanced=` and `extra_dict=` of the inputs themselves raise TypeError before ComfyUI 0.10.
    """
    setting.extra_dict = {**setting.extra_dict, "advanced": True}
    return setting


def core_socket(type_name: str, id: str, tooltip: str) -> io.Input:
    """An optional socket of a type that only recent ComfyUIs have; older ones show it and have nothing to plug in.

    The editor would draw a widget of its own for some of these types.
    """
    socket: io.Input = io.Custom(type_name).Input(id, optional=True, tooltip=tooltip)
    socket.extra_dict = {**(socket.extra_dict or {}), "forceInput": True}
    return socket


def size_input(own: str) -> io.Input:
    """Input of the side of rendered frames, last of its node; `own` says whose own resolution "own" is."""
    return io.Combo.Input(
        "size",
        optional=True,
        options=["model", "own", "512", "768", "1024", "1536", "2048"],
        default="model",
        tooltip=f"Side of the rendered face in pixels. model: the model's, mostly 256. own: {own}, at most 1024. Sizes "
        "above the model's get the fine detail of the picture. On a CPU, 512 takes up to 1.4 times as long as 256, and "
        "1024 up to 2.5 times.",
    )


def search_words(english: str, chinese: str) -> dict[str, list[str]]:
    """Return a schema's `search_aliases` from comma-separated words; empty before ComfyUI 0.11, which lacks it.

    The editor searches names of nodes and these words, not descriptions.
    """
    if not any(field.name == "search_aliases" for field in fields(io.Schema)):
        return {}
    return {"search_aliases": [word.strip() for word in f"{english}, {chinese}".split(",")]}
