"""The contract of the nodes with saved workflows: ids, inputs, outputs, their order and types, from /object_info.

A workflow of the editor stores the values of widgets by position, in the order of the required and then the optional
inputs, and links by the number of an output; a prompt of the API stores inputs by id and outputs by number. So existing
inputs and outputs keep their positions, and new ones come last and must not require a value from the workflow.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

Contract = dict[str, dict[str, list[dict[str, Any]]]]
"""By node id: "widgets" and "sockets" in order (id, type, required, default, and options or min and max), "outputs"."""

WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")
"""Types that the editor shows as a widget, unless the input has `forceInput`."""


def contract_of(object_info: dict[str, Any], files: Collection[str] = ()) -> Contract:
    """Extract the contract of nodes from their /object_info.

    `files`: names of local files, which are excluded from the options of dropdowns.
    """
    contract: Contract = {}
    for node_id, info in sorted(object_info.items()):
        entry: dict[str, list[dict[str, Any]]] = {"widgets": [], "sockets": [], "outputs": []}
        for group in ("required", "optional"):
            for name in info["input_order"].get(group, []):
                kind, details = (*info["input"][group][name], {})[:2]
                if isinstance(kind, list):  # V1 nodes have the options of a dropdown as its type
                    kind, details = "COMBO", details | {"options": kind}
                entry_input: dict[str, Any] = {"id": name, "type": kind, "required": group == "required"}
                entry_input |= {key: details[key] for key in ("default", "min", "max") if key in details}
                if "options" in details:
                    entry_input["options"] = [option for option in details["options"] if option not in files]
                    if entry_input.get("default") in files:
                        del entry_input["default"]
                # The editor adds a second widget, with its own position, to such a number.
                if details.get("control_after_generate"):
                    entry_input["control_after_generate"] = True
                is_widget = kind in WIDGETS and not details.get("forceInput")
                entry["widgets" if is_widget else "sockets"].append(entry_input)
        entry["outputs"] = [
            {"type": kind, "list": is_list}
            for kind, is_list in zip(info["output"], info["output_is_list"], strict=True)
        ]
        contract[node_id] = entry
    return contract


def breaches(promised: Contract, present: Contract) -> Iterator[str]:
    """Changes from one contract to another that break saved workflows."""
    for node_id, old in promised.items():
        new = present.get(node_id)
        if new is None:
            yield f"{node_id}: the node is gone"
            continue
        for part in ("widgets", "sockets"):
            before, now = ([item["id"] for item in entry[part]] for entry in (old, new))
            if now[: len(before)] != before:
                yield f"{node_id}: its {part} were {', '.join(before)}; now they are {', '.join(now) or 'none'}"
                continue
            for was, item in zip(old[part], new[part], strict=False):
                yield from (f"{node_id}: {was['id']}: {change}" for change in _narrowing_changes(was, item))
            for item in new[part][len(before) :]:
                if item["required"] and "default" not in item:
                    yield f"{node_id}: {item['id']}: a new input must have a default or be optional"
        old_outputs = new["outputs"][: len(old["outputs"])]
        if old_outputs != old["outputs"]:
            yield f"{node_id}: its outputs were {_types(old['outputs'])}; now they are {_types(new['outputs'])}"


def _narrowing_changes(was: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    """Changes of an input after which it rejects values that it accepted before."""
    # Sockets that take several types list them.
    if not set(was["type"].split(",")) <= set(now["type"].split(",")):
        yield f"was of type {was['type']} and is {now['type']}"
    if now["required"] and not was["required"] and "default" not in now:
        yield "was optional and is required"
    if "default" in was and "default" not in now:
        yield "has no default any more"
    if now.get("control_after_generate") != was.get("control_after_generate"):
        yield "its widget for what happens after a run came or went, which moves all values behind it"
    if "min" in was and now.get("min", was["min"]) > was["min"]:
        yield f"its minimum rose from {was['min']} to {now['min']}"
    if "max" in was and now.get("max", was["max"]) < was["max"]:
        yield f"its maximum fell from {was['max']} to {now['max']}"
    gone = [option for option in was.get("options", []) if option not in now.get("options", [])]
    if gone:
        yield f"it lost the options {gone}"


def _types(outputs: list[dict[str, Any]]) -> str:
    return ", ".join(f"list of {output['type']}" if output["list"] else output["type"] for output in outputs) or "none"
