"""The live editors in ComfyUI's own editor: what artists do with them, in both renderers; and the preview routes."""

from __future__ import annotations

import io
import json
import random
import urllib.error
import urllib.request
from typing import Any

import numpy as np
import pytest
from comfy_server import Client, ComfyServer
from front_end import READY, FrontEnd
from graphs import Prompt, node, talk
from PIL import Image

pytestmark = pytest.mark.slow

SECONDS = 600
WIDGET = "edtalk_editor"
BUILD = """type => {
    const graph = app.graph;
    graph.clear();
    const add = (type, x, y, values = {}) => {
        const node = LiteGraph.createNode(type);
        node.pos = [x, y];
        graph.add(node);
        for (const widget of node.widgets ?? []) if (widget.name in values) widget.value = values[widget.name];
        return node;
    };
    const plug = (from, output, to, name) =>
        from.connect(output, to, to.inputs.findIndex(input => input.name === name));
    const model = add("EDTalkLoadModel", 0, 0), picture = add("LoadImage", 0, 150, {image: "portrait.jpg"});
    const portrait = add("EDTalkLoadPortrait", 320, 0), editor = add(type, 660, 0);
    plug(model, 0, portrait, "model");
    plug(picture, 0, portrait, "image");
    plug(portrait, 0, editor, "portrait");
    return editor.id;
}"""
"""Script that makes a graph of a portrait and an editor, and returns the editor's id."""
TEXT = """([id, name]) => app.graph.getNodeById(id).widgets.find(widget => widget.name === name).value"""
PIXELS = """id => {
    const widget = app.graph.getNodeById(id).widgets.find(({name}) => name === "edtalk_editor");
    const canvas = widget.element.querySelector(".edtalk-stage canvas");
    const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return {size: canvas.width, rgba: Array.from(data)};
}"""
PAINTED = "() => performance.getEntriesByName('edtalk-frame').length"
DURATIONS = "() => performance.getEntriesByName('edtalk-frame').map(entry => entry.duration)"


class Editor:
    """A live editor of a node on the page."""

    def __init__(self, front_end: FrontEnd, node: Any, text: str = "edit") -> None:
        self.page = front_end.page
        self.front_end = front_end
        self.node = node
        self._text = text
        front_end.bring_into_view(node)

    @property
    def root(self) -> Any:
        """The element of the only visible editor."""
        return self.page.locator(".edtalk-live:visible").first

    @property
    def text(self) -> str:
        """The text in the node."""
        return self.page.evaluate(TEXT, [self.node, self._text])

    def amount(self, track: str, name: str) -> float:
        """An amount in the node's edit."""
        return (json.loads(self.text) if self.text else {}).get(track, {}).get(name, 0)

    def slider(self, track: str, name: str) -> Any:
        return self.root.locator(f'input[data-base="{track} {name}"]')

    def picture(self) -> np.ndarray:
        """The frame that is shown."""
        shown = self.page.evaluate(PIXELS, self.node)
        return np.array(shown["rgba"], np.uint8).reshape(shown["size"], shown["size"], 4)[..., :3]

    def wait_for_frame(self, before: int) -> None:
        """Wait until more frames were painted than before."""
        self.page.wait_for_function(f"before => ({PAINTED})() > before", arg=before, timeout=120_000)

    def painted(self) -> int:
        return self.page.evaluate(PAINTED)

    def drag(self, start: tuple[float, float], by: tuple[float, float], steps: int = 8) -> None:
        """Drag on the picture, in shares of it."""
        box = self.root.locator(".edtalk-stage canvas").bounding_box()
        point = [box["x"] + start[0] * box["width"], box["y"] + start[1] * box["height"]]
        self.page.mouse.move(*point)
        self.page.mouse.down()
        for step in range(1, steps + 1):
            share = step / steps
            self.page.mouse.move(point[0] + share * by[0] * box["width"], point[1] + share * by[1] * box["height"])
            self.page.wait_for_timeout(20)
        self.page.mouse.up()


@pytest.fixture
def face(editor: FrontEnd) -> Editor:
    """A Face Editor that has run."""
    editor.load({"nodes": [], "links": [], "version": 0.4})
    made = editor.page.evaluate(BUILD, "EDTalkFaceEditor")
    before = editor.page.evaluate(PAINTED)
    run = editor.run(SECONDS)
    assert run.status == "success", run.error
    live = Editor(editor, made)
    live.wait_for_frame(before)
    return live


