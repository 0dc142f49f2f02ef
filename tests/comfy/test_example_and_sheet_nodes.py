"""Example inputs and contact sheets, as ComfyUI's own types."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from comfyui_edtalk.edtalk_core.errors import ArgumentError
from comfyui_edtalk.nodes.examples import ExampleInputs
from comfyui_edtalk.nodes.model import DEMO, LoadModel
from comfyui_edtalk.nodes.portrait import LoadPortrait
from comfyui_edtalk.nodes.sheets import BaseExplorer, EmotionContactSheet
from comfyui_edtalk.nodes.sockets import EncodedPortrait, frames_of_video
from node_calls import execute


@pytest.fixture(scope="module")
def portrait() -> EncodedPortrait:
    with torch.inference_mode():
        model = LoadModel.execute(DEMO, "fp32").args[0]
        image = torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(0))
        return LoadPortrait.execute(model, image, "none", 0, "", 0).args[0]


def test_the_examples_are_what_their_tooltips_say():
    portrait, speech, driver, generated = execute(ExampleInputs).args
    for image, side in ((portrait, 512), (generated, 1024)):
        assert image.shape == (1, side, side, 3)
        assert (image.dtype, image.device.type) == (torch.float32, "cpu")
        assert 0 <= image.min() < 0.1 < 0.9 < image.max() <= 1
    assert speech["sample_rate"] == 16_000
    assert speech["waveform"].shape == (1, 1, round(7.2 * 16_000))
    assert speech["waveform"].abs().max() > 0.1
    frames = frames_of_video(driver)
    assert (frames.fps, frames.size, frames.duration) == (Fraction(25), (256, 256), pytest.approx(5.84, abs=0.04))
    assert driver.get_components().audio is not None


def test_a_sheet_of_emotions_is_an_image_shown_on_the_node(portrait, comfyui_base):
    made = execute(EmotionContactSheet, portrait=portrait, emotions="happy, sad", strengths="1", cell=32)
    image = made.args[0]
    assert image.ndim == 4
    assert image.shape[2] > 3 * 32
    shown = made.ui.as_dict()["images"][0]
    assert (comfyui_base / shown["type"] / shown["filename"]).is_file()


def test_strengths_and_emotions_choose_rows_and_columns(portrait):
    def size(emotions: str, strengths: str) -> tuple[int, int]:
        made = execute(EmotionContactSheet, portrait=portrait, emotions=emotions, strengths=strengths, cell=32)
        return made.args[0].shape[1], made.args[0].shape[2]

    one = size("happy", "1")
    assert size("happy", "0.5 1")[0] == one[0] + 33
    assert size("happy sad", "1")[1] == one[1] + 33


def test_a_sheet_of_bases_shows_those_of_the_track(portrait):
    made = execute(BaseExplorer, portrait=portrait, track="pose", columns=3, cell=32)
    assert made.args[0].shape[2] == 3 * (3 * 32 + 4)
    with pytest.raises(ArgumentError, match="pixels"):
        execute(BaseExplorer, portrait=portrait, track="lip", columns=20, cell=1024)


@pytest.mark.parametrize(
    ("chosen", "word"),
    [
        pytest.param({"emotions": "hapy"}, "hapy", id="emotion"),
        pytest.param({"strengths": "much"}, "separated by commas", id="words"),
        pytest.param({"strengths": ""}, "and one strength", id="nothing"),
        pytest.param({"strengths": "9"}, "9", id="too strong"),
    ],
)
def test_a_sheet_of_emotions_refuses(portrait, chosen, word):
    with pytest.raises(ArgumentError, match=word):
        execute(EmotionContactSheet, portrait=portrait, **chosen)
