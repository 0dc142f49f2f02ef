"""The whole way from files to a file, with a real, untrained model of 32 px."""

from __future__ import annotations

import json
import logging
import shutil
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from edtalk_core.builtin_files import builtin_file
from edtalk_core.checkpoints.loading import load_model
from edtalk_core.errors import ArgumentError, Cancelled, EDTalkError, MotionError
from edtalk_core.media.audio import Audio, read_audio
from edtalk_core.media.picture import read_picture
from edtalk_core.media.video import VideoReader
from edtalk_core.media.video_writer import VideoWriter
from edtalk_core.model import EDTalk
from edtalk_core.motion.bases import Bases, Lids
from edtalk_core.motion.files import load_motion, save_motion
from edtalk_core.motion.motion import TRACKS, Motion
from edtalk_core.networks.pose_flow import PoseFlow
from edtalk_core.networks.sizes import ModelSizes
from edtalk_core.pipeline import Drivers, animate, blink_rate, expression_source, lip_source, pose_source
from edtalk_core.sources.source import FromFlow, FromMotion, FromSound, FromVideo, Own, Written

PORTRAIT = builtin_file("examples/portrait.jpg")
SPEECH = builtin_file("examples/speech.flac")


@pytest.fixture(scope="module")
def model(tiny_bundle):
    return load_model(tiny_bundle)


@pytest.fixture(scope="module")
def flowing_model(tiny_bundle):
    """The same model with a pose flow, untrained but for the scale of what it draws."""
    torch.manual_seed(1)
    model = load_model(tiny_bundle)
    model.pose_flow = PoseFlow(steps=2, width=16, span=8).eval()
    return model


@pytest.fixture(scope="module")
def cropped():
    """The face of the example portrait, so that tests need not look for it: use with crop="none"."""
    return np.ascontiguousarray(read_picture(PORTRAIT)[40:200, 145:305])


@pytest.fixture(scope="module")
def short_sound():
    speech = read_audio(SPEECH)
    return Audio(speech.samples[:, : round(1.03 * speech.sample_rate)], speech.sample_rate)


@pytest.fixture(scope="module")
def actor(tmp_path_factory, short_sound):
    """A video of the example face, shaken, 12 frames at 10 fps with sound."""
    path = tmp_path_factory.mktemp("actor") / "actor.mp4"
    picture = read_picture(PORTRAIT)
    with VideoWriter(path, 10, (224, 224), audio=short_sound) as writer:
        for frame in range(12):
            left = 110 + 6 * (frame % 3)
            writer.write(np.ascontiguousarray(picture[10:234, left : left + 224]))
    return path


@pytest.fixture
def talk(model, cropped, tmp_path):
    """`animate` with the arguments that most tests have in common."""

    def talk(driver=None, output=tmp_path / "out.mp4", **arguments):
        return animate(arguments.pop("model", model), cropped, driver, output, crop="none", **arguments)

    return talk


def some_motion(frames: int, fps: float = 25.0) -> Motion:
    generator = torch.Generator().manual_seed(frames)
    widths = {"lip": 20, "pose": 6, "expression": 10}
    return Motion(fps=fps, **{name: torch.randn(frames, width, generator=generator) for name, width in widths.items()})


@pytest.mark.parametrize(
    ("fps", "frames", "exact"),
    [(None, 26, Fraction(25)), (30, 31, Fraction(30)), (29.97, 31, Fraction(30000, 1001)), (12.5, 13, Fraction(25, 2))],
)
def test_frames_are_duration_times_fps_and_the_sound_is_whole(talk, short_sound, fps, frames, exact):
    result = talk(short_sound, fps=fps)
    assert result.frames == frames == round(short_sound.duration * exact)
    with av.open(str(result.path)) as container:
        video, sound = container.streams.video[0], container.streams.audio[0]
        assert video.average_rate == exact
        assert (video.width, video.height) == result.size == (32, 32)
        assert sum(1 for _ in container.decode(video)) == frames
        assert sound.sample_rate == short_sound.sample_rate
        assert float(sound.duration * sound.time_base) == pytest.approx(short_sound.duration, abs=0.04)


def test_the_file_says_what_it_is(talk, short_sound):
    result = talk(short_sound, expression="happy:0.5")
    with av.open(str(result.path)) as container:
        tags = container.metadata
    assert "AI-generated with EDTalk" in tags["comment"]
    assert "trainedAlgorithmicMedia" in tags["digital_source_type"]
    assert json.loads(tags["edtalk_settings"]) == {"lip": "audio", "pose": "own", "expression": "happy:0.5"}


@pytest.mark.parametrize(("size", "expected"), [("model", 32), ("own", 160), (96, 96), ("own:64", 64)])
def test_the_size_of_the_video(talk, size, expected):
    result = talk(motion=some_motion(3), size=size)
    assert result.size == VideoReader(result.path).size == (expected, expected)


