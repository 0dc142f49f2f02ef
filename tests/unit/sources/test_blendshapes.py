"""Captured faces: CSV files of Live Link Face, face landmarks of MediaPipe, and what a portrait does by them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edtalk_core.checkpoints import load_model
from edtalk_core.errors import FaceError, MotionError
from edtalk_core.face.expression_warp import UNIT
from edtalk_core.model import EDTalk
from edtalk_core.motion.bases import Bases
from edtalk_core.sources.blendshapes import (
    FaceCapture,
    capture_from_landmarks,
    is_live_link,
    motion_from_capture,
    read_live_link,
)
from edtalk_core.sources.file import motion_from_file

NAMES = (
    *("EyeBlinkLeft", "EyeBlinkRight", "EyeWideLeft", "EyeWideRight", "JawOpen", "MouthClose", "MouthSmileLeft"),
    *("MouthSmileRight", "MouthDimpleLeft", "MouthDimpleRight", "BrowInnerUp", "HeadYaw", "HeadPitch", "HeadRoll"),
)


@pytest.fixture(scope="module")
def demo() -> EDTalk:
    return load_model("demo")


def write_csv(path: Path, frames: int = 60, lost: tuple[int, ...] = (), **columns: np.ndarray) -> Path:
    lines = ["Timecode,BlendshapeCount," + ",".join(NAMES)]
    for index in range(frames):
        if index in lost:
            continue
        second, frame = divmod(index, 60)
        values = [columns.get(name, np.zeros(frames))[index] for name in NAMES]
        lines.append(f"20:56:{30 + second:02}:{frame:02}.134,61," + ",".join(f"{value:.6f}" for value in values))
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_recording_moves_what_its_blend_shapes_do(tmp_path: Path, demo: EDTalk):
    ramp = np.linspace(0, 1, 60)
    path = write_csv(
        tmp_path / "take.csv",
        EyeBlinkLeft=ramp, EyeBlinkRight=ramp, JawOpen=ramp / 2, HeadYaw=np.radians(20 * ramp),
    )  # fmt: skip
    assert is_live_link(path)
    motion, warning = motion_from_file(demo, path)
    assert warning is None
    assert (motion.frames, motion.fps) == (60, 60)
    lids = motion.track("expression")[:, demo.bases.lids.base]
    assert lids[0] == pytest.approx(0, abs=1e-4)
    assert lids[-1] == pytest.approx(demo.bases.lids.closed, rel=0.01)
    others = np.delete(motion.track("expression").numpy(), demo.bases.lids.base, axis=1)
    assert np.abs(others).max() < 0.01
    yaw = motion.track("pose")[:, demo.bases.pose.index("yaw")]
    assert yaw[-1] - yaw[0] == pytest.approx(10, abs=0.1)
    assert abs(float(yaw.mean())) < 1e-4
    assert motion.track("lip")[-1, 0] == pytest.approx(6, abs=0.01)


def test_a_smile_on_one_side_is_crooked(demo: EDTalk):
    one = np.ones(3)
    both = FaceCapture({f"mouthSmile{s}": one for s in ("Left", "Right")}, np.zeros((3, 3)), 25.0)
    left = FaceCapture({"mouthSmileLeft": one}, np.zeros((3, 3)), 25.0)
    names = demo.bases.expression
    straight, crooked = (motion_from_capture(demo, capture).track("expression")[0] for capture in (both, left))
    assert straight[names.index("smile")] > 0.7 * UNIT
    assert abs(float(straight[names.index("corner")])) < 0.25 * UNIT
    assert crooked[names.index("corner")] > 0.4 * UNIT


def test_lost_frames_are_interpolated(tmp_path: Path):
    ramp = np.linspace(0, 1, 60)
    whole = read_live_link(write_csv(tmp_path / "whole.csv", JawOpen=ramp))
    gaps = read_live_link(write_csv(tmp_path / "gaps.csv", JawOpen=ramp, lost=(10, 11, 30)))
    assert np.allclose(whole.coefficients["jawOpen"], gaps.coefficients["jawOpen"], atol=1e-5)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a,b\n1,2\n", "begins with Timecode"),
        ("Timecode,BlendshapeCount,JawOpen\n", "no frames"),
        ("Timecode,BlendshapeCount,JawOpen\nnow,1,0.5\n", "line 2.*no time code"),
        ("Timecode,BlendshapeCount,JawOpen\n00:00:00:01.0,1,x\n", "line 2.*1 finite numbers"),
        ("Timecode,BlendshapeCount,JawOpen\n00:00:00:01.0,1,nan\n", "line 2"),
        ("Timecode,BlendshapeCount,JawOpen\n00:00:00:01.0,1\n", "line 2"),
        ("Timecode,BlendshapeCount,JawOpen\n00:00:00:02.0,1,0\n00:00:00:01.0,1,0\n", "do not rise"),
        ("Timecode,BlendshapeCount,JawOpen\n00:00:00:02.0,1,0\n999:00:00:01.0,1,0\n", "cut it into parts"),
    ],
)
def test_refuses(tmp_path: Path, text: str, reason: str):
    path = tmp_path / "take.csv"
    path.write_text(text)
    with pytest.raises(MotionError, match=reason):
        read_live_link(path)


def landmarks(frames: int = 5, missing: tuple[int, ...] = ()) -> dict:
    """FACE_LANDMARKS of a head that turns to the picture's right, as ComfyUI's node gives them."""

    def face(index: int) -> dict:
        angle = np.radians(5 * index)
        matrix = np.eye(4)
        matrix[:3, :3] = [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
        return {"blendshapes": {"_neutral": 0.0, "jawOpen": index / 10}, "transformation_matrix": matrix}

    return {"frames": [[] if index in missing else [face(index)] for index in range(frames)], "image_size": (64, 64)}


def test_face_landmarks_turn_the_head_and_open_the_jaw(demo: EDTalk):
    capture = capture_from_landmarks(landmarks(), 30.0)
    assert capture.head[:, 0].tolist() == pytest.approx([0, 5, 10, 15, 20])
    assert np.abs(capture.head[:, 1:]).max() < 1e-6
    motion = motion_from_capture(demo, capture)
    assert (motion.frames, motion.fps) == (5, 30)
    assert motion.track("lip")[4, 0] > motion.track("lip")[0, 0]
    gaps = capture_from_landmarks(landmarks(missing=(2,)), 30.0)
    assert np.allclose(gaps.head, capture.head)


def test_no_face_in_any_frame_is_said():
    with pytest.raises(FaceError, match="no face 0 in any of the 5"):
        capture_from_landmarks(landmarks(missing=tuple(range(5))), 25.0)


def test_a_model_without_names_says_so(demo: EDTalk, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(demo, "bases", Bases())
    with pytest.raises(MotionError, match="have no names"):
        motion_from_capture(demo, capture_from_landmarks(landmarks(), 25.0))
