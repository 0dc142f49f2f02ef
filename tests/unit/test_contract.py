"""The check of the compatibility contract: what it lets pass, and that it sees every way to break saved workflows."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from contract import Contract, breaches, contract_of

Change = Callable[[dict[str, Any]], Any]

OBJECT_INFO = {
    "EDTalkRender": {
        "input": {
            "required": {
                "portrait": ["EDTALK_PORTRAIT", {"tooltip": "..."}],
                "fps": ["FLOAT", {"default": 25.0, "min": 1.0, "max": 120.0}],
                "length": ["COMBO", {"default": "auto", "options": ["auto", "frames"]}],
                "seed": ["INT", {"default": 0, "min": 0, "max": 10, "control_after_generate": True}],
                "angle": ["FLOAT", {"default": 0.0, "forceInput": True}],
            },
            "optional": {"lip": ["EDTALK_MOTION", {}], "note": ["STRING", {"default": ""}]},
        },
        "input_order": {"required": ["portrait", "fps", "length", "seed", "angle"], "optional": ["lip", "note"]},
        "output": ["VIDEO", "STRING"],
        "output_is_list": [False, False],
    },
    "EDTalkOther": {"input": {}, "input_order": {}, "output": ["IMAGE"], "output_is_list": [False]},
}
PROMISED = contract_of(OBJECT_INFO)


def changed(change: Change) -> Contract:
    info = copy.deepcopy(OBJECT_INFO)
    change(info)
    return contract_of(info)


def add(info: dict[str, Any], name: str, spec: list[Any], group: str = "required", at: int | None = None) -> None:
    render = info["EDTalkRender"]
    render["input"][group][name] = spec
    order = render["input_order"][group]
    order.insert(len(order) if at is None else at, name)


def remove(info: dict[str, Any], name: str, group: str = "required") -> list[Any]:
    info["EDTalkRender"]["input_order"][group].remove(name)
    return info["EDTalkRender"]["input"][group].pop(name)


def details(info: dict[str, Any], name: str, group: str = "required") -> dict[str, Any]:
    return info["EDTalkRender"]["input"][group][name][1]


def rename(info: dict[str, Any], old: str, new: str) -> None:
    order = info["EDTalkRender"]["input_order"]["required"]
    at = order.index(old)
    add(info, new, remove(info, old), at=at)


def test_widgets_and_sockets_are_told_apart():
    render = PROMISED["EDTalkRender"]
    assert [one["id"] for one in render["widgets"]] == ["fps", "length", "seed", "note"]
    assert [one["id"] for one in render["sockets"]] == ["portrait", "angle", "lip"]


def test_nothing_changed_breaks_nothing():
    assert list(breaches(PROMISED, PROMISED)) == []


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda info: info.update(EDTalkNew=info["EDTalkOther"]), id="a new node"),
        pytest.param(lambda info: add(info, "new", ["INT", {"default": 1}], "optional"), id="a widget at the end"),
        pytest.param(lambda info: add(info, "new", ["IMAGE", {}], "optional"), id="an optional socket at the end"),
        pytest.param(lambda info: info["EDTalkRender"]["output"].append("MASK"), id="an output at the end"),
        pytest.param(lambda info: details(info, "length")["options"].insert(0, "audio"), id="a new option"),
        pytest.param(lambda info: details(info, "fps").update(min=0.5, max=240.0), id="a wider range"),
        pytest.param(lambda info: details(info, "fps").update(default=30.0), id="another default"),
        pytest.param(
            lambda info: info["EDTalkRender"]["input"]["optional"].update(lip=["EDTALK_MOTION,FLOATS", {}]),
            id="a socket that takes one type more",
        ),
        pytest.param(lambda info: details(info, "fps").update(tooltip="Better."), id="another tooltip"),
    ],
)
def test_additions_break_nothing(change: Change):
    def complete(info: dict[str, Any]) -> None:
        change(info)
        render = info["EDTalkRender"]
        render["output_is_list"] = [False] * len(render["output"])

    assert list(breaches(PROMISED, changed(complete))) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(lambda info: info.pop("EDTalkOther"), "the node is gone", id="node gone"),
        pytest.param(lambda info: rename(info, "fps", "rate"), "widgets were fps,", id="widget renamed"),
        pytest.param(lambda info: rename(info, "portrait", "face"), "sockets were portrait,", id="socket renamed"),
        pytest.param(lambda info: remove(info, "length"), "widgets were", id="widget gone"),
        pytest.param(lambda info: remove(info, "note", "optional"), "widgets were", id="last widget gone"),
        pytest.param(lambda info: add(info, "fps", remove(info, "fps")), "widgets were", id="reordered"),
        pytest.param(
            lambda info: add(info, "new", ["INT", {"default": 1}]), "widgets were", id="before the optional widgets"
        ),
        pytest.param(lambda info: add(info, "new", ["IMAGE", {}]), "sockets were", id="before the optional sockets"),
        pytest.param(
            lambda info: [remove(info, "note", "optional"), add(info, "note", ["STRING", {}])],
            "note: was optional and is required",
            id="required, without a default",
        ),
        pytest.param(
            lambda info: [remove(info, "lip", "optional"), add(info, "lip", ["EDTALK_MOTION", {}])],
            "lip: was optional and is required",
            id="socket required",
        ),
        pytest.param(
            lambda info: info["EDTalkRender"]["input"]["required"].update(portrait=["IMAGE", {}]),
            "portrait: was of type EDTALK_PORTRAIT and is IMAGE",
            id="another type",
        ),
        pytest.param(lambda info: details(info, "fps").update(forceInput=True), "widgets were", id="widget to socket"),
        pytest.param(
            lambda info: details(info, "seed").pop("control_after_generate"), "seed: its widget for", id="second widget"
        ),
        pytest.param(lambda info: details(info, "fps").update(min=5.0), "minimum rose from 1.0 to 5.0", id="minimum"),
        pytest.param(lambda info: details(info, "fps").update(max=60.0), "maximum fell", id="maximum"),
        pytest.param(lambda info: details(info, "fps").pop("default"), "fps: has no default", id="default gone"),
        pytest.param(
            lambda info: details(info, "length").update(options=["auto"]), "lost the options ['frames']", id="option"
        ),
        pytest.param(
            lambda info: info["EDTalkRender"].update(output=["STRING", "VIDEO"]), "outputs were VIDEO", id="outputs"
        ),
        pytest.param(
            lambda info: info["EDTalkRender"].update(output=["VIDEO"], output_is_list=[False]),
            "outputs were",
            id="gone",
        ),
        pytest.param(
            lambda info: info["EDTalkRender"].update(output_is_list=[False, True]), "list of STRING", id="list output"
        ),
    ],
)
def test_what_breaks_workflows_is_seen(change: Change, said: str):
    assert said in "\n".join(breaches(PROMISED, changed(change)))


def test_a_required_socket_at_the_end_needs_what_no_workflow_has():
    info = copy.deepcopy(OBJECT_INFO)
    for name in ("lip", "note"):
        remove(info, name, "optional")
    promised = contract_of(info)
    add(info, "new", ["IMAGE", {}])
    assert list(breaches(promised, contract_of(info))) == [
        "EDTalkRender: new: a new input must have a default or be optional"
    ]


def test_files_on_disk_are_no_part_of_it():
    info = copy.deepcopy(OBJECT_INFO)
    details(info, "length").update(options=["mine.safetensors", "auto", "frames"], default="mine.safetensors")
    length = contract_of(info, files=["mine.safetensors"])["EDTalkRender"]["widgets"][1]
    assert length["options"] == ["auto", "frames"]
    assert "default" not in length
