"""Controls of a face, and the preview service: what it renders, what it drops, what it refuses, what it holds."""

from __future__ import annotations

import io
import json
import threading
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from edtalk_core.builtin_files import builtin_file
from edtalk_core.checkpoints import load_model
from edtalk_core.live.controls import HANDLES, UNNAMED, Controls, measure_controls
from edtalk_core.live.scenes import EditScene, PerformanceScene
from edtalk_core.live.service import MAX_CLIENTS, LiveService, Refusal
from edtalk_core.media.audio import Audio
from edtalk_core.media.picture import read_picture
from edtalk_core.model import EDTalk, Portrait
from edtalk_core.motion.bases import Bases
from edtalk_core.motion.length import length_of_duration
from edtalk_core.motion.motion import Motion
from edtalk_core.portrait import portrait_from_picture
from edtalk_core.rendering import Renderer
from edtalk_core.sources.performance import Performer

KEY = {"graph": "g", "node": "7"}


@pytest.fixture(scope="module")
def demo() -> EDTalk:
    return load_model("demo")


@pytest.fixture(scope="module")
def portrait(demo: EDTalk) -> Portrait:
    return portrait_from_picture(demo, read_picture(builtin_file("examples/generated.jpg")))[0]


@pytest.fixture(scope="module")
def controls(demo: EDTalk, portrait: Portrait) -> Controls:
    return measure_controls(demo, portrait, Renderer(demo, portrait))


@pytest.fixture
def scene(demo: EDTalk, portrait: Portrait, controls: Controls) -> EditScene:
    return EditScene(demo, portrait, "fp32", controls, model_name="demo")


@pytest.fixture
def service(scene: EditScene) -> LiveService:
    service = LiveService(busy=lambda: False)
    service.leave(("g", "7"), scene)
    return service


def edit(**parts: Any) -> str:
    return json.dumps({"format": "edtalk-edit", "format_version": 1, **parts})


def frame_request(number: int = 1, text: str = "", **fields: Any) -> dict[str, Any]:
    return {**KEY, "client": "c", "number": number, "text": text, "seconds": 0, **fields}


def psnr(jpeg: bytes, picture: np.ndarray) -> float:
    shown = np.asarray(Image.open(io.BytesIO(jpeg))).astype(float)
    return 10 * np.log10(255**2 / np.mean((shown - picture) ** 2))


def test_the_controls_are_the_bases_with_names(demo: EDTalk, controls: Controls):
    names = [(control.track, control.name) for control in controls.controls]
    assert names == [(track, name) for track in ("lip", "pose", "expression") for name in demo.bases.names(track)]
    assert all(control.strength > 0.1 for control in controls.controls)


def test_the_points_of_the_face_move_as_the_frame_does(
    demo: EDTalk, portrait: Portrait, controls: Controls, scene: EditScene
):
    handles = {handle.name: handle for handle in controls.handles}
    assert set(handles) == set(HANDLES)
    order = [control.name for control in controls.controls]
    assert handles["head"].effects[order.index("x")][0] > 0.005
    assert handles["left lid"].effects[order.index("lids")][1] > 0.002
    assert order.index("lids") in handles["left lid"].drags
    assert order.index("smile") in handles["left corner"].drags
    rest, moved = scene.positions(scene.motion("")), scene.positions(scene.motion(edit(pose={"x": 3})))
    head = [handle.name for handle in controls.handles].index("head")
    assert (moved - rest)[head][0] == pytest.approx(3 * handles["head"].effects[order.index("x")][0], abs=1e-6)


def test_without_names_the_strongest_bases_are_controls(demo: EDTalk, portrait: Portrait, monkeypatch):
    monkeypatch.setattr(demo, "bases", Bases())
    controls = measure_controls(demo, portrait, Renderer(demo, portrait)).controls
    for track, count in UNNAMED.items():
        strengths = [control.strength for control in controls if control.track == track]
        assert len(strengths) == count
        assert strengths == sorted(strengths, reverse=True)
    assert all(control.name == str(control.base) for control in controls)


def test_the_previewed_frame_is_the_rendered_one(service: LiveService, scene: EditScene, portrait: Portrait, demo):
    text = edit(expression={"smile": 2, "lids": 1.5}, pose={"yaw": 4})
    request = frame_request(text=text)
    service.announce(request)
    frame = service.frame(request)
    (rendered,) = Renderer(demo, portrait, precision="fp32").pictures(scene.motion(text))
    assert psnr(frame.jpeg, rendered) > 40
    (rest,) = Renderer(demo, portrait, precision="fp32").pictures(portrait.own)
    assert psnr(frame.jpeg, rest) < 35
    assert len(frame.handles.split(";")) == len(HANDLES)


def test_at_five_times_of_a_performance_too(demo: EDTalk, portrait: Portrait, controls: Controls):
    performer = Performer(demo, portrait, None, {}, length_of_duration(4.0, 25))
    sound = Audio(np.zeros((2, 4 * 44_100), np.float32), 44_100)
    scene = PerformanceScene(performer, "fp32", controls, sound)
    service = LiveService(busy=lambda: False)
    service.leave(("g", "7"), scene)
    text = json.dumps(
        {
            "format": "edtalk-performance",
            "format_version": 1,
            "emotions": "0 own; 1 happy ease-in-out; 2 happy; 3 surprised",
            "head": [{"time": 1}, {"time": 1.4, "pitch": 4}, {"time": 2}],
            "blinks": [0.48, 2.6],
        }
    )
    rendered = list(Renderer(demo, portrait, precision="fp32").pictures(performer_motion(performer, text)))
    assert len(rendered) == 100
    for number, seconds in enumerate((0.0, 0.48, 1.41, 2.6, 3.99)):
        frame = service.frame(frame_request(number, text, seconds=seconds))
        assert psnr(frame.jpeg, rendered[int(seconds * 25)]) > 40
    assert service.sound(dict(KEY))[:4] == b"RIFF"
    assert service.describe(dict(KEY))["duration"] == 4


