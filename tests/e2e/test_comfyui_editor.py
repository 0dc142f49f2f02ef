"""Workflows and blueprints in ComfyUI's own editor, in a browser: those that ship, and those of older versions."""

from __future__ import annotations

import json
import urllib.error
from pathlib import Path

import numpy as np
import pytest
from comfy_server import ComfyServer, Run
from front_end import FrontEnd
from layout import layout_problems
from templates import (
    HAS_CHECKPOINT,
    RENDER_FRAMES,
    VIDEOS,
    WORKFLOWS,
    provide_models,
    read_workflow,
    use_example_for_checkpoint,
)
from videos import mouth_motion, read_video

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
BLUEPRINTS = sorted((ROOT / "subgraphs").glob("*.json"))
SAVED = sorted((ROOT / "tests/data/workflows").glob("*/*.json"))
WITH_UPSCALER = [path for path in WORKFLOWS if "UpscaleModelLoader" in path.read_text(encoding="utf-8")]
SECONDS = 1800
"""Until a workflow that has not ended counts as hung."""


SET_WIDGETS = """([id, values]) => {
    for (const widget of window.app.graph.getNodeById(id).widgets)
        if (widget.name in values) widget.value = values[widget.name];
}"""
LOADERS = {
    "IMAGE": ("LoadImage", {"image": "portrait.jpg"}),
    "AUDIO": ("LoadAudio", {"audio": "short.wav"}),
    "VIDEO": ("LoadVideo", {"file": "edtalk_generated.mp4"}),
}
"""Type of a socket -> node that loads such a file, and its settings."""
COMPLETE_BLUEPRINT = """loaders => {
    const graph = window.app.graph, [blueprint] = graph.nodes;
    const add = (type, settings, x) => {
        const node = LiteGraph.createNode(type);
        graph.add(node);
        node.pos = [blueprint.pos[0] + x, blueprint.pos[1]];
        for (const widget of node.widgets) if (widget.name in settings) widget.value = settings[widget.name];
        return node;
    };
    blueprint.inputs.forEach((input, slot) => {
        if (input.widget) return;
        const node = add(...loaders[input.type], -400 * (slot + 1));
        node.connect(node.outputs.findIndex(output => output.type === input.type), blueprint, slot);
    });
    const save = add("SaveVideo", {filename_prefix: "video/blueprint"}, 500);
    blueprint.connect(blueprint.outputs.findIndex(output => output.type === "VIDEO"), save, 0);
}"""
"""Script that loads a file for each socket of the graph's only node, and saves its video."""
REPEAT_PICTURE = """() => {
    const graph = window.app.graph, repeat = LiteGraph.createNode("RepeatImageBatch");
    const find = type => graph.nodes.find(node => node.type === type), portrait = find("EDTalkLoadPortrait");
    graph.add(repeat);
    repeat.widgets.find(widget => widget.name === "amount").value = 2;
    find("LoadImage").connect(0, repeat, 0);
    repeat.connect(0, portrait, portrait.inputs.findIndex(input => input.name === "image"));
}"""
"""Script that makes a batch of two of the portrait's picture."""
LIVE_PICTURES = """() => [...document.querySelectorAll(".edtalk-live-preview img")]
    .filter(image => image.checkVisibility() && image.naturalWidth > 0).map(image => image.src)"""


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
    assert layout_problems(opened) == []
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
    check_shown(opened, server, run)
    complain_not(opened)
    assert layout_problems(opened) == []  # with what the nodes show now


