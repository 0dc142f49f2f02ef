"""What saved workflows rely on: node ids, inputs and outputs, their order and types. Read off /object_info.

A workflow of the editor stores the values of widgets by position, in the order of the required and then the optional
inputs, and links by the number of an output; a prompt of the API stores inputs by id and outputs by number. So what is
there stays where it is, and what is new comes last and can do without a value from the workflow.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

Contract = dict[str, dict[str, list[dict[str, Any]]]]
"""By node id: "widgets" and "sockets" in order (id, type, required, default, and options or min and max), "outputs"."""

WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")
"""Types that the editor makes a widget for, unless the input says `forceInput`."""


def contract_of(object_info: dict[str, Any], files: Collection[str] = ()) -> Contract:
    """The contract of nodes, as /object_info describes them.

    `files`: names of files on this machine's disk. Options of dropdowns that are one of them are no part of it.
    """
    contract: Contract = {}
    for node_id, info in sorted(object_info.items()):
        entry: dict[str, list[dict[str, Any]]] = {"widgets": [], "sockets": [], "outputs": []}
        for group in ("required", "optional"):
            for name in info["input_order"].get(group, []):
                kind, details = (*info["input"][group][name], {})[:2]
                if isinstance(kind, list):  # nodes of ComfyUI's older kind give a dropdown's options as its type
                    kind, details = "COMBO", details | {"options": kind}
                described: dict[str, Any] = {"id": name, "type": kind, "required": group == "required"}
                described |= {key: details[key] for key in ("default", "min", "max") if key in details}
                if "options" in details:
                    described["options"] = [option for option in details["options"] if option not in files]
                    if described.get("default") in files:
                        del described["default"]
                # The editor gives such a number a second widget, which has a position of its own.
                if details.get("control_after_generate"):
                    described["control_after_generate"] = True
                is_widget = kind in WIDGETS and not details.get("forceInput")
                entry["widgets" if is_widget else "sockets"].append(described)
        entry["outputs"] = [
            {"type": kind, "list": is_list}
            for kind, is_list in zip(info["output"], info["output_is_list"], strict=True)
        ]
        contract[node_id] = entry
    return contract


def breaches(promised: Contract, present: Contract) -> Iterator[str]:
    """What of the nodes at present breaks workflows that were saved when they were as promised."""
    for node_id, old in promised.items():
        new = present.get(node_id)
        if new is None:
            yield f"{node_id}: the node is gone"
            continue
        for part in ("widgets", "sockets"):
            before, now = ([one["id"] for one in entry[part]] for entry in (old, new))
            if now[: len(before)] != before:
                yield f"{node_id}: its {part} were {', '.join(before)}; now they are {', '.join(now) or 'none'}"
                continue
            for was, one in zip(old[part], new[part], strict=False):
                yield from (f"{node_id}: {was['id']}: {wrong}" for wrong in _narrower(was, one))
            for one in new[part][len(before) :]:
                if one["required"] and "default" not in one:
                    yield f"{node_id}: {one['id']}: a new input must have a default or be optional"
        kept = new["outputs"][: len(old["outputs"])]
        if kept != old["outputs"]:
            yield f"{node_id}: its outputs were {_types(old['outputs'])}; now they are {_types(new['outputs'])}"


def _narrower(was: dict[str, Any], one: dict[str, Any]) -> Iterator[str]:
    """What an input once took and takes no more."""
    # Sockets that take several types list them.
    if not set(was["type"].split(",")) <= set(one["type"].split(",")):
        yield f"was of type {was['type']} and is {one['type']}"
    if one["required"] and not was["required"] and "default" not in one:
        yield "was optional and is required"
    if "default" in was and "default" not in one:
        yield "has no default any more"
    if one.get("control_after_generate") != was.get("control_after_generate"):
        yield "its widget for what happens after a run came or went, which moves all values behind it"
    if "min" in was and one.get("min", was["min"]) > was["min"]:
        yield f"its minimum rose from {was['min']} to {one['min']}"
    if "max" in was and one.get("max", was["max"]) < was["max"]:
        yield f"its maximum fell from {was['max']} to {one['max']}"
    gone = [option for option in was.get("options", []) if option not in one.get("options", [])]
    if gone:
        yield f"it lost the options {gone}"


def _types(outputs: list[dict[str, Any]]) -> str:
    return ", ".join(f"list of {output['type']}" if output["list"] else output["type"] for output in outputs) or "none"
