"""The scripts of the live editors that know nothing of the editor, run by Node.js: texts, drags, snapping, history."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from edtalk_core.motion.edits import parse_edit
from edtalk_core.motion.performances import format_performance, parse_performance
from edtalk_core.motion.presets import EMOTIONS

SCRIPTS = Path(__file__).resolve().parents[2] / "nodes/web/live"
NODE = shutil.which("node")

with_node = pytest.mark.skipif(NODE is None, reason="the scripts are run by Node.js, which is not there")


def run(script: str, **values: Any) -> Any:
    """The value of an expression with everything that edit.js and performance.js export, and these values."""
    imports = "\n".join(f'import * as {name} from "{SCRIPTS}/{name}.js";' for name in ("edit", "performance"))
    names = "\n".join(f"const {name} = {json.dumps(value)};" for name, value in values.items())
    code = f"{imports}\n{names}\nconsole.log(JSON.stringify({script}));"
    assert NODE is not None
    done = subprocess.run([NODE, "--input-type=module", "-e", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@with_node
def test_an_edit_written_by_the_script_is_read_by_the_library():
    edit = {"presets": {"happy": 0.5}, "expression": {"smile": 1.25, "lids": 0}, "pose": {"yaw": -3}}
    text = run("edit.formatEdit(value)", value=edit)
    assert parse_edit(text).presets == {"happy": 0.5}
    assert parse_edit(text).changes == {"expression": {"smile": 1.25}, "pose": {"yaw": -3}}
    assert run("edit.parseEdit(text)", text=text) == {
        "presets": {"happy": 0.5}, "expression": {"smile": 1.25}, "pose": {"yaw": -3}
    }  # fmt: skip
    assert run('[edit.formatEdit({}), edit.parseEdit("{"), edit.parseEdit("[]")]') == ["", None, None]


@with_node
def test_a_performance_written_by_the_script_is_read_by_the_library():
    text = format_performance(
        parse_performance(
            json.dumps(
                {
                    "format": "edtalk-performance",
                    "format_version": 1,
                    "emotions": "0:00 own\n0:01.5 happy:0.8 ease-in-out  # here\n2 sad",
                    "head": [{"time": 1, "yaw": 2.5, "easing": "ease-in"}],
                    "blinks": [0.8],
                    "mouth": [{"time": 3, "gain": 0.5}],
                }
            )
        )
    )
    again = run("performance.formatPerformance(performance.parsePerformance(text))", text=text)
    read, first = parse_performance(again), parse_performance(text)
    assert (read.blinks, [(key.time, key.value) for key in read.mouth]) == (first.blinks, [(3.0, 0.5)])
    assert [(key.time, dict(key.value), key.easing) for key in read.head] == [(1.0, {"yaw": 2.5}, "ease-in")]
    assert read.emotions.split("\n") == ["0 own", "1.5 happy:0.8 ease-in-out", "2 sad"]
    assert run("performance.formatPerformance(performance.emptyPerformance())") == ""


@with_node
def test_a_drag_moves_a_point_where_the_hand_goes():
    controls = [{"track": "expression", "name": name, "reach": 5} for name in ("smile", "stretch", "noise")]
    handle = {
        "name": "corner",
        "x": 0,
        "y": 0,
        "drags": [0, 1, 2],
        "effects": [[0.008, -0.01], [0.005, 0.001], [0.001, 0]],
    }
    changes = run(
        "edit.dragChanges(handle, controls, 0.02, -0.02).map(([, change]) => change)", handle=handle, controls=controls
    )
    moved = [
        sum(change * effect[axis] for change, effect in zip(changes, handle["effects"], strict=True)) for axis in (0, 1)
    ]
    assert moved == pytest.approx([0.02, -0.02], rel=0.35)
    assert changes[0] > 1
    assert abs(changes[2]) < 0.05
    edit = run("edit.withChanges({}, [[controls[0], 9]])", controls=controls)
    assert edit == {"expression": {"smile": 5}}  # within its reach


@with_node
def test_times_snap_to_words_and_else_to_frames():
    words = [[0.31, 0.77, "well"], [1.0, 1.402, "done"]]
    times = [0.3, 0.6, 1.41, -1]
    assert run("times.map(time => performance.snap(time, 25, words, 0.05))", times=times, words=words) == [
        0.31, 0.6, 1.402, 0
    ]  # fmt: skip


@with_node
def test_history_goes_back_and_forth():
    script = """(() => {
        const history = new edit.History("");
        for (const text of ["a", "b", "b", "c"]) history.push(text);
        const back = [history.undo(), history.undo(), history.redo()];
        history.push("d");
        return [back, history.canRedo, history.undo(), history.texts];
    })()"""
    assert run(script) == [["b", "a", "b"], False, "b", ["", "a", "b", "d"]]


def test_every_text_of_the_editors_is_in_chinese_too():
    texts = (SCRIPTS / "texts.js").read_text(encoding="utf-8")
    known = dict(re.findall(r'^  "(.*?)": "(.*?)",$', texts, re.MULTILINE))
    told = set()
    for script in SCRIPTS.glob("*.js"):
        told |= set(re.findall(r'tell\("(.*?)"', script.read_text(encoding="utf-8")))
    assert told - set(known) == set()
    assert set(EMOTIONS) - set(known) == set()
    assert all(re.search("[\u4e00-\u9fff]", translation) for translation in known.values())
    assert all(english.count("{}") == chinese.count("{}") for english, chinese in known.items())