def test_the_face_follows_a_slider_and_a_drag_and_steps_can_be_undone(face: Editor):
    rest = face.picture()
    before = face.painted()
    face.slider("expression", "smile").focus()
    for _ in range(10):
        face.page.keyboard.press("PageUp")
    face.wait_for_frame(before)
    face.page.wait_for_timeout(1500)
    assert face.amount("expression", "smile") > 2
    assert np.abs(face.picture().astype(int) - rest).max() > 40
    position = face.page.evaluate("id => [...app.graph.getNodeById(id).pos]", face.node)
    face.drag((0.9, 0.1), (-0.2, 0.0))
    assert face.amount("pose", "yaw") != 0
    assert face.page.evaluate("id => [...app.graph.getNodeById(id).pos]", face.node) == position
    assert "smile" in face.text
    face.root.locator(".edtalk-stage canvas").focus()
    face.page.keyboard.press("Control+z")
    assert face.amount("pose", "yaw") == 0
    face.page.keyboard.press("Control+y")
    assert face.amount("pose", "yaw") != 0
    face.root.get_by_role("button", name="Reset all").click()
    assert face.text == ""
    face.page.wait_for_timeout(2000)
    assert np.abs(face.picture().astype(int) - rest).max() < 8


def test_a_corner_of_the_mouth_can_be_pulled(face: Editor):
    points = face.page.evaluate(
        """() => [...document.querySelectorAll(".edtalk-points > span")].map(
            ({title, style}) => [title, parseFloat(style.left) / 100, parseFloat(style.top) / 100])"""
    )
    (corner,) = [(x, y) for name, x, y in points if name == "left corner"]
    face.drag(corner, (0.03, -0.06))
    edit = json.loads(face.text)
    assert set(edit) - {"format", "format_version"} == {"expression"}
    assert edit["expression"]["smile"] > 0.5


def test_it_outlives_a_reload_a_saved_file_and_a_copy(face: Editor, editor: FrontEnd):
    face.slider("expression", "smile").focus()
    face.page.keyboard.press("PageUp")
    text = face.text
    assert text
    workflow = editor.page.evaluate("() => app.graph.serialize()")
    (saved,) = [one for one in workflow["nodes"] if one["type"] == "EDTalkFaceEditor"]
    assert saved["widgets_values"][0] == text
    editor.load(workflow)
    before = editor.page.evaluate(PAINTED)
    loaded = Editor(editor, face.node)
    assert loaded.text == text
    loaded.wait_for_frame(before)  # what the last run left is still there
    copied = editor.page.evaluate(
        """id => {
            const node = app.graph.getNodeById(id), copy = node.clone();
            app.graph.add(copy);
            copy.pos = [node.pos[0], node.pos[1] + 900];
            return copy.id;
        }""",
        face.node,
    )
    copy = Editor(editor, copied)
    assert copy.text == text
    copy.page.wait_for_timeout(1000)
    assert "portrait" in copy.page.evaluate(
        """id => app.graph.getNodeById(id).widgets.find(({name}) => name === "edtalk_editor")
            .element.querySelector(".edtalk-sentence").textContent""",
        copied,
    )
    editor.page.wait_for_timeout(3000)  # until the draft is saved
    editor.page.reload()
    editor.page.wait_for_function(READY)
    kept = editor.page.evaluate(
        """() => app.graph.nodes.filter(({type}) => type === "EDTalkFaceEditor").map(
            node => node.widgets.find(({name}) => name === "edit").value)"""
    )
    assert kept
    assert set(kept) == {text}


def test_two_editors_in_one_graph_are_apart(face: Editor, editor: FrontEnd):
    other = editor.page.evaluate(
        """id => {
            const graph = app.graph, first = graph.getNodeById(id), second = LiteGraph.createNode("EDTalkFaceEditor");
            graph.add(second);
            second.pos = [first.pos[0], first.pos[1] + 900];
            const portrait = graph.nodes.find(({type}) => type === "EDTalkLoadPortrait");
            portrait.connect(0, second, second.inputs.findIndex(({name}) => name === "portrait"));
            second.widgets.find(({name}) => name === "edit").value =
                '{"format":"edtalk-edit","format_version":1,"expression":{"lids":4}}';
            return second.id;
        }""",
        face.node,
    )
    assert editor.run(SECONDS).status == "success"
    second = Editor(editor, other)
    second.page.wait_for_timeout(3000)
    first = Editor(editor, face.node)
    first.page.wait_for_timeout(2000)
    assert first.text == ""
    assert "lids" in second.text
    assert np.abs(second.picture().astype(int) - first.picture()).max() > 40