def test_previews_give_way_to_the_video_and_a_cancelled_run_leaves_the_last_one(editor: FrontEnd, server: ComfyServer):
    editor.load(read_workflow(ROOT / "tests/data/workflows/0.1.0/talk.json"))
    (render,) = (node["id"] for node in editor.nodes() if node["type"] == "EDTalkRenderVideo")
    editor.bring_into_view(render)

    def run(name: str, cancel: bool = False) -> tuple[Run, set[str]]:
        """Render 80 frames into a file of that name; what became of it, and the live pictures that were seen."""
        editor.page.evaluate(SET_WIDGETS, [render, {"length": "frames", "frames": 80, "filename_prefix": name}])
        pictures: set[str] = set()

        def watch() -> None:
            pictures.update(editor.page.evaluate(LIVE_PICTURES))
            if cancel and len(pictures) >= 2:
                server.post("/interrupt", {})

        return editor.run(SECONDS, watch), pictures

    for name in ("first", "second"):
        done, pictures = run(name)
        assert done.status == "success", done.error
        assert len(pictures) > 2
        (video,) = editor.shown(render)
        assert (video.kind, video.ready, video.plays) == ("video", True, True)
        saved = done.outputs[str(render)]["images"][0]["filename"]
        assert f"filename={saved}" in video.source
        assert video.seconds == pytest.approx(80 / 25, abs=0.1)
    cancelled, pictures = run("third", cancel=True)
    assert cancelled.status == "interrupted"
    assert pictures
    # Both renderers of a front end use one server.
    partial = max((server.base / "output").glob("third*partial*"), key=lambda path: path.stat().st_mtime)
    editor.wait_for_notice(partial.name)
    (video,) = editor.shown(render)
    assert (video.kind, video.ready) == ("video", True)
    assert f"filename={saved}" in video.source
    complain_not(editor)


@pytest.mark.any_renderer
@pytest.mark.parametrize("opened", WORKFLOWS[:1], ids=name, indirect=True)
def test_a_warning_outlasts_the_run(opened: FrontEnd):
    opened.page.evaluate(REPEAT_PICTURE)
    opened.page.evaluate(RENDER_FRAMES, 1)
    run = opened.run(SECONDS)
    assert run.status == "success", run.error.get("exception_message")
    opened.wait_for_notice("Only the first of the 2 images is used")


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
            for (const node of window.app.graph.nodes) if (node.type.includes("Upscale")) node.mode = 0;
        }"""
    )
    opened.page.evaluate(RENDER_FRAMES, 30)  # show it as well as all
    run = opened.run(SECONDS)
    assert run.status == "success", run.error.get("exception_message")
    videos = [path for path in run.files(server) if path.suffix in VIDEOS]
    assert videos
    for path in videos:
        check_video(path)
    check_shown(opened, server, run)


@pytest.mark.any_renderer
@pytest.mark.parametrize("blueprint", BLUEPRINTS, ids=lambda path: path.stem)
def test_a_blueprint_from_the_search_runs(blueprint: Path, editor: FrontEnd, server: ComfyServer):
    try:
        server.get("/global_subgraphs")
    except urllib.error.HTTPError:
        pytest.skip("this ComfyUI has no blueprints")
    page = editor.page
    editor.load({"nodes": [], "links": [], "version": 0.4})
    page.mouse.dblclick(700, 500)
    page.locator("input:focus").fill(blueprint.stem.partition(" (")[0])
    page.locator("[data-testid=result-item], .p-autocomplete-option").filter(has_text=blueprint.stem).first.click()
    page.mouse.click(700, 500)  # where the newest front end puts the node down
    page.wait_for_function("() => window.app.graph.nodes.length === 1")
    page.evaluate(COMPLETE_BLUEPRINT, LOADERS)
    run = editor.run(SECONDS)
    assert run.status == "success", run.error.get("exception_message")
    (save,) = (str(node["id"]) for node in editor.nodes() if node["type"] == "SaveVideo")
    check_video(server.file(run.outputs[save]["images"][0]))
    check_shown(editor, server, run)
    complain_not(editor)


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


def check_shown(editor: FrontEnd, server: ComfyServer, run: Run) -> None:
    """Each node that has something to show in the page shows it: its video, which plays, or its picture."""
    for node, output in run.outputs.items():
        if not output.get("images") or ":" in node:
            continue
        saved = output["images"][0]
        name = f"filename={saved['filename']}"
        items = editor.shown(int(node))
        if any(output.get("animated", ())):
            (video,) = items
            assert name in video.source
            assert (video.kind, video.ready, video.plays) == ("video", True, True)
            assert video.seconds == pytest.approx(read_video(server.file(saved)).seconds, abs=0.1)
        else:
            assert any(item.kind == "picture" and item.ready and name in item.source for item in items), items


def check_video(path: Path) -> None:
    """A video of a face that moves its mouth, with as much sound as picture."""
    video = read_video(path)
    assert len(video.frames) > 25
    assert min(video.frames.shape[1:3]) >= 256
    assert video.sound_seconds == pytest.approx(video.seconds, abs=0.1)
    assert video.loudest > 0.05
    assert json.loads(video.tags["workflow"])["nodes"]
    assert mouth_motion(video.frames).opening.std() > 0.006


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
