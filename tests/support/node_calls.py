"""A node, executed as ComfyUI does it, without a server. For the tests in ComfyUI's Python."""

from __future__ import annotations

import inspect
from typing import Any

from comfy_api.latest import io


def execute(node: type[io.ComfyNode], hidden: dict[str, Any] | None = None, **inputs: Any) -> io.NodeOutput:
    """A node's output; widgets are at their defaults unless given. `hidden`: what it asks ComfyUI for, by name."""
    defaults = {one.id: one.default for one in node.define_schema().inputs if getattr(one, "default", None) is not None}
    values = {io.Hidden(name.upper()): value for name, value in (hidden or {}).items()}
    # ComfyUI once took the values alone; since then they are one entry of several.
    whole = "v3_data" in inspect.signature(node.PREPARE_CLASS_CLONE).parameters
    clone = node.PREPARE_CLASS_CLONE({"hidden_inputs": values} if whole else values)
    return clone.EXECUTE_NORMALIZED(**defaults | inputs)