def test_in_a_subgraph_with_a_promoted_widget(face: Editor, editor: FrontEnd, server: ComfyServer):
    made = editor.page.evaluate(
        """id => {
            if (!app.graph.convertToSubgraph) return null;
            const {node} = app.graph.convertToSubgraph(new Set([app.graph.getNodeById(id)]));
            const inner = node.subgraph.nodes[0];
            const slot = inner.inputs.find(({name}) => name === "edit");
            node.subgraph.inputNode.slots.at(-1);
            const input = node.subgraph.addInput("edit", "STRING");
            input.connect(slot, inner);
            const promoted = node.widgets.find(({name}) => name === "edit");
            promoted.value = '{"format":"edtalk-edit","format_version":1,"expression":{"smile":3}}';
            return {outer: node.id, inner: inner.id};
        }""",
        face.node,
    )
    if made is None:
        pytest.skip("this front end has no subgraphs")
    run = editor.run(SECONDS)
    assert run.status == "success", run.error
    (output,) = [one for key, one in run.outputs.items() if key == f"{made['outer']}:{made['inner']}"]
    assert '"smile": 3' in output["edtalk_live"][0]["text"]


def test_quick_changes_during_a_run_wait_for_its_end(face: Editor, editor: FrontEnd, server: ComfyServer):
    other = Client(server)
    prompt = talk("speech.flac", filename_prefix="live")
    prompt_id = server.post("/prompt", {"prompt": prompt})["prompt_id"]
    before = face.painted()
    face.slider("expression", "smile").focus()
    for _ in range(50):
        face.page.keyboard.press("ArrowRight")
    assert face.amount("expression", "smile") == pytest.approx(2.5, abs=0.06)
    assert face.painted() == before
    while prompt_id not in server.get(f"/history/{prompt_id}"):
        face.page.wait_for_timeout(200)
    assert server.get(f"/history/{prompt_id}")[prompt_id]["status"]["status_str"] == "success"
    face.wait_for_frame(before)
    other.close()


def test_without_a_portrait_it_says_what_to_do(face: Editor, editor: FrontEnd):
    editor.page.evaluate(
        """id => {
            const node = app.graph.getNodeById(id);
            node.disconnectInput(node.inputs.findIndex(({name}) => name === "portrait"));
        }""",
        face.node,
    )
    sentence = face.root.locator(".edtalk-sentence")
    sentence.filter(has_text="Plug in a portrait").wait_for(timeout=5000)


def test_after_a_restart_it_asks_for_a_run(face: Editor, editor: FrontEnd):
    # As after a restart of the server: another graph's id has no scene there.
    editor.page.evaluate("() => { (app.rootGraph ?? app.graph).id = crypto.randomUUID() }")
    workflow = editor.page.evaluate("() => app.graph.serialize()")
    editor.load(workflow)
    live = Editor(editor, face.node)
    live.root.locator(".edtalk-sentence").filter(has_text="Run once").wait_for(timeout=10_000)
    before = live.painted()
    assert editor.run(SECONDS).status == "success"
    live.wait_for_frame(before)


@pytest.mark.any_renderer
def test_a_face_is_saved_as_a_preset(face: Editor, server: ComfyServer):
    face.slider("expression", "corner").focus()
    face.page.keyboard.press("PageUp")
    face.root.get_by_role("button", name="Save as preset").click()
    face.root.get_by_role("textbox", name="Name of the preset").fill("crooked")
    face.root.get_by_role("button", name="Save", exact=True).click()
    face.root.locator(".edtalk-sentence").filter(has_text="crooked").wait_for(timeout=10_000)
    files = sorted((server.base / "output/presets").glob("crooked_*.json"))
    assert files
    assert json.loads(files[-1].read_text())["name"] == "crooked"


