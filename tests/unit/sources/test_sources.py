"""Sources of motion, with a real, tiny, untrained model."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from edtalk_core.checkpoints import load_model
from edtalk_core.errors import (
    ArgumentError,
    AudioError,
    Cancelled,
    EDTalkError,
    FaceError,
    MotionError,
    PictureError,
    VideoError,
)
from edtalk_core.media.audio import Audio
from edtalk_core.media.mel import mel_windows
from edtalk_core.media.picture import picture_to_image
from edtalk_core.media.video import VideoReader
from edtalk_core.media.video_writer import VideoWriter
from edtalk_core.model import EDTalk
from edtalk_core.motion.motion import Motion
from edtalk_core.motion.operations import smooth
from edtalk_core.motion.presets import Preset, save_preset
from edtalk_core.networks.sizes import ModelSizes
from edtalk_core.sources.audio import motion_from_audio
from edtalk_core.sources.text import motion_from_preset, motion_from_timeline
from edtalk_core.sources.video import motion_from_frames, motion_from_picture, motion_from_video


@pytest.fixture(scope="module")
def model(tiny_bundle) -> EDTalk:
    return load_model(tiny_bundle)


@pytest.fixture(scope="module")
def lip_pose_model() -> EDTalk:
    torch.manual_seed(0)
    return EDTalk(ModelSizes(resolution=16, style=32, expression=0, channels={4: 4, 8: 4, 16: 6})).eval()


def voice(seconds: float, rate: int = 16000, channels: int = 1) -> Audio:
    """A buzz whose loudness and pitch wander, so that no two windows are alike."""
    time = np.arange(round(seconds * rate)) / rate
    sound = np.sin(2 * np.pi * (120 * time + 30 * np.sin(time))) ** 5 * (0.5 + 0.4 * np.sin(5 * time))
    return Audio(np.tile(sound.astype(np.float32), (channels, 1)), rate)


def face(seed: int, size: int = 64) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (size, size, 3), dtype=np.uint8)


# Sounds


def test_lips_of_a_sound_are_the_smoothed_weights_of_its_mel_windows(model):
    sound = voice(2.1)
    motion = motion_from_audio(model, sound)
    with torch.inference_mode():
        expected = smooth(model.audio_to_lip(mel_windows(sound.samples[0])))
    assert list(motion.tracks) == ["lip"]
    assert (motion.frames, motion.fps) == (52, 25)
    assert torch.allclose(motion.lip, expected, atol=1e-5)
    assert motion.lip.std(0).min() > 0


@pytest.mark.parametrize("batch", [3, 1000])
def test_lips_do_not_depend_on_the_batch(model, batch):
    assert motion_from_audio(model, voice(0.4), batch=batch).equals(motion_from_audio(model, voice(0.4)), 1e-5)


@pytest.mark.parametrize(("rate", "channels"), [(44100, 2), (8000, 1), (48000, 1)])
def test_lips_of_any_rate_and_channels_last_as_long(model, rate, channels):
    assert motion_from_audio(model, voice(3.0, rate, channels)).frames == 75


def test_silence_is_added_before_and_after(model):
    plain = motion_from_audio(model, voice(2.0))
    padded = motion_from_audio(model, voice(2.0), silence_before=0.4, silence_after=0.2)
    assert padded.frames == plain.frames + 15
    inside = slice(12, 46)  # away from the ends, where the windows hear what was added
    assert torch.allclose(padded.lip[10:][inside], plain.lip[inside], atol=1e-4)
    assert padded.lip[1:7].std(0).max() < 1e-5  # silence: a mouth that stays
    assert padded.lip[2:6].std(0).max() < plain.lip.std(0).max() / 10


def test_lips_from_a_file(model, shared):
    path = shared / "data" / "speech" / "anitalker_english_male.mp3"
    motion = motion_from_audio(model, path)
    assert motion.frames > 50
    assert motion.lip.diff(dim=0).abs().max() > 0


def test_progress_counts_frames_and_cancels(model):
    calls = []
    motion_from_audio(model, voice(1.0), batch=10, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(10, 25), (20, 25), (25, 25)]

    def cancel(done: int, total: int | None) -> None:
        raise Cancelled("stop")

    with pytest.raises(Cancelled):
        motion_from_audio(model, voice(1.0), batch=10, progress=cancel)


# Videos


def write_video(path: Path, pictures: list[np.ndarray], fps: float) -> Path:
    with VideoWriter(path, fps, (pictures[0].shape[1], pictures[0].shape[0])) as writer:
        for picture in pictures:
            writer.write(picture)
    return path


def shades(count: int, size: int = 64) -> list[np.ndarray]:
    """Pictures of an even grey that grows lighter: the weights tell which frame was read."""
    return [np.full((size, size, 3), 40 + 160 * i // count, np.uint8) for i in range(count)]


@pytest.mark.parametrize(("fps", "count"), [(25, 20), (50, 40), (30, 24), (30000 / 1001, 24), (12.5, 10)])
def test_a_video_of_any_rate_is_read_at_25_by_time(model, tmp_path, fps, count):
    path = write_video(tmp_path / "v.mp4", shades(count), fps)
    motion, crop = motion_from_video(model, path, crop="none", batch=7)
    assert (motion.frames, motion.fps) == (20, 25)
    assert (crop.box, crop.frames, crop.faceless) == ((0, 0, 64, 64), 0, 0)
    frames = list(VideoReader(path))
    for index in (0, 7, 19):
        shown = [picture for time, picture in frames if time <= index / 25 + 1e-6][-1]
        assert motion.frame(index).equals(motion_from_picture(model, shown), tolerance=1e-4)
    assert not motion.frame(7).equals(motion.frame(8), tolerance=1e-3)  # the frames can be told apart


def test_a_video_read_by_a_lip_pose_model_has_no_expression(lip_pose_model, tmp_path):
    motion, _ = motion_from_video(lip_pose_model, write_video(tmp_path / "v.mp4", shades(5), 25), crop="none")
    assert list(motion.tracks) == ["lip", "pose"]


def test_a_given_box_is_cut_and_nothing_searched(model, tmp_path):
    pictures = [np.pad(face(0, 50), ((20, 10), (30, 0), (0, 0)))] * 3
    path = write_video(tmp_path / "v.mp4", pictures, 25)
    calls = []
    motion, crop = motion_from_video(
        model, path, box=(35, 25, 75, 65), progress=lambda done, total: calls.append((done, total))
    )
    assert crop.frames == 0
    left, top, right, bottom = crop.box
    assert (left, top, right, bottom) == (31, 21, 79, 69)
    seen = crop.cut(next(iter(VideoReader(path)))[1])
    assert motion.frame(0).equals(motion_from_picture(model, seen), tolerance=1e-4)
    assert calls[-1] == (3, 3)


def test_frames_without_a_face_keep_the_box_and_are_counted(model, tmp_path, shared):
    clip = VideoReader(shared / "data" / "clips" / "aoc_00.mp4")
    pictures = [picture for _, picture in islice(clip, 12)]
    pictures[5:8] = [np.full_like(pictures[0], 128)] * 3
    path = write_video(tmp_path / "v.mp4", pictures, 25)
    calls = []
    motion, crop = motion_from_video(
        model, path, crop="box", batch=5, progress=lambda done, total: calls.append((done, total))
    )
    assert motion.frames == crop.frames == 12
    assert crop.faceless == 3
    assert "3 of 12" in crop.warning
    grey = motion_from_picture(model, np.full((32, 32, 3), 128, np.uint8))
    assert motion.frame(6).equals(grey, tolerance=0.05)
    assert not motion.frame(2).equals(grey, tolerance=0.05)
    # The search, then the reading in fives: each is half of the work on a frame, and the clip has twelve.
    assert [done for done, _ in calls] == [*(half // 2 for half in (*range(1, 13), 17, 22, 24)), 12]
    assert {total for _, total in calls} == {12}


def test_progress_ends_at_the_frames_there_are_when_more_were_expected(model):
    calls = []
    motion, _ = motion_from_frames(
        model,
        lambda: [(number / 25, picture) for number, picture in enumerate(shades(10))],
        duration=1.0,
        crop="none",
        progress=lambda done, total: calls.append((done, total)),
    )
    assert motion.frames == 10
    assert calls == [(10, 25), (10, 10)]


def test_a_picture_that_is_shown_for_long_is_read_once(model, monkeypatch):
    still, last = shades(2)
    read = []
    read_weights = model.read_weights
    monkeypatch.setattr(model, "read_weights", lambda images: read.append(len(images)) or read_weights(images))
    times = [(0.0, still), (10.0, last)]
    motion, _ = motion_from_frames(model, lambda: times, duration=20.0, crop="none")
    assert motion.frames == 500
    assert sum(read) == 2
    for frame, picture in ((0, still), (249, still), (250, last), (499, last)):
        assert motion.frame(frame).equals(motion_from_picture(model, picture), tolerance=1e-4)


def test_cancelling_while_a_video_is_read_stops_at_once(model, tmp_path):
    path = write_video(tmp_path / "v.mp4", shades(20), 25)
    calls = []

    def cancel(done: int, total: int | None) -> None:
        calls.append(done)
        raise Cancelled("stop")

    with pytest.raises(Cancelled):
        motion_from_video(model, path, crop="none", batch=4, progress=cancel)
    assert calls == [4]


def published_npy(folder: Path) -> Path:
    np.save(folder / "angry.npy", np.zeros((1, 10), np.float32))
    return folder / "angry.npy"


@pytest.mark.parametrize(
    ("make", "error", "word"),
    [
        pytest.param(published_npy, VideoError, "NumPy array .* preset", id="preset-npy"),
        pytest.param(
            lambda folder: save_preset(Preset("a", (1.0,)), folder / "a.json"), VideoError, "JSON", id="preset-json"
        ),
        pytest.param(lambda folder: folder / "none.mp4", VideoError, "none.mp4", id="missing"),
        pytest.param(lambda folder: folder, VideoError, "folder", id="folder"),
        pytest.param(lambda folder: write_video(folder / "v.mp4", shades(3), 25), FaceError, "No face", id="no-face"),
    ],
)
def test_refuses_a_video(model, tmp_path, make, error, word):
    with pytest.raises(error, match=word) as caught:
        motion_from_video(model, make(tmp_path))
    assert isinstance(caught.value, EDTalkError)


def test_refuses_a_bad_batch_or_box(model, tmp_path):
    path = write_video(tmp_path / "v.mp4", shades(3), 25)
    with pytest.raises(ArgumentError, match="batch"):
        motion_from_video(model, path, crop="none", batch=0)
    with pytest.raises(ArgumentError, match="box"):
        motion_from_video(model, path, box=(50, 50, 10, 10))


# Pictures and presets


def test_a_picture_gives_what_the_model_reads(model):
    motion = motion_from_picture(model, face(0))
    lip, pose, expression = model.read_weights(picture_to_image(face(0), 32))
    assert motion.frames == 1
    assert motion.equals(Motion(lip, pose, expression), tolerance=1e-6)
    assert not motion.equals(motion_from_picture(model, face(1)), tolerance=1e-3)


def test_a_picture_read_by_a_lip_pose_model_has_no_expression(lip_pose_model):
    assert list(motion_from_picture(lip_pose_model, face(0)).tracks) == ["lip", "pose"]


def test_a_preset_of_the_model_about_its_portrait(model):
    own = model.encode_portrait(picture_to_image(face(0), 32)).own
    motion = motion_from_preset(model, "happy", 0.5, own)
    expected = (own.expression[0] + torch.tensor(model.presets["happy"])) / 2
    assert torch.allclose(motion.expression[0], expected, atol=1e-5)
    assert torch.equal(motion_from_preset(model, "happy", 0, own).expression, own.expression)


def test_a_timeline_of_the_models_presets_lasts_until_its_last_key(model):
    own = model.encode_portrait(picture_to_image(face(0), 32)).own
    motion = motion_from_timeline(model, "0 own; 1 happy:0.5", own)
    assert (motion.frames, motion.fps) == (26, 25)
    assert torch.equal(motion.expression[0], own.expression[0])
    assert torch.equal(motion.expression[-1], motion_from_preset(model, "happy", 0.5, own).expression[0])
    assert motion_from_timeline(model, "0 own; 1 happy:0.5", own, duration=0.5, fps=30).frames == 15
    between_frames = motion_from_timeline(model, "0 own; 1.01 happy:0.5", own)
    assert between_frames.frames == 27
    assert torch.equal(between_frames.expression[-1], motion.expression[-1])


@pytest.mark.parametrize(
    ("use", "error", "word"),
    [
        pytest.param(lambda m, lp: motion_from_audio(lp, voice(1.0)), MotionError, "Audio2Lip.pt", id="no-network"),
        pytest.param(lambda m, lp: motion_from_audio(m, "no/such.wav"), AudioError, "such.wav", id="no-file"),
        pytest.param(lambda m, lp: motion_from_audio(m, voice(1.0), batch=0), ArgumentError, "batch", id="batch"),
        pytest.param(
            lambda m, lp: motion_from_audio(m, voice(1.0), silence_before=-1), ArgumentError, "before", id="silence"
        ),
        pytest.param(
            lambda m, lp: motion_from_audio(m, Audio(np.full((1, 16000), np.nan, np.float32), 16000)),
            AudioError,
            "finite",
            id="nan",
        ),
        pytest.param(lambda m, lp: motion_from_picture(m, face(0)[:, :30]), PictureError, "square", id="not-square"),
        pytest.param(lambda m, lp: motion_from_preset(lp, "happy", 1, "neutral"), MotionError, "lip.pose", id="preset"),
        pytest.param(
            lambda m, lp: motion_from_timeline(lp, "0 own", "neutral"), MotionError, "lip.pose", id="timeline"
        ),
        pytest.param(lambda m, lp: motion_from_preset(m, "hapy", 1, "neutral"), ArgumentError, "mean happy", id="typo"),
    ],
)
def test_refuses(model, lip_pose_model, use, error, word):
    with pytest.raises(error, match=word) as caught:
        use(model, lip_pose_model)
    assert isinstance(caught.value, EDTalkError)


def test_features_say_what_the_sound_says(tiny_bundle: Path):
    from edtalk_core import Audio, encode_audio, load_model, motion_from_audio

    model = load_model(str(tiny_bundle))
    sound = Audio(np.random.default_rng(0).uniform(-0.3, 0.3, (2, 44_100)).astype(np.float32), 44_100)
    features = encode_audio(sound)
    assert (features.frames, features.duration) == (25, 1.0)
    assert motion_from_audio(model, features).equals(motion_from_audio(model, sound))
    with pytest.raises(ArgumentError, match="pad the sound"):
        motion_from_audio(model, features, silence_after=1.0)


def test_frames_of_no_file_are_read_like_those_of_one(tiny_bundle: Path, shared: Path):
    from edtalk_core import VideoReader, load_model, motion_from_frames, motion_from_video

    model = load_model(str(tiny_bundle))
    path = shared / "data" / "clips" / "lp_man0_00.mp4"
    frames = list(VideoReader(path))
    motion, found = motion_from_frames(model, lambda: frames, 78 / 25, crop="none")
    expected, expected_crop = motion_from_video(model, path, crop="none")
    assert motion.equals(expected)
    assert found.box == expected_crop.box
