"""Outputs whose names no file system takes, and damaged videos, end with a sentence of ours."""

from __future__ import annotations

from pathlib import Path

import pytest
from comfy_api.latest import InputImpl
from comfyui_edtalk.edtalk_core.errors import ArgumentError, VideoError
from comfyui_edtalk.nodes.files import next_file
from comfyui_edtalk.nodes.sockets import frames_of_video


def test_a_name_that_is_too_long_is_refused():
    with pytest.raises(ArgumentError, match="too long"):
        next_file("a" * 250, "mp4")


def test_a_damaged_video_is_named(tmp_path: Path):
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(b"not a video")
    with pytest.raises(VideoError, match=r"damaged\.mp4"):
        frames_of_video(InputImpl.VideoFromFile(str(damaged)))
