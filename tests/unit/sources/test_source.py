"""Sources as values: what each is called, what motion it gives, and that a recording is read once."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

from edtalk_core.builtin_files import builtin_file
from edtalk_core.checkpoints.loading import load_model
from edtalk_core.errors import ArgumentError, MotionError
from edtalk_core.media.audio import Audio, read_audio
from edtalk_core.media.mel import encode_audio
from edtalk_core.media.picture import read_picture
from edtalk_core.media.video_writer import VideoWriter
from edtalk_core.motion.bases import Bases
from edtalk_core.motion.length import length_of_duration
from edtalk_core.motion.motion import Motion
from edtalk_core.motion.nods import speech_nods
from edtalk_core.networks.pose_flow import PoseFlow
from edtalk_core.sources.assembly import assemble
from edtalk_core.sources.audio import motion_from_audio
from edtalk_core.sources.flow import motion_from_flow
from edtalk_core.sources.source import (
    FromFlow,
    FromMotion,
    FromSound,
    FromVideo,
    Own,
    Written,
    compose,
    read_recordings,
)
from edtalk_core.sources.video import motion_from_video

OWN = Motion(lip=torch.zeros(1, 20), pose=torch.full((1, 6), 0.25), expression=torch.full((1, 10), 0.5))
LENGTH = length_of_duration(1.0, 10)


@pytest.fixture(scope="module")
def model(tiny_bundle):
    torch.manual_seed(1)
    model = load_model(tiny_bundle)
    model.pose_flow = PoseFlow(steps=2, width=16, span=8).eval()
    return model


@pytest.fixture(scope="module")
def sound():
    speech = read_audio(builtin_file("examples/speech.flac"))
    return Audio(speech.samples[:, : speech.sample_rate // 2], speech.sample_rate)


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("video") / "face.mp4"
    picture = read_picture(builtin_file("examples/portrait.jpg"))
    with VideoWriter(path, 10, (224, 224)) as writer:
        for frame in range(6):
            writer.write(np.ascontiguousarray(picture[10:234, 110 + 6 * frame : 334 + 6 * frame]))
    return path


class Told:
    """Stages that were told of, in order, with how often."""

    def __init__(self) -> None:
        self.stages: dict[str, int] = {}

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        self.stages[stage] = self.stages.get(stage, 0) + 1


def read(model, *sources):
    return read_recordings(model, sources, Told())[0]


def moving(frames: int = 3, fps: float = 10.0) -> Motion:
    return Motion(lip=torch.arange(frames, dtype=torch.float32).unsqueeze(1).expand(-1, 20), fps=fps)


def test_each_source_has_the_name_that_users_know(sound):
    motion = moving()
    sources = [
        Own(),
        FromMotion(motion),
        FromSound(sound),
        FromVideo(Path("a.mp4")),
        FromVideo(Path("a.mp4"), name="pose video"),
        FromFlow(sound),
        Written("happy:0.8"),
    ]
    assert [source.name for source in sources] == [
        "own", "motion", "audio", "video", "pose video", "flow", "happy:0.8",
    ]  # fmt: skip


def test_sources_are_values(sound):
    motion = moving()
    assert FromSound(sound) == FromSound(sound)
    assert FromMotion(motion) == FromMotion(motion)
    assert FromMotion(motion) != FromMotion(motion, wait=1.0)
    assert FromVideo(Path("a.mp4")) != FromVideo(Path("a.mp4"), name="pose video")
    assert Written("own") != Own()
    assert len({Own(), Own(), FromFlow(seed=1), FromFlow(seed=1), FromFlow(seed=2)}) == 3


def test_the_own_is_neither_read_nor_composed(model):
    assert read(model, Own()) == {}
    assert compose(model, [Own()], OWN, LENGTH, Told()) == {}


def test_a_motion_waits_at_its_first_frame(model):
    source = FromMotion(moving(), wait=0.2)
    assert read(model, source)[source].lip[:, 0].tolist() == [0, 0, 0, 1, 2]
    straight = FromMotion(moving())
    assert read(model, straight)[straight] is straight.motion


def test_a_sound_gives_its_lips(model, sound):
    source, told = FromSound(sound), Told()
    motions, warnings = read_recordings(model, [source, Own()], told)
    assert motions[source].equals(motion_from_audio(model, sound))
    assert list(told.stages) == ["lips"]
    assert warnings == []


def test_a_video_is_read_once_for_all_tracks_and_tells_its_own_stage(model, video):
    source, told = FromVideo(video), Told()
    motions, _ = read_recordings(model, [source, FromVideo(video), source], told)
    single = Told()
    read_recordings(model, [source], single)
    assert told.stages == single.stages
    assert list(told.stages) == ["video"]
    assert motions[source].equals(motion_from_video(model, video)[0])


def test_a_pose_video_is_read_beside_the_driver(model, video):
    other, told = FromVideo(video, wait=0.08, name="pose video"), Told()
    motions, _ = read_recordings(model, [FromVideo(video), other], told)
    assert list(told.stages) == ["video", "pose video"]
    assert motions[other].frames == motions[FromVideo(video)].frames + 2


def test_a_warning_names_the_video(model, tmp_path):
    path = tmp_path / "gone.mp4"
    picture = read_picture(builtin_file("examples/portrait.jpg"))
    face = np.ascontiguousarray(picture[10:234, 110:334])
    with VideoWriter(path, 10, (224, 224)) as writer:
        for frame in range(8):
            writer.write(face if frame < 2 else np.full_like(face, 128))
    warnings = read_recordings(model, [FromVideo(path)], Told())[1]
    assert len(warnings) == 1
    assert warnings[0].startswith(f"{path}: ")


def test_the_flow_is_drawn_for_the_length_from_the_own_pose(model, sound):
    source, told = FromFlow(sound, seed=3, temperature=0.5), Told()
    motion = compose(model, [source], OWN, LENGTH, told)[source]
    expected = motion_from_flow(model, sound, OWN, duration=1.0, seed=3, temperature=0.5)
    assert motion.equals(expected)
    assert motion.duration == 1.0
    assert torch.equal(motion.pose[0], OWN.pose[0])
    assert list(told.stages) == ["head"]


def test_the_head_of_the_flow_nods_and_feels(model, sound):
    def pose(**options: object) -> torch.Tensor:
        source = FromFlow(sound, seed=3, **options)
        return compose(named, [source], OWN, LENGTH, Told())[source].pose

    named = copy.deepcopy(model)
    with pytest.raises(MotionError, match="does not name the base"):
        pose(nods=1.0)
    with pytest.raises(MotionError, match="has not learned"):
        pose(emotion="sad")
    named.bases = Bases(pose=("x", "y", "size", "roll", "yaw", "pitch"))
    named.pose_flow.add_emotions(8)
    with torch.no_grad():
        for step in named.pose_flow.steps:
            step.coupling.linear.weight.normal_(0, 0.03)  # of a new flow they are 0, and nothing is listened to
    plain, nodding = pose(), pose(nods=2.0)
    nod = speech_nods(encode_audio(sound))[0]
    assert torch.allclose((nodding - plain)[: len(nod), 5], 2 * (nod - nod[0]), atol=1e-5)
    assert torch.equal(nodding[:, :5], plain[:, :5])
    assert torch.equal(pose(emotion="sad"), plain)
    with torch.no_grad():
        named.pose_flow.emotion.weight.normal_(0, 3)
    assert torch.equal(pose(emotion="own"), plain)
    assert not torch.equal(pose(emotion="sad"), plain)


def test_a_timeline_is_as_long_as_the_result(model):
    source = Written("0 own; 0.5 happy")
    motion = compose(model, [source], OWN, LENGTH, Told())[source]
    assert (motion.frames, motion.fps) == (10, 10.0)
    assert torch.equal(motion.expression[0], OWN.expression[0])
    assert torch.allclose(motion.expression[-1], torch.tensor(model.presets["happy"]), atol=1e-5)


@pytest.mark.parametrize("word", ["audio", "flow", "still", "lip"])
def test_words_are_never_taken_for_another_source(model, word):
    with pytest.raises(ArgumentError, match=f"There is no emotion '{word}'"):
        compose(model, [Written(word)], OWN, LENGTH, Told())


def test_tracks_of_different_sources_become_one_motion(model):
    from edtalk_core.model import Portrait

    portrait = Portrait(torch.zeros(1, 512), (), OWN)
    made = assemble(model, portrait, {"lip": moving(20), "pose": OWN}, length_of_duration(1.0, 25))
    assert (made.frames, made.fps) == (25, 25.0)
    assert list(made.tracks) == ["lip", "pose", "expression"]
    assert torch.equal(made.expression, OWN.expression.expand(25, -1))
    still = assemble(model, portrait, {}, length_of_duration(0.2, 25))
    assert still.equals(Motion(**{n: t.expand(5, -1) for n, t in OWN.tracks.items()}, fps=25.0))
