"""The motion in a file, whatever kind of file it is."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from edtalk_core.builtin_files import builtin_file
from edtalk_core.checkpoints.loading import load_model
from edtalk_core.errors import ArgumentError
from edtalk_core.media.picture import read_picture
from edtalk_core.media.video_writer import VideoWriter
from edtalk_core.motion.files import save_motion
from edtalk_core.sources.file import motion_from_file

PORTRAIT = builtin_file("examples/portrait.jpg")
SPEECH = builtin_file("examples/speech.flac")


@pytest.fixture(scope="module")
def model(tiny_bundle):
    return load_model(tiny_bundle)


@pytest.fixture(scope="module")
def actor(tmp_path_factory):
    """A video of the example face, shaken, 12 frames at 10 fps."""
    path = tmp_path_factory.mktemp("actor") / "actor.mp4"
    picture = read_picture(PORTRAIT)
    with VideoWriter(path, 10, (224, 224)) as writer:
        for frame in range(12):
            left = 110 + 6 * (frame % 3)
            writer.write(np.ascontiguousarray(picture[10:234, left : left + 224]))
    return path


@pytest.mark.parametrize(
    ("source", "tracks", "frames"),
    [
        ("actor", ["lip", "pose", "expression"], 30),
        ("picture", ["lip", "pose", "expression"], 1),
        ("sound", ["lip"], 180),
    ],
)
def test_motion_is_read_off_any_file(model, actor, source, tracks, frames):
    path = {"actor": actor, "picture": PORTRAIT, "sound": SPEECH}[source]
    motion, warning = motion_from_file(model, path)
    assert list(motion.tracks) == tracks
    assert motion.frames == frames
    assert warning is None


def test_small_face_is_worth_a_warning(model, tmp_path):
    small = Image.open(PORTRAIT).reduce(3)
    small.save(tmp_path / "small.png")
    motion, warning = motion_from_file(model, tmp_path / "small.png")
    assert motion.frames == 1
    assert warning is not None
    assert "px high" in warning


def test_a_motion_file_gives_its_motion(model, tmp_path):
    motion = motion_from_file(model, SPEECH)[0]
    again, warning = motion_from_file(model, save_motion(motion, tmp_path / "lips.json"))
    assert again.equals(motion)
    assert warning is None


def test_a_video_is_not_cropped_by_the_template_of_pictures(model, actor):
    with pytest.raises(ArgumentError, match="for pictures"):
        motion_from_file(model, actor, crop="template")
