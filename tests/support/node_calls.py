"""Execution of a node as in ComfyUI, without a server, for tests in ComfyUI's Python."""

from __future__ import annotations

import inspect
from typing import Any

from comfy_api.latest import io


def execute(node: type[io.ComfyNode], hidden: dict[str, Any] | None = None, **inputs: Any) -> io.NodeOutput:
    """Execute a node with `inputs`, else the defaults of widgets. `hidden`: values of hidden inputs, by name."""
    schema = node.define_schema()
    defaults = {item.id: item.default for item in schema.inputs if getattr(item, "default", None) is not None}
    values = {io.Hidden(name.upper()): value for name, value in (hidden or {}).items()}
    # Older versions of ComfyUI take the hidden inputs directly, newer ones as an entry of `v3_data`.
    takes_v3_data = "v3_data" in inspect.signature(node.PREPARE_CLASS_CLONE).parameters
    clone = node.PREPARE_CLASS_CLONE({"hidden_inputs": values} if takes_v3_data else values)
    return clone.EXECUTE_NORMALIZED(**defaults | inputs)
