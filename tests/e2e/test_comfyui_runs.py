"""Prompts of the API, run in a real ComfyUI: what comes out, what is refused, Cancel, and memory."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from comfy_server import Client, ComfyServer, Rejected
from graphs import Prompt, dub, node, talk, write_speech
from videos import mouth_motion, read_video

from edtalk_core.motion.files import save_motion
from edtalk_core.motion.motion import Motion

pytestmark = pytest.mark.slow

MB = 1e6


@pytest.fixture(scope="module")
def big_model(server: ComfyServer) -> str:
    """The name of a model of the published size in models/edtalk, in half precision: 230 MB in memory."""
    import torch

    from edtalk_core.bench import random_model
    from edtalk_core.checkpoints.bundle import write_bundle
    from edtalk_core.networks.audio_to_lip import AudioToLip

    torch.manual_seed(0)
    model = random_model("edtalk")
    model.audio_to_lip = AudioToLip().eval()
    name = "big.safetensors"
    write_bundle(server.base / "models/edtalk" / name, model, dtype=torch.float16)
    return name


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> bool:
    """Whether a condition comes true within some seconds."""
    latest = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > latest:
            return False
        time.sleep(0.2)
    return True


@pytest.fixture
def talking(client: Client, server: ComfyServer) -> Path:
    """The example portrait saying the example speech."""
    run = client.run(talk("speech.flac"), workflow={"nodes": [], "extra": {"made": "by a test"}})
    assert run.status == "success", run.error
    (path,) = run.files(server)
    return path


def test_a_portrait_talks(talking: Path):
    video = read_video(talking)
    assert video.frames.shape == (180, 256, 256, 3)
    assert video.fps == 25
    assert video.sound_seconds == pytest.approx(7.2, abs=0.05)
    assert video.loudest > 0.1
    mouth = mouth_motion(video.frames)
    assert mouth.opening.std() > 0.006
    assert mouth.inside > 1.5 * mouth.around
    assert json.loads(video.tags["workflow"])["extra"] == {"made": "by a test"}
    assert json.loads(video.tags["prompt"])["render"]["class_type"] == "EDTalkRenderVideo"


def test_without_lips_and_sound_the_mouth_keeps_still(client: Client, server: ComfyServer):
    prompt = talk("short.wav", length="frames", frames=20)
    del prompt["render"]["inputs"]["lip"], prompt["render"]["inputs"]["audio"]
    (path,) = client.run(prompt).files(server)
    video = read_video(path)
    assert len(video.frames) == 20
    assert video.sound_seconds == 0
    assert mouth_motion(video.frames).opening.std() < 0.0014


@pytest.mark.parametrize("format", ["mov", "mkv"])
def test_other_containers_hold_the_same(client: Client, server: ComfyServer, format: str):
    run = client.run(talk("short.wav", format=format, fps=30.0, filename_prefix=f"deep/er/{format}"))
    (path,) = run.files(server)
    assert path.relative_to(server.base / "output") == Path(f"deep/er/{format}_00001_.{format}")
    video = read_video(path)
    assert (len(video.frames), video.fps) == (60, 30)
    assert "prompt" in {tag.lower() for tag in video.tags}


def test_frames_go_on_into_core_nodes(client: Client, server: ComfyServer):
    prompt = talk("short.wav", render="EDTalkRenderFrames")
    prompt["create"] = {
        "class_type": "CreateVideo",
        "inputs": {"images": ["render", 0], "audio": ["render", 1], "fps": ["render", 2]},
    }
    prompt["save"] = {
        "class_type": "SaveVideo",
        "inputs": {"video": ["create", 0], "filename_prefix": "core", "format": "mp4", "codec": "h264"},
    }
    (path,) = client.run(prompt).files(server)
    video = read_video(path)
    assert video.frames.shape == (50, 256, 256, 3)
    assert video.sound_seconds == pytest.approx(2, abs=0.05)


def test_previews_and_an_estimate_are_shown(client: Client):
    run = client.run(talk("speech.flac", fps=15.0, filename_prefix="shown"))
    kinds = {kind for _, kind, _ in run.messages}
    assert "preview" in kinds
    done = [data["value"] for _, kind, data in run.messages if kind == "progress" and data["node"] == "render"]
    assert done == sorted(done)
    assert done[-1] == 108
    assert any("left" in text for text in run.texts())
    assert run.texts()[-1] == "Saved 108 frames, 7.2 s as shown_00001_.mp4"


def test_cancel_stops_within_a_second_and_leaves_what_is_done(client: Client, server: ComfyServer):
    asked, stopped = [], []

    def listen(kind, data):
        now = time.monotonic(), server.busy()
        if kind == "progress" and data["node"] == "render" and data["value"] > 20 and not asked:
            asked.extend(now)
            client.interrupt()
        elif kind == "execution_interrupted":
            stopped.extend(now)

    run = client.wait(client.queue(talk("speech.flac", fps=100.0, filename_prefix="cancelled")), listen=listen)
    assert run.status == "interrupted"
    assert run.error["node_id"] == "render"
    # By the clock, or where other programs are busy, by the time it was given.
    assert min(after - before for before, after in zip(asked, stopped, strict=True)) < 1
    (partial,) = (server.base / "output").glob("cancelled*")
    assert "partial" in partial.name
    assert any(partial.name in text for text in run.texts())
    frames = len(read_video(partial).frames)
    assert 20 < frames < 720

    again = client.run(talk("short.wav", filename_prefix="after"))
    assert again.status == "success"
    assert len(read_video(again.files(server)[0]).frames) == 50


def test_a_dub_counts_all_its_parts_and_when_cancelled_says_where_the_rest_lies(client: Client, server: ComfyServer):
    done = [0.0]

    def listen(kind, data):
        if kind == "progress" and data["node"] == "dub":
            done.append(data["value"] / data["max"])
            if done[-1] > 0.6 and done[-2] <= 0.6:
                client.interrupt()

    run = client.wait(client.queue(dub(filename_prefix="cancelled_dub")), listen=listen)
    assert run.status == "interrupted", run.error
    assert done == sorted(done)
    assert any(re.match(r"Following the face: \d+ of 146 frames, .* left in all", text) for text in run.texts())
    assert any(re.match(r"Rendering: \d+ of 146 frames, .* left in all", text) for text in run.texts())
    (partial,) = (server.base / "output").glob("cancelled_dub*")
    frames = len(read_video(partial).frames)
    assert 0 < frames < 146
    assert run.texts()[-1] == f"{frames} frames kept in {partial}"


def test_a_video_without_sound_is_told_in_a_sentence(client: Client, server: ComfyServer):
    from edtalk_core.media.video_writer import VideoWriter

    with VideoWriter(server.base / "input/silent.mp4", 25, (64, 64)) as writer:
        for _ in range(5):
            writer.write(np.zeros((64, 64, 3), np.uint8))
    prompt = talk("short.wav")
    prompt["sound"] = node("LoadVideo", file="silent.mp4")
    prompt["parts"] = node("GetVideoComponents", video=["sound", 0])
    prompt["features"]["inputs"]["audio"] = ["parts", 1]
    run = client.run(prompt)
    assert run.status == "error"
    assert run.error["node_id"] == "features"
    assert run.error["exception_type"] == "edtalk.AudioError"
    assert run.error["exception_message"].startswith(
        "There is no sound: the video or list that audio comes from has none"
    )


@pytest.mark.parametrize(
    ("change", "type_", "name"),
    [
        ({"fps": 0.5}, "value_smaller_than_min", "fps"),
        ({"fps": 500}, "value_bigger_than_max", "fps"),
        ({"frames": 0}, "value_smaller_than_min", "frames"),
        ({"frames": "many"}, "invalid_input_type", "frames"),
        ({"lip": ["model", 0]}, "return_type_mismatch", "lip"),
        ({"portrait": ["lip", 0]}, "return_type_mismatch", "portrait"),
        ({"portrait": None}, "required_input_missing", "portrait"),
        ({"format": None}, "required_input_missing", "format"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_before_it_runs(client: Client, server: ComfyServer, change, type_, name):
    prompt = talk("short.wav", **change)
    inputs = prompt["render"]["inputs"]
    prompt["render"]["inputs"] = {key: value for key, value in inputs.items() if value is not None}
    before = len(server.log())
    with pytest.raises(Rejected) as refused:
        client.queue(prompt)
    assert refused.value.error["type"] == "prompt_outputs_failed_validation"
    assert refused.value.reasons() == {"render": [(type_, name)]}
    assert "Traceback" not in server.log()[before:]


@pytest.mark.parametrize(
    ("node", "change", "said"),
    [
        ("render", {"length": "pose"}, r'The length is to be that of "pose", which is not plugged in'),
        ("portrait", {"box": "1 2 3"}, r"A box is four numbers"),
        ("portrait", {"batch_index": 1}, r"There is no image 1 in a batch of 1"),
        ("portrait", {"face": 3}, r"face"),
    ],
    ids=str,
)
def test_what_fails_while_it_runs_says_what_to_do(client: Client, node, change, said):
    prompt = talk("short.wav")
    prompt[node]["inputs"] |= change
    run = client.run(prompt)
    assert run.status == "error"
    assert run.error["node_id"] == node
    assert run.error["exception_type"].startswith("edtalk.")
    assert re.search(said, run.error["exception_message"])


@pytest.mark.parametrize(
    ("change", "said"),
    [({"length": "no such"}, r"choose another length \(auto, audio"), ({"format": "exe"}, r"as \.mp4, \.mov, \.mkv")],
    ids=str,
)
def test_a_choice_that_is_none_is_refused_by_comfyui_or_by_us(client: Client, change, said):
    """By ComfyUI before it runs, in versions that look such values up in the list."""
    reason = reason_of_failure(client, talk("short.wav", **change))
    assert re.search(rf"{said}|{next(iter(change))}: .* not in \[", reason)


def reason_of_failure(client: Client, prompt: Prompt) -> str:
    """Why a prompt is not queued, or why it fails when it is."""
    try:
        run = client.run(prompt)
    except Rejected as refused:
        return str(refused)
    assert run.status == "error"
    return run.error["exception_message"]


@pytest.mark.parametrize("name", ["gone.safetensors", 7, {"name": "gone.safetensors"}], ids=str)
def test_a_model_that_is_not_on_this_machine_is_told_where_to_put(client: Client, server: ComfyServer, name):
    before = len(server.log())
    with pytest.raises(Rejected) as refused:
        client.queue(talk("short.wav", model=name))
    assert refused.value.reasons() == {"model": [("custom_validation_failed", "model")]}
    (error,) = refused.value.node_errors["model"]["errors"]
    assert "is not on this machine; put the file into" in error["details"]
    assert str(server.base / "models/edtalk") in error["details"]
    assert "Traceback" not in server.log()[before:]


@pytest.mark.parametrize(
    ("track", "loader"),
    [
        ("pose", node("EDTalkLoadMotion", file="gone.json", path="")),
        (
            "expression",
            node("EDTalkLoadPreset", portrait=["portrait", 0], file="gone.json", path="", name="", strength=1),
        ),
    ],
    ids=["motion", "preset"],
)
def test_a_motion_or_preset_that_is_not_on_this_machine_is_told_where_to_put(client: Client, track, loader):
    prompt = talk("short.wav", **{track: ["file", 0]}) | {"file": loader}
    with pytest.raises(Rejected) as refused:
        client.queue(prompt)
    assert refused.value.reasons() == {"file": [("custom_validation_failed", "file")]}
    (error,) = refused.value.node_errors["file"]["errors"]
    assert "is not on this machine. Put it into ComfyUI's input folder" in error["details"]


@pytest.mark.parametrize("there", [True, False], ids=["there", "absent"])
@pytest.mark.parametrize("name", ["../../x.json [output]", "../../x.json [models]", "../../x.json", "link.json"])
def test_a_workflow_reaches_no_other_file_of_the_server(
    client: Client, server: ComfyServer, tmp_path: Path, name: str, there: bool
):
    """The same sentence whether a file is there or not, for names of the list; and for paths that are typed."""
    secret = tmp_path / "x.json"
    if there:
        save_motion(Motion(lip=torch.zeros(3, 20)), secret)
    if name == "link.json":
        link = server.base / "input/link.json"
        link.unlink(missing_ok=True)
        link.symlink_to(secret)
    else:
        suffix = re.search(r" \[.*\]$", name)
        folder = {" [output]": "output", " [models]": "models/edtalk"}.get(suffix[0] if suffix else "", "input")
        name = os.path.relpath(secret, server.base / folder) + (suffix[0] if suffix else "")
    prompt = talk("short.wav", pose=["file", 0]) | {"file": node("EDTalkLoadMotion", file=name, path="")}
    with pytest.raises(Rejected) as refused:
        client.queue(prompt)
    (error,) = refused.value.node_errors["file"]["errors"]
    assert error["details"].endswith(
        f"The motion file {name!r} is not on this machine. Put it into ComfyUI's input folder and choose it again, or "
        "choose another."
    )
    for typed in (str(secret), os.path.relpath(secret, server.base / "input")):
        prompt["file"] = node("EDTalkLoadMotion", file="from path", path=typed)
        run = client.run(prompt)
        assert run.status == "error"
        assert run.error["exception_message"].strip() == (
            f"The motion file {typed!r} is outside ComfyUI's input, output, temp and models/edtalk folders, so it is "
            "not looked for. Copy it into one of them, or let the server's owner name its folder in the environment "
            "variable EDTALK_EXTRA_FOLDERS."
        )


def test_a_picture_without_a_face_says_so(client: Client, server: ComfyServer):
    from PIL import Image

    Image.fromarray(np.random.default_rng(0).integers(0, 60, (256, 256, 3), np.uint8)).save(
        server.base / "input/noise.png"
    )
    prompt = talk("short.wav")
    prompt["picture"]["inputs"]["image"] = "noise.png"
    run = client.run(prompt)
    assert run.status == "error"
    assert "FaceError" in run.error["exception_type"]
    assert "box" in run.error["exception_message"]


def test_two_models_in_a_row_and_memory_is_given_back(client: Client, server: ComfyServer, big_model: str):
    def resident_after(model: str) -> int:
        run = client.run(talk("short.wav", model, length="frames", frames=4, filename_prefix="models"))
        assert run.status == "success", run.error
        return server.resident()

    demo = resident_after("demo (built in)")
    big = resident_after(big_model)
    assert big - demo > 150 * MB, "the big model must be in memory for this test to mean something"
    assert resident_after("demo (built in)") - demo < 60 * MB
    assert resident_after(big_model) - big < 60 * MB
    client.free()
    assert wait_for(lambda: server.resident() - demo < 30 * MB), (demo, big, server.resident())


def most_resident(client: Client, server: ComfyServer, prompt: dict) -> int:
    """The most memory that the server holds while it runs a prompt, in bytes."""
    most = server.resident()

    def listen(_kind, _data):
        nonlocal most
        most = max(most, server.resident())

    run = client.wait(client.queue(prompt), 2 * 3600, listen)
    assert run.status == "success", run.error
    return most


def test_memory_does_not_grow_with_the_number_of_frames(client: Client, server: ComfyServer):
    """Kept, 400 frames would take 79 MB as bytes, and four times that as floats."""
    few, many = (
        most_resident(client, server, talk("short.wav", filename_prefix="long", length="frames", frames=frames))
        for frames in (25, 400)
    )
    assert many - few < 40 * MB


def test_ten_minutes_cost_at_most_500_mb(client: Client, server: ComfyServer, request: pytest.FixtureRequest):
    """15,000 frames with --long; without it 600, since it is the sound that is held whole and the frames are not."""
    write_speech(server.base / "input/ten_minutes.wav", 600)
    client.run(talk("short.wav", filename_prefix="ten"))
    before = server.resident()
    fps = 25.0 if request.config.getoption("long") else 1.0
    prompt = talk("ten_minutes.wav", fps=fps, filename_prefix="ten")
    assert most_resident(client, server, prompt) - before < 500 * MB