@pytest.mark.any_renderer
def test_the_editor_answers_quickly(face: Editor):
    before = len(face.page.evaluate(DURATIONS))
    face.slider("expression", "smile").focus()
    for _ in range(60):
        face.page.keyboard.press("ArrowRight")
        face.page.wait_for_timeout(150)
    durations = sorted(face.page.evaluate(DURATIONS)[before:])
    assert len(durations) > 5
    # The goal of 150 ms holds on two cores that are idle; on any machine it is a matter of a second or two.
    assert durations[len(durations) // 2] < 3000, durations


# The routes, without a browser.


@pytest.fixture
def left(client: Client, server: ComfyServer) -> Prompt:
    """A prompt of a Face Editor, "face", that has run."""
    prompt = talk("short.wav")
    del prompt["render"], prompt["lip"], prompt["features"], prompt["sound"]
    prompt["face"] = node("EDTalkFaceEditor", portrait=["portrait", 0], edit="")
    run = client.run(prompt, seconds=SECONDS)
    assert run.status == "success", run.error
    return prompt


def ask(server: ComfyServer, path: str, body: bytes, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    """POST to a route; status, body and headers of the answer."""
    request = urllib.request.Request(
        f"{server.url}/edtalk/{path}", body, {"Content-Type": "application/json", **headers}, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, answer.read(), dict(answer.headers)
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read(), dict(refused.headers)


def frame_body(number: int = 1, **fields: Any) -> bytes:
    request = {"graph": "", "node": "face", "client": "test", "number": number, "text": "", "seconds": 0}
    return json.dumps(request | fields).encode()


def test_the_preview_is_the_rendered_frame(left: Prompt, client: Client, server: ComfyServer):
    text = json.dumps({"format": "edtalk-edit", "format_version": 1, "expression": {"smile": 2}, "pose": {"yaw": 3}})
    status, jpeg, headers = ask(server, "frame", frame_body(text=text, client="psnr"))
    assert (status, headers["Content-Type"]) == (200, "image/jpeg")
    edited = ["face", 0]
    prompt = left | {
        "face": node("EDTalkFaceEditor", portrait=["portrait", 0], edit=text),
        "render": node(
            "EDTalkRenderFrames",
            portrait=["portrait", 0],
            lip=edited,
            pose=edited,
            expression=edited,
            fps=25.0,
            length="frames",
            frames=1,
        ),
        "save": node("SaveImage", images=["render", 0], filename_prefix="live"),
    }
    run = client.run(prompt, seconds=SECONDS)
    assert run.status == "success", run.error
    rendered = np.asarray(Image.open(server.file(run.outputs["save"]["images"][0])).convert("RGB")).astype(float)
    shown = np.asarray(Image.open(io.BytesIO(jpeg))).astype(float)
    assert 10 * np.log10(255**2 / np.mean((shown - rendered) ** 2)) > 40


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "http://elsewhere.example"}, {"Content-Type": "text/plain"}],
    ids=["another-origin", "not-json"],
)
def test_other_pages_cannot_ask(left: Prompt, server: ComfyServer, headers: dict[str, str]):
    assert ask(server, "frame", frame_body(), **headers)[0] in (403, 415)


def malformed(rng: random.Random) -> tuple[str, bytes]:
    """A path below /edtalk and a body that no editor sends."""
    path = rng.choice(["frame", "describe", "sound", "preset"])
    junk: list[Any] = [
        *(None, True, -1, 1e308, 10**30, "", "x" * 5000, "../../etc/passwd", "\0", [], {}, [[]] * 50, {"a": {}}),
        *("NaN", "\ud800", 2**53, -0.0),
    ]
    good = {"graph": "", "node": "face", "client": "fuzz", "number": 1, "text": "", "seconds": 0, "name": "x"}
    kind = rng.randrange(7)
    if kind == 0:
        return path, rng.randbytes(rng.randrange(2000))
    if kind == 1:
        return path, b"[" * rng.randrange(1, 100_000)
    if kind == 2:
        return path, json.dumps(rng.choice(junk)).encode()
    if kind == 3:
        return path, json.dumps(good).encode()[: rng.randrange(1, 60)]
    if kind == 4:
        return path, b'{"graph": NaN, "node": Infinity}'
    if kind == 5:
        return path, b"x" * rng.choice([3 << 20, 100])
    fields = {
        "frame": ("graph", "node", "client", "number", "text", "seconds"),
        "preset": ("graph", "node", "text", "name"),
    }
    names = fields.get(path, ("graph", "node"))
    request = {name: good[name] for name in names}
    request[rng.choice(names)] = rng.choice([None, True, -1, 1e308, [], {}, "x" * 5000, "\0"])
    if rng.random() < 0.3:
        request[rng.choice(["path", "file", "model"])] = "/etc/passwd"
    return path, json.dumps(request).encode()


def test_malformed_requests_are_refused_and_leave_nothing(left: Prompt, server: ComfyServer):
    rng = random.Random(0)
    requests = [malformed(rng) for _ in range(2000)]
    for path, body in requests[:200]:
        ask(server, path, body)
    before = server.resident()
    statuses = [ask(server, path, body)[0] for path, body in requests]
    assert {status for status in statuses if not 400 <= status < 500} == set()
    assert ask(server, "frame", frame_body(client="after"))[0] == 200
    assert server.resident() - before < 30e6


# The Motion Timeline.