def test_the_whole_picture_moves(model, tmp_path):
    picture = read_picture(PORTRAIT)
    result = animate(model, picture, None, tmp_path / "out.mp4", motion=some_motion(2), whole=True, size="own")
    assert result.size == VideoReader(result.path).size == (512, 512)
    shown = [frame.astype(int) for _, frame in VideoReader(result.path)]
    assert len(shown) == 2
    assert np.abs(shown[1] - picture)[:, -40:].mean() < 3  # beside the crop, but for the video's compression


def test_lips_follow_the_sound_and_the_rest_stays(talk, short_sound):
    result = talk(short_sound)
    assert result.sources == {"lip": "audio", "pose": "own", "expression": "own"}
    assert result.motion.lip.std(dim=0).max() > 0
    for name in ("pose", "expression"):
        track = result.motion.track(name)
        assert torch.equal(track, track[:1].expand_as(track))


@pytest.fixture(scope="module")
def blinking_model(tiny_bundle):
    """The same model, whose base 8 of the expression closes the eyes."""
    model = load_model(tiny_bundle)
    model.bases = Bases(lids=Lids(8, 3.0))
    return model


def test_a_portrait_that_speaks_blinks_by_itself_if_the_model_can(talk, blinking_model):
    sound = Audio(np.tile(read_audio(SPEECH).samples, 2)[:, : 10 * 16_000], 16_000)
    result = talk(sound, model=blinking_model, expression="happy", fps=5, seed=4)
    still = talk(sound, model=blinking_model, expression="happy", fps=5, seed=4, blink=0)
    assert still.blinks == ()
    assert 1 <= len(result.blinks) <= 8
    added = result.motion.expression - still.motion.expression
    assert torch.equal(result.motion.lip, still.motion.lip)
    frames = {min(result.frames - 1, round(blink.middle * 5)) for blink in result.blinks}
    assert frames <= set(added[:, 8].nonzero()[:, 0].tolist())
    assert added[:, :8].abs().max() == 0
    assert talk(sound, model=blinking_model, fps=5, seed=4).blinks == result.blinks
    with av.open(str(result.path)) as container:
        assert json.loads(container.metadata["edtalk_settings"])["blink"] == 17


def test_blinks_are_added_where_they_are_asked_for(talk, model, blinking_model, actor, tmp_path):
    """A recorded expression blinks by itself, and a model without names of its bases does not know how."""
    motion = some_motion(100)
    assert talk(motion=motion, model=blinking_model).motion.equals(motion, 1e-6)
    saved = tmp_path / "blinking.safetensors"
    result = talk(motion=motion, model=blinking_model, blink=60, save_motion_to=saved)
    assert result.blinks
    assert not result.motion.equals(motion, 0.1)
    assert load_motion(saved).equals(result.motion)
    for asked, source, used in (
        (None, FromVideo(actor), blinking_model),
        (None, Own(), model),
        (0.0, Own(), blinking_model),
    ):
        assert blink_rate(asked, source, Drivers(), used) == 0
    assert blink_rate(None, Written("happy"), Drivers(), blinking_model) == 17
    assert blink_rate(None, Own(), Drivers(motion=FromMotion(motion)), blinking_model) == 0
    assert blink_rate(5.0, FromVideo(actor), Drivers(), model) == 5
    with pytest.raises(ArgumentError, match="blink rate"):
        talk(motion=motion, blink=-1)


def test_silence_is_added_to_picture_and_sound(talk, short_sound):
    plain = talk(short_sound)
    padded = talk(short_sound, silence_before=0.4, silence_after=0.2)
    assert padded.frames == round((short_sound.duration + 0.6) * 25)
    # Away from the seams the same sound gives the same lips, ten frames later.
    assert torch.allclose(padded.motion.lip[16:30], plain.motion.lip[6:20], atol=1e-4)
    assert read_audio(padded.path).duration == pytest.approx(short_sound.duration + 0.6, abs=0.04)


def test_a_motion_is_rendered_as_it_is(talk, tmp_path):
    motion = some_motion(7, fps=12.0)
    result = talk(motion=save_motion(motion, tmp_path / "motion.safetensors"))
    assert result.motion.equals(motion)
    assert (result.frames, result.fps) == (7, 12.0)
    assert result.sources == dict.fromkeys(TRACKS, "motion")
    assert not VideoReader(result.path).has_audio


def test_what_is_asked_for_comes_before_the_motion(talk, short_sound):
    motion = some_motion(10)
    result = talk(short_sound, motion=motion, pose="own", expression="own")
    assert result.frames == 26
    assert torch.equal(result.motion.lip[:10], motion.lip)
    assert result.sources == {"lip": "motion", "pose": "own", "expression": "own"}