def performer_motion(performer: Performer, text: str) -> Motion:
    from edtalk_core.motion.performances import parse_performance

    return performer.perform(parse_performance(text))


def test_the_newest_request_wins(service: LiveService):
    for number in range(1, 6):
        service.announce(frame_request(number))
    assert [service.frame(frame_request(number)) is not None for number in range(1, 6)] == [False] * 4 + [True]
    assert service.dropped == 4
    assert service.frame(frame_request(1, client="another")) is not None


def test_clients_are_forgotten(service: LiveService):
    for client in range(10 * MAX_CLIENTS):
        service.announce(frame_request(client=str(client)))
    assert len(service._entries["g", "7"].newest) == MAX_CLIENTS


def test_nothing_is_rendered_while_the_graph_runs(scene: EditScene):
    running = True
    service = LiveService(busy=lambda: running)
    service.leave(("g", "7"), scene)
    with pytest.raises(Refusal, match="running") as refused:
        service.frame(frame_request())
    assert refused.value.status == 423
    running = False
    assert service.frame(frame_request()) is not None


def test_before_the_first_run_there_is_nothing(service: LiveService):
    for ask in (service.frame, service.announce):
        with pytest.raises(Refusal, match="run the graph once") as refused:
            ask(frame_request(node="8"))
        assert refused.value.status == 409
    with pytest.raises(Refusal) as refused:
        service.sound(dict(KEY))
    assert refused.value.status == 409


def test_the_oldest_scenes_give_way(scene: EditScene, demo: EDTalk, portrait: Portrait, controls: Controls):
    def other() -> EditScene:
        again = Portrait(portrait.latent.clone(), tuple(f.clone() for f in portrait.features), portrait.own)
        return EditScene(demo, again, "fp32", controls)

    service = LiveService(busy=lambda: False)
    service.leave(("g", "0"), scene)
    alone = service.bytes_held()
    service.leave(("g", "0"), scene)
    assert service.bytes_held() == alone
    service.leave(("g", "1"), other())
    one = service.bytes_held() - alone
    assert 0 < one < alone  # the model is counted once
    limited = LiveService(busy=lambda: False, limit=alone + 2 * one)
    for node in range(10):
        limited.leave(("g", str(node)), other())
    assert limited.bytes_held() <= alone + 2 * one
    assert limited.evictions > 5
    assert limited.scene(("g", "9")) is not None
    assert limited.scene(("g", "0")) is None


def test_the_last_scene_is_kept_whatever_it_takes(scene: EditScene):
    service = LiveService(busy=lambda: False, limit=1)
    service.leave(("g", "7"), scene)
    assert service.frame(frame_request()) is not None


def test_a_face_is_saved_as_a_preset(service: LiveService, scene: EditScene):
    text = edit(expression={"corner": 2})
    preset = service.preset({**KEY, "text": text, "name": "crooked_smile"})
    assert preset.weights == tuple(scene.motion(text).track("expression")[0].tolist())
    assert (preset.name, preset.model) == ("crooked_smile", "demo")
    for name in ("../up", "a/b", "", "two words", "x" * 65, "own\0", "-x", 7):
        with pytest.raises(Refusal) as refused:
            service.preset({**KEY, "text": text, "name": name})
        assert refused.value.status == 400


@pytest.mark.parametrize(
    "change",
    [
        {"graph": 1},
        {"graph": "g" * 201},
        {"graph": "g\0"},
        {"node": ""},
        {"node": None},
        {"client": ""},
        {"number": -1},
        {"number": True},
        {"number": 1.5},
        {"number": 2**53},
        {"text": None},
        {"text": "x" * (1 << 21)},
        {"seconds": -1},
        {"seconds": 1e9},
        {"seconds": float("nan")},
        {"seconds": "0"},
        {"seconds": 10**400},
        {"path": "/etc/passwd"},
    ],
    ids=str,
)
def test_every_field_is_checked(service: LiveService, change: dict[str, Any]):
    with pytest.raises(Refusal) as refused:
        service.frame(frame_request(**change))
    assert refused.value.status == 400


@pytest.mark.parametrize("request_", [None, [], "x", 3, {}, KEY])
def test_requests_are_objects_of_all_fields(service: LiveService, request_: object):
    with pytest.raises(Refusal) as refused:
        service.frame(request_)
    assert refused.value.status == 400


def test_a_wrong_edit_says_why(service: LiveService):
    with pytest.raises(Refusal, match="Did you mean smile") as refused:
        service.frame(frame_request(text=edit(expression={"smil": 1})))
    assert refused.value.status == 422


def test_many_threads_may_ask(service: LiveService):
    answers: list[object] = []

    def ask(number: int) -> None:
        request = frame_request(number, edit(expression={"smile": number / 10}))
        service.announce(request)
        answers.append(service.frame(request))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 12
    assert any(answer is not None for answer in answers)


def test_it_follows_the_model(service: LiveService, demo: EDTalk):
    assert service.frame(frame_request()) is not None
    first = service._renderer
    assert service.frame(frame_request()) is not None
    assert service._renderer is first
    assert first is not None
    assert first[1] == demo.device == torch.device("cpu")