SOUND = """id => {
    const graph = app.graph, editor = graph.getNodeById(id);
    const sound = LiteGraph.createNode("LoadAudio");
    graph.add(sound);
    sound.pos = [0, 600];
    sound.widgets.find(({name}) => name === "audio").value = "speech.flac";
    sound.connect(0, editor, editor.inputs.findIndex(({name}) => name === "audio"));
    const words = LiteGraph.createNode("PrimitiveStringMultiline");
    graph.add(words);
    words.pos = [0, 900];
    words.widgets[0].value = "1\\n00:00:00,310 --> 00:00:01,210\\nCongratulations!\\n";
    words.connect(0, editor, editor.inputs.findIndex(({name}) => name === "transcript"));
}"""


@pytest.fixture
def timeline(editor: FrontEnd) -> Editor:
    """A Motion Timeline with a sound and words, that has run."""
    editor.load({"nodes": [], "links": [], "version": 0.4})
    made = editor.page.evaluate(BUILD, "EDTalkMotionTimeline")
    editor.page.evaluate(SOUND, made)
    before = editor.page.evaluate(PAINTED)
    run = editor.run(SECONDS)
    assert run.status == "success", run.error
    live = Editor(editor, made, "performance")
    live.wait_for_frame(before)
    return live


def lane(live: Editor, name: str) -> Any:
    return live.root.locator(f'[data-lane="{name}"]')


def double_click(live: Editor, name: str, share: float) -> None:
    """Add a key at a share of the visible time."""
    box = lane(live, name).bounding_box()
    live.page.mouse.dblclick(box["x"] + share * box["width"], box["y"] + box["height"] / 2)


def test_keys_are_added_dragged_onto_words_and_deleted(timeline: Editor):
    assert timeline.root.locator(".edtalk-words > span").count() == 1
    double_click(timeline, "emotions", 0.5)
    keys = lane(timeline, "emotions").locator(".edtalk-key")
    assert keys.count() == 2  # the face's own before it
    box, room = keys.nth(1).bounding_box(), lane(timeline, "emotions").bounding_box()
    end_of_word = room["x"] + 1.21 / 7.2 * room["width"]
    timeline.page.mouse.move(box["x"] + 2, box["y"] + 8)
    timeline.page.mouse.down()
    timeline.page.mouse.move(end_of_word + 60, box["y"] + 8, steps=4)
    timeline.page.mouse.move(end_of_word + 3, box["y"] + 8, steps=4)
    timeline.page.mouse.up()
    assert "1.21 happy" in json.loads(timeline.text)["emotions"]
    double_click(timeline, "blinks", 0.7)
    assert len(json.loads(timeline.text)["blinks"]) == 1
    timeline.page.keyboard.press("Delete")
    lane(timeline, "blinks").locator(".edtalk-key").first.focus()
    timeline.page.keyboard.press("Delete")
    assert "blinks" not in json.loads(timeline.text)
    timeline.root.get_by_role("button", name="Undo").click()
    assert len(json.loads(timeline.text)["blinks"]) == 1
    timeline.root.get_by_role("button", name="Nod").click()
    assert len(json.loads(timeline.text)["head"]) == 4


def test_the_face_under_the_playhead_follows_and_it_plays(timeline: Editor):
    double_click(timeline, "emotions", 0.6)
    before = timeline.painted()
    wave = timeline.root.get_by_role("slider", name="Playhead").bounding_box()
    timeline.page.mouse.click(wave["x"] + 2, wave["y"] + 20)
    timeline.wait_for_frame(before)
    timeline.page.wait_for_timeout(1000)
    rest, before = timeline.picture(), timeline.painted()
    timeline.page.mouse.click(wave["x"] + 0.8 * wave["width"], wave["y"] + 20)
    timeline.wait_for_frame(before)
    timeline.page.wait_for_timeout(1000)
    assert np.abs(timeline.picture().astype(int) - rest).max() > 40
    clock = timeline.root.locator(".edtalk-clock")
    stopped, before = clock.inner_text(), timeline.painted()
    timeline.root.get_by_role("button", name="Play").click()
    timeline.wait_for_frame(before + 1)
    assert clock.inner_text() != stopped
    timeline.root.get_by_role("button", name="Play").click()
    stopped = clock.inner_text()
    timeline.page.wait_for_timeout(500)
    assert clock.inner_text() == stopped


def test_a_performance_is_in_the_saved_workflow(timeline: Editor, editor: FrontEnd):
    double_click(timeline, "mouth", 0.3)
    text = timeline.text
    workflow = editor.page.evaluate("() => app.graph.serialize()")
    editor.load(workflow)
    loaded = Editor(editor, timeline.node, "performance")
    assert loaded.text == text
    lane(loaded, "mouth").locator(".edtalk-key").wait_for(timeout=10_000)
