"""What the nodes say to the artist: on the node, in the log, and in errors."""

from __future__ import annotations

import asyncio
import itertools
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import comfy.utils
import pytest
import torch
from comfy_execution.utils import CurrentNodeContext
from comfyui_edtalk.edtalk_core.errors import AudioError, MissingRequirement, PictureError
from comfyui_edtalk.edtalk_core.motion.motion import Motion
from comfyui_edtalk.nodes import execution
from comfyui_edtalk.nodes.audio import EncodeAudio
from comfyui_edtalk.nodes.composite import DubVideo, PasteBackNode
from comfyui_edtalk.nodes.examples import ExampleInputs
from comfyui_edtalk.nodes.execution import Progress, StagedProgress, describe
from comfyui_edtalk.nodes.model import DEMO, LoadModel
from comfyui_edtalk.nodes.portrait import LoadPortrait
from comfyui_edtalk.nodes.sockets import EncodedPortrait, LoadedModel
from comfyui_edtalk.nodes.video import WeightsFromVideo
from node_calls import execute
from server import PromptServer

PACK = sys.modules["comfyui_edtalk"]


class Listener:
    """In the place of ComfyUI's server, which hears what a node says while it runs."""

    def __init__(self) -> None:
        self.sockets_metadata: dict[str, Any] = {}
        self.client_id = None
        self.texts: list[str] = []

    def send_progress_text(self, text: str, node_id: str) -> None:
        """Note it."""
        assert node_id == "7"
        self.texts.append(text)