def test_a_pose_shorter_than_the_sound_goes_back_and_forth(talk, short_sound):
    pose = some_motion(10).select("pose")
    result = talk(short_sound, motion=pose)
    assert torch.equal(result.motion.pose[10:18], pose.pose[1:9].flip(0))


def test_saved_motion_renders_the_same_again(talk, short_sound, tmp_path):
    saved = tmp_path / "saved.safetensors"
    first = talk(short_sound, output=tmp_path / "a.mp4", expression="sad", save_motion_to=saved)
    assert load_motion(saved).equals(first.motion)
    again = talk(short_sound, output=tmp_path / "b.mp4", motion=saved)
    for (_, left), (_, right) in zip(VideoReader(first.path), VideoReader(again.path), strict=True):
        assert np.array_equal(left, right)


def test_a_video_drives_everything_and_gives_its_sound(talk, actor):
    result = talk(actor)
    assert result.sources == dict.fromkeys(TRACKS, "video")
    assert result.frames == round(read_audio(actor).duration * 25)
    assert result.motion.pose.std(dim=0).max() > 0
    assert VideoReader(result.path).has_audio


def test_arguments_become_sources(model, flowing_model, short_sound):
    motion, video = FromMotion(some_motion(3)), FromVideo(Path("actor.mp4"), wait=0.5)
    head = FromVideo(Path("head.mp4"), name="pose video")
    nothing, sound = Drivers(), Drivers(sound=short_sound)
    actor, everything = Drivers(sound=short_sound, video=video), Drivers(short_sound, video, 1.0, motion, head)
    lips = FromMotion(some_motion(3).select("lip"))

    assert [lip_source(None, d) for d in (everything, actor, sound, nothing)] == [
        motion, video, FromSound(short_sound), Own(),
    ]  # fmt: skip
    assert lip_source("audio", everything) == FromSound(short_sound)
    assert lip_source("own", everything) == Own()

    assert pose_source(None, everything, flowing_model) == head
    assert pose_source(None, actor, flowing_model) == video
    assert pose_source(None, sound, flowing_model, 5, 0.5) == FromFlow(short_sound, 5, 0.5)
    assert pose_source(None, sound, model) == Own()
    assert pose_source(None, Drivers(motion=lips), flowing_model) == Own()
    assert pose_source("flow", Drivers(motion=motion), flowing_model) == FromFlow(None)
    assert pose_source(None, sound, flowing_model, emotion="sad", nods=1) == FromFlow(
        short_sound, emotion="sad", nods=1
    )
    for felt in ({"emotion": "sad"}, {"nods": 1.0}):
        with pytest.raises(ArgumentError, match="are of the pose flow"):
            pose_source("still", sound, flowing_model, **felt)

    assert expression_source(None, Drivers(motion=motion, video=video)) == motion
    assert expression_source(None, Drivers(motion=lips, video=video)) == video
    assert expression_source(" video ", actor) == video
    assert expression_source("own", everything) == Own()
    for words in ("audio", "flow", "still", "pose video", "happy:0.8"):
        assert expression_source(words, everything) == Written(words)


def test_a_video_that_was_not_read_lasts_as_its_file(short_sound):
    video, motion = FromVideo(Path("actor.mp4")), FromMotion(some_motion(50))
    drivers = Drivers(video=video, video_seconds=3.0, motion=motion)
    assert drivers.seconds({}) == {"video": 3.0, "motion": 2.0}
    assert drivers.seconds({video: some_motion(25)}) == {"video": 1.0, "motion": 2.0}
    assert Drivers(sound=short_sound).seconds({}) == {"audio": short_sound.duration}


def test_words_are_not_taken_for_a_source(talk, short_sound):
    with pytest.raises(ArgumentError, match="There is no emotion 'audio'; known are"):
        talk(short_sound, expression="audio")


def test_tracks_of_a_video_are_chosen_one_by_one(talk, actor):
    result = talk(actor, lip="audio", pose="still", expression="happy")
    assert result.sources == {"lip": "audio", "pose": "own", "expression": "happy"}
    assert torch.equal(result.motion.pose, result.motion.pose[:1].expand_as(result.motion.pose))


def test_another_video_moves_the_head(talk, actor, short_sound):
    result = talk(short_sound, pose_video=actor)
    assert result.sources == {"lip": "audio", "pose": "pose video", "expression": "own"}
    assert result.motion.pose.std(dim=0).max() > 0


def test_the_pose_flow_starts_at_the_portrait_and_follows_its_seed(talk, flowing_model, short_sound):
    one = talk(short_sound, model=flowing_model, lip="own", seed=1)
    other = talk(short_sound, model=flowing_model, lip="own", seed=2)
    assert one.sources["pose"] == "flow"
    assert torch.allclose(one.motion.pose[0], other.motion.pose[0])
    assert not torch.allclose(one.motion.pose[1:], other.motion.pose[1:], atol=1e-3)


