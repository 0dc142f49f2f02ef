"""Frames larger than the model's, and whole pictures, as the nodes give them."""

from __future__ import annotations

import pytest
import torch
from comfyui_edtalk.edtalk_core.errors import ArgumentError, OutOfMemory
from comfyui_edtalk.edtalk_core.media.video import VideoReader
from comfyui_edtalk.nodes import execution
from comfyui_edtalk.nodes.model import DEMO, LoadModel
from comfyui_edtalk.nodes.portrait import LoadPortrait
from comfyui_edtalk.nodes.render import RenderFrames, RenderVideo
from comfyui_edtalk.nodes.sockets import EncodedPortrait
from node_calls import execute

WIDTH, HEIGHT = 400, 320


@pytest.fixture(scope="module")
def portrait() -> EncodedPortrait:
    """Of a picture whose middle square is the crop."""
    image = torch.rand(1, HEIGHT, WIDTH, 3, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        model = LoadModel.execute(DEMO, "fp32").args[0]
        return LoadPortrait.execute(model, image, "none", 0, "", 0).args[0]


@pytest.mark.parametrize(("size", "side"), [(None, 256), ("model", 256), ("own", HEIGHT), ("512", 512)])
def test_frames_have_the_size_that_was_chosen(portrait: EncodedPortrait, size: str | None, side: int):
    chosen = {} if size is None else {"size": size}
    images = RenderFrames.execute(portrait, 25.0, "frames", 2, **chosen).args[0]
    assert images.shape == (2, side, side, 3)
    assert float(images.min()) >= 0
    assert float(images.max()) <= 1


def test_frames_that_do_not_fit_into_memory_are_counted_at_their_size(
    portrait: EncodedPortrait, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(execution.comfy.model_management, "get_free_memory", lambda *_: 3e8)
    execute(RenderFrames, portrait=portrait, length="frames", frames=1)
    with pytest.raises(OutOfMemory, match="2048x2048"):
        execute(RenderFrames, portrait=portrait, length="frames", frames=9, size="2048")


@pytest.mark.parametrize(
    ("whole", "size", "expected"),
    [(False, "model", (256, 256)), (False, "own", (HEIGHT, HEIGHT)), (True, "own", (WIDTH, HEIGHT))],
)
def test_videos_show_the_face_or_the_whole_picture(
    portrait: EncodedPortrait, whole: bool, size: str, expected: tuple[int, int]
):
    made = execute(RenderVideo, portrait=portrait, length="frames", frames=2, whole=whole, size=size)
    reader = VideoReader(made.args[1])
    assert reader.size == expected
    assert len(list(reader)) == 2


def test_another_size_is_refused(portrait: EncodedPortrait):
    with pytest.raises(ArgumentError, match="256 to 2048"):
        execute(RenderFrames, portrait=portrait, length="frames", frames=1, size="100")