@pytest.fixture
def texts(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What the node that runs says of itself."""
    listener = Listener()
    monkeypatch.setattr(PromptServer, "instance", listener, raising=False)
    with CurrentNodeContext("a prompt", "7"):
        yield listener.texts


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, in a list of one, for a node whose work takes no time."""
    now = [100.0]
    monkeypatch.setattr(execution.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def bar(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Where the node's progress bar was, 0 to 1."""
    shares: list[float] = []
    # Newer ComfyUIs leave out what comes sooner than this after the last one.
    for limit in ("PROGRESS_THROTTLE_MIN_INTERVAL", "PROGRESS_THROTTLE_MIN_PERCENT"):
        monkeypatch.setattr(comfy.utils, limit, 0, raising=False)
    # Newer versions leave updates out that come soon after others or change little.
    for least in ("PROGRESS_THROTTLE_MIN_INTERVAL", "PROGRESS_THROTTLE_MIN_PERCENT"):
        monkeypatch.setattr(comfy.utils, least, 0, raising=False)
    monkeypatch.setattr(
        comfy.utils, "PROGRESS_BAR_HOOK", lambda value, total, _preview, node_id=None: shares.append(value / total)
    )
    return shares


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    with torch.inference_mode():
        return LoadModel.execute(DEMO, "fp32").args[0]


def noise(count: int = 1, seed: int = 0) -> torch.Tensor:
    """Images of 64x64 px."""
    return torch.rand(count, 64, 64, 3, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def portrait(model: LoadedModel) -> EncodedPortrait:
    with torch.inference_mode():
        return LoadPortrait.execute(model, noise(), "none", 0, "", 0).args[0]


def test_a_video_without_sound_is_told_from_one_with_sound(model: LoadedModel):
    with pytest.raises(AudioError, match=r"There is no sound: the video .* has none\. Plug in another\."):
        execute(EncodeAudio, audio=None)
    with pytest.raises(AudioError, match="There is no sound"):
        execute(EncodeAudio, audio={"waveform": torch.zeros(0, 1, 16_000), "sample_rate": 16_000})
    driver = execute(ExampleInputs).args[2]
    with pytest.raises(AudioError, match="There is no sound"):
        execute(DubVideo, model=model, video=driver, audio=None)


def test_a_batch_of_which_one_picture_is_used_is_told_unless_somebody_chose(model: LoadedModel, texts: list[str]):
    def warning(count: int, index: int) -> str:
        texts.clear()
        made = execute(LoadPortrait, model=model, image=noise(count), crop="none", batch_index=index)
        assert texts == ([f"⚠ {made.args[3]}"] if made.args[3] else [])
        return made.args[3]

    assert warning(3, 0) == "Only the first of the 3 images is used; batch_index chooses another."
    assert warning(3, 1) == ""
    assert warning(1, 0) == ""


def test_frames_that_are_not_square_are_refused_in_plain_words(portrait: EncodedPortrait):
    with pytest.raises(PictureError, match=r"The frames are 48x32; Paste Back takes square ones"):
        execute(PasteBackNode, portrait=portrait, image=noise(), frames=torch.zeros(2, 32, 48, 3))


def test_pasting_into_another_picture_is_told(portrait: EncodedPortrait, texts: list[str]):
    frames = torch.zeros(1, 32, 32, 3)
    execute(PasteBackNode, portrait=portrait, image=noise(), frames=frames)
    # Among others, as the frames of a clip that the portrait was cut from.
    execute(PasteBackNode, portrait=portrait, image=torch.cat([noise(2, seed=1), noise()]), frames=frames)
    assert texts == []
    for other in (noise(seed=1), torch.nn.functional.pad(noise(), (0, 0, 40, 0))):
        execute(PasteBackNode, portrait=portrait, image=other, frames=frames)
        assert "does not look like the picture that the portrait was cut from" in texts[-1]


def test_a_motion_is_described_in_words():
    assert describe(Motion(lip=torch.zeros(25, 20), pose=torch.zeros(25, 6))) == "lip, pose: 25 frames, 1.0 s at 25 fps"
    assert describe(Motion(expression=torch.zeros(1, 10))) == "expression: a single frame"


def test_progress_says_what_is_left_in_units_that_can_be_read(texts: list[str], clock: list[float], bar: list[float]):
    progress = Progress("MB", size=1_000_000)
    for seconds in (0, 2, 4):
        clock[0] = 100.0 + seconds
        progress(50_000_000 * seconds, 1_000_000_000)
    assert texts == ["100 of 1000 MB, 50.0 a second, 18 s left", "200 of 1000 MB, 50.0 a second, 16 s left"]
    assert bar == [0, 0.1, 0.2]


def test_stages_share_a_bar_and_the_estimate_is_of_all_of_them(texts: list[str], clock: list[float], bar: list[float]):
    progress = StagedProgress({"search": ("Searching", 0.25), "render": ("Rendering", 0.75)})
    for seconds, stage, done in [(0, "search", 0), (5, "search", 50), (10, "search", 100), (10, "render", 0)]:
        clock[0] = 100.0 + seconds
        progress(stage, done, 100)
    for seconds, done in [(20, 50), (30, 100)]:
        clock[0] = 100.0 + seconds
        progress("render", done, 100)
    assert bar == [0, 0.125, 0.25, 0.25, 0.625, 1]
    assert texts == [
        "Searching: 50 of 100 frames, 35 s left in all",  # 5 s, and three times as long as the whole search
        "Searching: 100 of 100 frames, 30 s left in all",
        "Rendering: 50 of 100 frames, 10 s left in all",  # by its own pace
        "Rendering: 100 of 100 frames, 0 s left in all",
    ]


def test_a_clip_is_counted_once_and_the_last_word_is_what_was_read(
    model: LoadedModel, texts: list[str], bar: list[float], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(execution.time, "monotonic", itertools.count().__next__)  # a second each time it is asked for
    driver = execute(ExampleInputs).args[2].get_components().images[:30]
    execute(WeightsFromVideo, model=model, images=driver, fps=25.0)
    assert bar == sorted(bar)
    assert bar[-1] == 1
    assert texts[-1] == "lip, pose, expression: 30 frames, 1.2 s at 25 fps"
    assert all("of 30 frames" in text for text in texts[:-1])
    assert len(texts) > 10


def test_a_node_whose_work_takes_no_time_says_nothing_of_it(portrait: EncodedPortrait, texts: list[str], clock: None):
    execute(PasteBackNode, portrait=portrait, image=noise(), frames=torch.zeros(2, 32, 32, 3))
    assert texts == []


def test_a_forgotten_requirement_is_told_at_the_start_and_by_the_node(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    # As Python notes what cannot be imported.
    monkeypatch.setitem(sys.modules, "soxr", None)
    command = f"Run: {sys.executable} -m pip install -r {Path(PACK.__file__).with_name('requirements.txt')}"
    with caplog.at_level(logging.WARNING, "edtalk"):
        asyncio.run(PACK.comfy_entrypoint())
    (line,) = caplog.messages
    assert line == f"EDTalk needs soxr, which is not installed. {command}"
    sound = {"waveform": torch.rand(1, 1, 44_100) - 0.5, "sample_rate": 44_100}
    with pytest.raises(MissingRequirement) as said:
        execute(EncodeAudio, audio=sound)
    assert str(said.value) == line


def test_nothing_is_told_at_the_start_where_all_is_there(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING, "edtalk"):
        asyncio.run(PACK.comfy_entrypoint())
    assert caplog.messages == []


def test_the_folder_for_models_is_there_after_the_start(comfyui_base: Path):
    assert (comfyui_base / "models/edtalk").is_dir()
