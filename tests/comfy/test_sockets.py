"""What goes through the sockets: ComfyUI's own types into the library's and back."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from comfy_api.latest import InputImpl, Types
from comfyui_edtalk.edtalk_core.errors import ArgumentError, AudioError, PictureError
from comfyui_edtalk.edtalk_core.media.video_writer import VideoWriter
from comfyui_edtalk.nodes.sockets import (
    audio_of,
    frames_of_images,
    frames_of_video,
    image_of,
    picture_of,
    pictures_of,
    sound_of,
)


@pytest.fixture
def pictures() -> np.ndarray:
    """Four pictures (4,16,24,3), each of one grey."""
    return np.repeat(np.array([0, 80, 160, 240], np.uint8), 16 * 24 * 3).reshape(4, 16, 24, 3)


def test_the_library_has_one_name_in_this_process():
    assert "edtalk_core" not in sys.modules
    assert "comfyui_edtalk.edtalk_core" in sys.modules


def test_a_picture_survives_being_an_image():
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    image = image_of(picture)
    assert image.shape == (1, 5, 7, 3)
    assert image.dtype == torch.float32
    assert np.array_equal(picture_of(image), picture)


def test_of_an_image_with_alpha_the_colours_are_taken_and_clipped():
    image = torch.tensor([-1.0, 0.5, 2.0, 0.3]).expand(1, 2, 2, 4)
    assert picture_of(image)[0, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize(("index", "grey"), [(0, 0), (3, 240), (-1, 240), (-4, 0)])
def test_images_of_a_batch_are_counted_from_either_end(pictures, index, grey):
    assert (picture_of(image_of(pictures), index) == grey).all()


@pytest.mark.parametrize("index", [4, -5])
def test_an_image_beyond_the_batch_is_named(pictures, index):
    with pytest.raises(ArgumentError, match=rf"no image {index} in a batch of 4"):
        picture_of(image_of(pictures), index)


def test_an_empty_batch_is_refused():
    with pytest.raises(PictureError, match="empty"):
        list(pictures_of(torch.empty(0, 4, 4, 3)))


def test_a_sound_survives_the_way_there_and_back():
    waveform = torch.sin(torch.arange(3000) / 9).repeat(1, 2, 1)
    sound = audio_of({"waveform": waveform, "sample_rate": 22050})
    assert sound.duration == pytest.approx(3000 / 22050)
    again = sound_of(sound)
    assert again["sample_rate"] == 22050
    torch.testing.assert_close(again["waveform"], waveform)


def test_a_sound_of_nothing_is_refused():
    with pytest.raises(AudioError):
        audio_of({"waveform": torch.empty(1, 1, 0), "sample_rate": 16000})


def test_frames_of_images_have_their_times_and_can_be_read_twice(pictures):
    frames = frames_of_images(image_of(pictures), 12.5)
    assert (frames.fps, frames.size, frames.duration) == (Fraction(25, 2), (24, 16), pytest.approx(0.32))
    for _ in range(2):
        times, read = zip(*frames.open(), strict=True)
        assert times == pytest.approx((0, 0.08, 0.16, 0.24))
        assert np.array_equal(np.stack(read), pictures)


@pytest.mark.parametrize("fps", [0, -25])
def test_a_frame_rate_must_be_above_zero(pictures, fps):
    with pytest.raises(ArgumentError, match="above 0"):
        frames_of_images(image_of(pictures), fps)


def test_frames_of_a_video_file_are_read_off_the_file(pictures, tmp_path: Path):
    with VideoWriter(tmp_path / "four.mp4", Fraction(25), (24, 16)) as writer:
        for picture in pictures:
            writer.write(picture)
    frames = frames_of_video(InputImpl.VideoFromFile(str(tmp_path / "four.mp4")))
    assert (frames.path, frames.fps, frames.size) == (str(tmp_path / "four.mp4"), 25, (24, 16))
    greys = [float(picture.mean()) for _, picture in frames.open()]
    assert greys == pytest.approx([0, 80, 160, 240], abs=4)


def test_frames_of_a_video_in_memory_are_its_images(pictures):
    components = Types.VideoComponents(images=image_of(pictures), audio=None, frame_rate=Fraction(30))
    frames = frames_of_video(InputImpl.VideoFromComponents(components))
    assert (frames.path, frames.fps) == (None, 30)
    assert [int(picture.max()) for _, picture in frames.open()] == [0, 80, 160, 240]
