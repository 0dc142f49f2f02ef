"""Workflows in ComfyUI's own editor, in a browser: those that ship, and those that older versions of the pack saved."""

from __future__ import annotations

import json
import urllib.error
from pathlib import Path

import numpy as np
import pytest
from comfy_server import ComfyServer
from front_end import FrontEnd
from templates import (
    HAS_CHECKPOINT,
    VIDEOS,
    WORKFLOWS,
    provide_models,
    read_workflow,
    use_example_for_checkpoint,
)
from videos import mouth_motion, read_video

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
SAVED = sorted((ROOT / "tests/data/workflows").glob("*/*.json"))
WITH_UPSCALER = [path for path in WORKFLOWS if "UpscaleModelLoader" in path.read_text(encoding="utf-8")]
SECONDS = 1800
"""Until a workflow that has not ended counts as hung."""


def name(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def test_there_are_workflows():
    assert WORKFLOWS
    assert SAVED


@pytest.fixture
def opened(request: pytest.FixtureRequest, editor: FrontEnd, server: ComfyServer) -> FrontEnd:
    """The editor with a workflow in it, from the parameter; what it needs of model files lies in the folders."""
    workflow = read_workflow(request.param)
    provide_models(workflow, server)
    editor.load(workflow)
    return editor


@pytest.mark.parametrize("opened", WORKFLOWS, ids=name, indirect=True)
def test_a_workflow_runs_as_it_ships(opened: FrontEnd, server: ComfyServer):
    complain_not(opened)
    if opened.page.evaluate(HAS_CHECKPOINT):
        # The whole graph is valid, were the checkpoint there; what follows it is run with a picture in its place.
        validate(opened, server)
        use_example_for_checkpoint(opened)
    run = opened.run(SECONDS)
    assert run.status == "success", run.error.get("exception_message")
    shown = {node["id"] for node in opened.nodes() if node["output"] and not node["bypassed"]}
    assert {str(node) for node in shown} <= set(run.outputs)
    files = run.files(server)
    assert files
    for path in files:
        if path.suffix in VIDEOS:
            check_video(path)
        else:
            check_picture(path)
    complain_not(opened)


@pytest.mark.any_renderer
@pytest.mark.parametrize("opened", SAVED, ids=name, indirect=True)
def test_a_workflow_of_an_older_version_still_loads(opened: FrontEnd, server: ComfyServer):
    complain_not(opened)
    validate(opened, server)


@pytest.mark.any_renderer
@pytest.mark.parametrize("opened", WITH_UPSCALER, ids=name, indirect=True)
def test_an_upscale_model_can_be_switched_on(opened: FrontEnd, server: ComfyServer):
    opened.page.evaluate(
        """() => {
            for (const node of window.app.graph.nodes) {
                if (node.type.includes("Upscale")) node.mode = 0;
                if (node.type.startsWith("EDTalkRender"))  // some frames show it as well as all
                    for (const [name, value] of [["length", "frames"], ["frames", 30]])
                        node.widgets.find(widget => widget.name === name).value = value;
            }
        }"""
    )
    run = opened.run(SECONDS)
    assert run.status == "success", run.error.get("exception_message")
    videos = [path for path in run.files(server) if path.suffix in VIDEOS]
    assert videos
    for path in videos:
        check_video(path)


@pytest.mark.any_renderer
def test_a_missing_node_is_seen(editor: FrontEnd):
    workflow = read_workflow(WORKFLOWS[0])
    node = next(one for one in workflow["nodes"] if one["type"] == "EDTalkRenderVideo")
    node["type"] = node["properties"]["Node name for S&R"] = "EDTalkNoSuchNode"
    editor.load(workflow)
    with pytest.raises(AssertionError, match="EDTalkNoSuchNode"):
        complain_not(editor)


def complain_not(editor: FrontEnd) -> None:
    """The editor knows all nodes, shows no dialog, and no exception was thrown in its page."""
    assert [node["type"] for node in editor.nodes() if not node["known"]] == []
    assert editor.dialogs() == []
    assert editor.problems == []


def check_video(path: Path) -> None:
    """A video of a face that moves its mouth, with as much sound as picture."""
    video = read_video(path)
    assert len(video.frames) > 25
    assert min(video.frames.shape[1:3]) >= 256
    assert video.sound_seconds == pytest.approx(video.seconds, abs=0.1)
    assert video.loudest > 0.05
    assert json.loads(video.tags["workflow"])["nodes"]
    assert mouth_motion(video.frames).opening.std() > 0.002


def check_picture(path: Path) -> None:
    """A picture with something on it."""
    from PIL import Image

    picture = np.asarray(Image.open(path).convert("RGB"))
    assert min(picture.shape[:2]) >= 64
    assert picture.std() > 10


def validate(editor: FrontEnd, server: ComfyServer) -> None:
    """ComfyUI takes the graph as a prompt. It is not run to its end."""
    try:
        server.post("/prompt", {"prompt": editor.prompt()})
    except urllib.error.HTTPError as refused:
        pytest.fail(refused.read().decode())
    finally:
        server.post("/queue", {"clear": True})
        server.post("/interrupt", {})