def test_the_face_is_found_when_it_is_not_cropped(model, short_sound, tmp_path):
    result = animate(model, PORTRAIT, short_sound, tmp_path / "out.mp4")
    assert result.frames == 26


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({}, "nothing to animate"),
        ({"motion": "motion", "lip": "video"}, "need a video"),
        ({"motion": "motion", "lip": "audio"}, "need a sound"),
        ({"motion": "motion", "lip": "mouth"}, "mouth"),
        ({"motion": "motion", "pose": "video"}, "pose video"),
        ({"motion": "motion", "pose": "flow"}, "no pose flow"),
        ({"motion": "motion", "pose": "sideways"}, "sideways"),
        ({"motion": "motion", "pose": "still", "pose_video": "actor"}, "leave one"),
        ({"motion": "motion", "expression": "video"}, "from video"),
        ({"motion": "motion", "expression": "hapy"}, "happy"),
        ({"motion": "motion", "expression": "audio"}, "There is no emotion 'audio'"),
        ({"motion": "motion", "expression": "flow"}, "There is no emotion 'flow'"),
        ({"motion": "motion", "expression": "happy:9"}, "strength"),
        ({"motion": "motion", "expression": "0 hapy; 1 own"}, "happy"),
        ({"motion": "motion", "silence_after": 1.0}, "Silence"),
        ({"motion": "motion", "fps": 0.5}, "frame rate"),
        ({"motion": "motion", "output": "here.avi"}, "avi"),
        ({"motion": "motion", "output": "nowhere/out.mp4"}, "no folder"),
        ({"motion": "motion", "save_motion_to": "motion.txt"}, "safetensors"),
        ({"motion": "foreign"}, "another model"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_cannot_be_done_is_refused_before_anything_is_written(talk, tmp_path, actor, arguments, word):
    files = {"motion": some_motion(3), "actor": actor, "foreign": Motion(lip=torch.zeros(3, 7))}
    given = {
        name: files.get(value, value) if name in ("motion", "pose_video") else value
        for name, value in arguments.items()
    }
    for name in ("output", "save_motion_to"):
        if name in given:
            given[name] = tmp_path / given[name]
    with pytest.raises(EDTalkError, match=word):
        talk(**given)
    assert list(tmp_path.iterdir()) == []


def test_a_lip_pose_model_has_no_expressions(talk, short_sound):
    sizes = ModelSizes(resolution=16, style=32, expression=0, channels={4: 4, 8: 4, 16: 4})
    model = EDTalk(sizes).eval()
    result = talk(short_sound, model=model, lip="own")
    assert result.motion.expression is None
    with pytest.raises(MotionError, match="no expressions"):
        talk(short_sound, model=model, lip="own", expression="happy")


def test_without_audio_to_lip_the_missing_file_is_named(talk, short_sound):
    model = EDTalk(ModelSizes(resolution=16, style=40, channels={4: 4, 8: 4, 16: 4})).eval()
    with pytest.raises(MotionError, match=r"Audio2Lip\.pt"):
        talk(short_sound, model=model)


def test_an_input_is_never_overwritten(talk, actor, tmp_path):
    mine = tmp_path / "mine.mp4"
    shutil.copy(actor, mine)
    before = mine.read_bytes()
    (tmp_path / "sub").mkdir()
    with pytest.raises(ArgumentError, match="one of the inputs"):
        talk(mine, output=tmp_path / "sub" / ".." / "mine.mp4")
    assert mine.read_bytes() == before


def test_a_cancelled_run_keeps_its_frames_and_the_older_video(talk, tmp_path, caplog):
    output = tmp_path / "out.mp4"
    output.write_bytes(b"an older video")

    def stop(stage, done, total):
        if stage == "render" and done >= 40:
            raise Cancelled("enough")

    with caplog.at_level(logging.WARNING, logger="edtalk"), pytest.raises(Cancelled, match="enough"):
        talk(motion=some_motion(200), progress=stop)
    assert output.read_bytes() == b"an older video"
    (partial,) = (path for path in tmp_path.iterdir() if path != output)
    assert str(partial) in caplog.text
    assert "partial" in partial.name
    assert 1 <= sum(1 for _ in VideoReader(partial)) < 200


def test_progress_counts_every_stage(talk, actor):
    told = {}
    result = talk(
        actor, lip="audio", progress=lambda stage, done, total: told.setdefault(stage, []).append((done, total))
    )
    assert list(told) == ["lips", "video", "render"]
    assert told["render"][-1] == (result.frames, result.frames)
    for counts in told.values():
        assert [done for done, _ in counts] == sorted(done for done, _ in counts)
