"""New lips for a video: what changes and what does not, lengths, faces that are not there, files, the command."""

from __future__ import annotations

import json
import logging
import weakref
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch

from edtalk_core.builtin_files import builtin_file
from edtalk_core.checkpoints.loading import load_model
from edtalk_core.cli import main
from edtalk_core.dubbing import dub, dub_pictures
from edtalk_core.errors import ArgumentError, Cancelled, EDTalkError, FaceError, MotionError, PictureError, VideoError
from edtalk_core.face.following import FacePath, follow_face
from edtalk_core.face.paste import PasteBack
from edtalk_core.media.audio import Audio, read_audio
from edtalk_core.media.picture import read_picture
from edtalk_core.media.video import VideoReader
from edtalk_core.media.video_writer import VideoWriter
from edtalk_core.model import EDTalk
from edtalk_core.motion.files import save_motion
from edtalk_core.motion.motion import Motion
from edtalk_core.networks.sizes import ModelSizes
from edtalk_core.rendering import FrameRenderer
from edtalk_core.sources.audio import motion_from_audio

SPEECH = builtin_file("examples/speech.flac")
WIDTH, HEIGHT = 240, 210


@pytest.fixture(scope="module")
def model(tiny_bundle):
    """Real and untrained, 32 px: its mouths are noise, which shows best where it is put."""
    return load_model(tiny_bundle)


@pytest.fixture(scope="module")
def demo():
    return load_model("demo")


def frame(number: int, face: bool = True) -> np.ndarray:
    """The example portrait, swaying, with a number of 6 bits at the top edge, away from the face."""
    picture = read_picture(builtin_file("examples/portrait.jpg"))
    left = 105 + round(4 * np.sin(number / 3))
    cut = np.ascontiguousarray(picture[10 : 10 + HEIGHT, left : left + WIDTH])
    if not face:
        cut[:] = cut.mean(axis=(0, 1)).astype(np.uint8)
    for bit in range(6):
        cut[:14, bit * 30 : bit * 30 + 30] = 255 * (number >> bit & 1)
    return cut


def number_of(picture: np.ndarray) -> int:
    return sum(1 << bit for bit in range(6) if picture[6, bit * 30 + 15].mean() > 127)


@pytest.fixture(scope="module")
def frames() -> list[np.ndarray]:
    """Twelve; the face is missing in 5 and 6."""
    return [frame(number, face=number not in (5, 6)) for number in range(12)]


@pytest.fixture(scope="module")
def path(frames) -> FacePath:
    return follow_face(frames, 10, size=32)


@pytest.fixture(scope="module")
def video(tmp_path_factory, frames) -> Path:
    """The frames at 10 a second, with a sound of its own."""
    file = tmp_path_factory.mktemp("video") / "video.mp4"
    hum = Audio(0.1 * np.sin(np.arange(12 * 1600, dtype=np.float32) / 20)[None], 16000)
    with VideoWriter(file, 10, (WIDTH, HEIGHT), audio=hum) as writer:
        for picture in frames:
            writer.write(picture)
    return file


def speech(seconds: float) -> Audio:
    whole = read_audio(SPEECH)
    return Audio(whole.samples[:, : round(seconds * whole.sample_rate)], whole.sample_rate)


@pytest.fixture(scope="module")
def lips(model) -> Motion:
    return motion_from_audio(model, speech(1.2))


def masks(path: FacePath) -> Iterator[np.ndarray | None]:
    for index, matrix in enumerate(path.matrices):
        if path.stretches[index] < 0:
            yield None
        else:
            yield PasteBack(matrix, path.frame_size, path.size, area="mouth", landmarks=path.landmarks[index]).mask


# --- pictures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_only_the_mouth_changes(model, frames, path, lips, kind):
    given = frames if kind == np.uint8 else [picture.astype(np.float32) / 255 + 1e-4 for picture in frames]
    found = list(dub_pictures(model, iter(given), path, lips))
    assert len(found) == len(given)
    for picture, before, mask in zip(found, given, masks(path), strict=True):
        assert picture.dtype == kind
        if mask is None:
            assert np.array_equal(picture, before)
        else:
            np.testing.assert_array_equal(picture[mask == 0], before[mask == 0])
            assert (picture[mask > 0.9] != before[mask > 0.9]).mean() > 0.8
            assert 0.02 < (mask > 0).mean() < 0.35


def test_floats_and_bytes_give_the_same(model, frames, path, lips):
    as_bytes = list(dub_pictures(model, frames, path, lips))
    as_floats = list(dub_pictures(model, [picture.astype(np.float32) / 255 for picture in frames], path, lips))
    for one, other in zip(as_bytes, as_floats, strict=True):
        assert np.abs(one - 255 * other).max() < 0.52


def test_batches_do_not_matter(model, frames, path, lips):
    alone, together = (
        list(dub_pictures(model, frames, path, lips, renderer=FrameRenderer(model, precision="fp32", batch=batch)))
        for batch in (1, 5)
    )
    for one, other in zip(alone, together, strict=True):
        assert np.abs(one.astype(int) - other).max() <= 1


def test_each_frame_is_its_own_portrait_and_says_what_the_lips_say(model, frames, path):
    """What is put in is what the model renders of the frame's own crop with the lips of its moment."""
    lips = Motion(lip=torch.randn(12, 20, generator=torch.Generator().manual_seed(0)), fps=10)
    renderer = FrameRenderer(model, precision="fp32")
    found = list(dub_pictures(model, frames, path, lips, match_colours=False, renderer=renderer))
    for index in (0, 4, 11):
        crop = torch.from_numpy(path.crop(index, frames[index])).permute(2, 0, 1)[None] / 127.5 - 1
        rendered = renderer.render(crop, lips.lip[index : index + 1])
        mouth = ((rendered[0].permute(1, 2, 0) + 1) / 2).clamp(0, 1).numpy()
        paste = PasteBack(path.matrices[index], (WIDTH, HEIGHT), 32, area="mouth", landmarks=path.landmarks[index])
        assert np.abs(paste.composite(frames[index], mouth).astype(int) - found[index]).max() <= 1


def test_lips_are_brought_to_the_frame_rate_and_held(model, frames, path):
    slow = Motion(lip=torch.eye(20)[:3], fps=5)
    given = Motion(lip=torch.eye(20)[:3].repeat_interleave(2, dim=0), fps=10)
    # At 10 fps there is a frame between two of 5 fps, linear; beyond the end the last one is held.
    between = Motion(
        lip=torch.stack([(given.lip[k] + given.lip[min(k + k % 2, 5)]) / 2 for k in range(6)] + [given.lip[5]] * 6),
        fps=10,
    )
    for one, other in zip(
        dub_pictures(model, frames, path, slow), dub_pictures(model, frames, path, between), strict=True
    ):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("factor", [2, 4])
def test_mouths_may_be_enlarged_before_they_are_pasted(model, frames, path, lips, factor):
    seen = []

    def upscale(images: torch.Tensor) -> torch.Tensor:
        seen.append(images)
        return torch.nn.functional.interpolate(images, scale_factor=factor, mode="bilinear")

    plain = list(dub_pictures(model, frames, path, lips))
    found = list(dub_pictures(model, frames, path, lips, upscale=upscale))
    assert sum(len(images) for images in seen) == 10
    assert all(images.shape[1:] == (3, 32, 32) and 0 <= images.min() <= images.max() <= 1 for images in seen)
    for one, other, mask in zip(plain, found, masks(path), strict=True):
        if mask is not None:
            # Smoother, and in the same place: half a pixel of the crop, the usual mistake, is 2 to 3 of the frame.
            inside = mask > 0.9
            assert not np.array_equal(one, other)
            assert np.abs(shift_between(one, other, inside)).max() <= 1


def shift_between(one: np.ndarray, other: np.ndarray, inside: np.ndarray) -> tuple[int, int]:
    """By how many pixels, down and to the right, the second picture must be moved to be most like the first."""
    smooth = [cv2.GaussianBlur(picture.astype(np.float32), (0, 0), 3) for picture in (one, other)]
    shifts = [(down, right) for down in range(-5, 6) for right in range(-5, 6)]
    return min(shifts, key=lambda shift: np.abs(smooth[0] - np.roll(smooth[1], shift, (0, 1)))[inside].mean())


@pytest.mark.parametrize(("size", "side"), [("model", 32), ("own", 125), (80, 80)])
def test_mouths_of_any_size_are_pasted_in_the_same_place(model, frames, path, lips, size, side, monkeypatch):
    sides = []
    composite = PasteBack.composite

    def watched(self, picture, mouth, **options):
        sides.append(len(mouth))
        return composite(self, picture, mouth, **options)

    monkeypatch.setattr(PasteBack, "composite", watched)
    dubbed = list(dub_pictures(model, frames, path, lips, size=size))
    assert sides == pytest.approx([side] * 10, abs=25 if size == "own" else 0)
    for picture, original, mask in zip(dubbed, frames, masks(path), strict=True):
        outside = np.ones(picture.shape[:2], bool) if mask is None else mask == 0
        assert np.array_equal(picture[outside], original[outside])


def test_pictures_come_and_go(model, path, lips):
    """However long the video is, no more pictures wait than are rendered together."""
    alive: list[weakref.ref[np.ndarray]] = []

    def pictures() -> Iterator[np.ndarray]:
        for number in range(12):
            picture = frame(number)
            alive.append(weakref.ref(picture))
            yield picture
            del picture
            assert sum(one() is not None for one in alive) <= 3 + 1

    long = path.take(np.zeros(12, int))
    for _ in dub_pictures(model, pictures(), long, lips, renderer=FrameRenderer(model, batch=3)):
        pass
    assert len(alive) == 12


def test_progress_counts_and_cancels(model, frames, path, lips):
    told = []

    def progress(done: int, total: int | None) -> None:
        told.append((done, total))
        if done == 7:
            raise Cancelled("enough")

    made = dub_pictures(model, frames, path, lips, progress=progress)
    with pytest.raises(Cancelled, match="enough"):
        list(made)
    assert told == [(number, 12) for number in range(1, 8)]


@pytest.mark.parametrize(
    ("arguments", "error", "word"),
    [
        ({"lips": Motion(pose=torch.zeros(3, 6))}, MotionError, "only pose"),
        ({"lips": Motion(lip=torch.zeros(3, 7))}, MotionError, "another model"),
        ({"feather": 0.7}, ArgumentError, "feather"),
    ],
)
def test_what_does_not_fit_is_refused_at_once(model, frames, path, lips, arguments, error, word):
    with pytest.raises(error, match=word):
        dub_pictures(model, frames, path, **{"lips": lips, **arguments})


def test_a_path_for_another_model_is_refused(demo, frames, path, lips):
    with pytest.raises(ArgumentError, match="size=256"):
        dub_pictures(demo, frames, path, lips)


@pytest.mark.parametrize(
    ("change", "error", "word"),
    [
        (lambda frames: frames[:9], VideoError, "9 of the 12"),
        (lambda frames: [*frames, frames[0]], VideoError, "more pictures than the 12"),
        (lambda frames: [picture[:100] for picture in frames], VideoError, "change size"),
        (lambda frames: [picture[..., :2] for picture in frames], PictureError, "picture"),
    ],
    ids=["fewer", "more", "size", "no pictures"],
)
def test_other_pictures_than_were_followed_are_refused(model, frames, path, lips, change, error, word):
    with pytest.raises(error, match=word):
        list(dub_pictures(model, change(frames), path, lips))


# --- with the demo weights: seams and flicker ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dubbed_demo(demo) -> tuple[list[np.ndarray], list[np.ndarray], FacePath]:
    before = [frame(number) for number in range(6)]
    path = follow_face(before, 25)
    return before, list(dub_pictures(demo, before, path, motion_from_audio(demo, speech(1.0)))), path


def test_there_is_no_seam(dubbed_demo):
    """In the mask's soft edge, where frame and render meet, broad differences stay below what an eye sees."""
    for before, after, mask in zip(*dubbed_demo[:2], masks(dubbed_demo[2]), strict=True):
        difference = cv2.GaussianBlur(after.astype(np.float32) - before, (0, 0), 2)
        ring = (mask > 0.05) & (mask < 0.5)
        # Of 255. Cheeks move along with a mouth that opens wide, and reach into the edge.
        assert np.abs(difference[ring]).mean() < 2
        # And no tint.
        assert np.abs(difference[(mask > 0.3) & (mask < 0.7)].mean(axis=0)).max() < 1.5


def test_the_edge_does_not_flicker(dubbed_demo):
    before, after, path = dubbed_demo
    changes = [
        cv2.GaussianBlur(one.astype(np.float32) - other, (0, 0), 2) for one, other in zip(after, before, strict=True)
    ]
    for (one, other), mask in zip(pairwise(changes), islice(masks(path), 1, None), strict=False):
        ring = (mask > 0.05) & (mask < 0.5)
        assert np.sqrt(np.square(other - one)[ring].mean()) < 1.5


# --- files -----------------------------------------------------------------------------------------------------------


def facts(path: Path) -> dict[str, object]:
    with av.open(str(path)) as container:
        video, sound = container.streams.video[0], container.streams.audio[0]
        return {
            "rate": video.average_rate,
            "size": (video.width, video.height),
            "frames": sum(1 for _ in container.decode(video)),
            "sound_rate": sound.rate,
            "sound": float(sound.duration * sound.time_base),
            "tags": dict(container.metadata),
        }


def test_a_video_keeps_size_and_rate_and_gets_the_sound(model, video, tmp_path):
    told: dict[str, list[tuple[int, int | None]]] = {}
    result = dub(
        model,
        video,
        speech(1.2),
        tmp_path / "out.mp4",
        metadata={"workflow": "{}"},
        progress=lambda stage, done, total: told.setdefault(stage, []).append((done, total)),
    )
    found = facts(result.path)
    assert found["rate"] == result.fps == 10
    assert found["size"] == result.size == (WIDTH, HEIGHT)
    assert found["frames"] == result.frames == 12
    assert found["sound_rate"] == 16000
    assert found["sound"] == pytest.approx(1.2, abs=0.03)
    tags = found["tags"]
    assert "AI-generated with EDTalk" in tags["comment"]
    assert tags["digital_source_type"].endswith("/compositeWithTrainedAlgorithmicMedia")
    assert json.loads(tags["edtalk_settings"]) == {"lip": "audio", "length": "video"}
    assert tags["workflow"] == "{}"
    assert result.faceless == 2
    assert any("2 of 12 frames" in warning for warning in result.warnings)
    assert not any("lasts" in warning for warning in result.warnings)
    assert list(told) == ["lips", "face", "dub"]
    for counts in told.values():
        assert counts[-1][0] == counts[-1][1]
        assert [done for done, _ in counts] == sorted(done for done, _ in counts)


def test_the_file_shows_what_the_pictures_are(model, video, tmp_path):
    given = [picture for _, picture in VideoReader(video)]
    sound = speech(1.2)
    result = dub(model, video, sound, tmp_path / "out.mp4")
    path = follow_face(given, 10, size=32)
    expected = list(dub_pictures(model, given, path, result.lips))
    for (_, written), picture in zip(VideoReader(result.path), expected, strict=True):
        assert np.abs(written.astype(float) - picture).mean() < 2.5  # what H.264 leaves of it
    assert result.lips.fps == 10
    assert result.lips.frames == 12


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.5, "silence follows"), (2.0, "sound is cut off")], ids=["shorter", "longer"]
)
def test_as_long_as_the_video(model, video, tmp_path, seconds, words):
    result = dub(model, video, speech(seconds), tmp_path / "out.mp4")
    found = facts(result.path)
    assert found["frames"] == 12
    assert found["sound"] == pytest.approx(1.2, abs=0.03)
    assert any(f"{seconds:.2f} s and the video 1.20 s" in text and words in text for text in result.warnings)


def test_in_silence_the_lips_are_those_of_silence(demo, video, tmp_path):
    model = demo  # one that has learned to hear
    result = dub(model, video, speech(0.4), tmp_path / "out.mp4")
    silence = motion_from_audio(model, Audio(np.zeros((1, 16000), np.float32), 16000)).lip[10]
    # The window that a mouth hears reaches 0.2 s.
    torch.testing.assert_close(result.lips.lip[8:], silence.expand(4, -1), atol=1e-4, rtol=1e-3)
    assert not torch.allclose(result.lips.lip[2], silence, atol=1e-3)


@pytest.mark.parametrize(
    ("seconds", "shown", "words"),
    [
        (0.72, [*range(7)], "video is cut off"),
        (2.9, [*range(12), *range(10, 0, -1), *range(7)], "back and forth"),
    ],
    ids=["shorter", "longer"],
)
def test_as_long_as_the_sound(model, video, tmp_path, seconds, shown, words, monkeypatch):
    monkeypatch.setattr("edtalk_core.dubbing._READ_BACK_BYTES", 4 * 3 * WIDTH * HEIGHT)  # four pictures
    result = dub(model, video, speech(seconds), tmp_path / "out.mp4", length="audio")
    assert [number_of(picture) for _, picture in VideoReader(result.path)] == shown
    found = facts(result.path)
    assert found["sound"] == pytest.approx(seconds, abs=0.03)
    assert result.frames == len(shown)
    assert result.faceless == sum(number in (5, 6) for number in shown)
    assert any(words in text for text in result.warnings)
    assert result.lips.frames == len(shown)


@pytest.mark.parametrize(
    ("rate", "exact"), [(29.97, Fraction(30000, 1001)), (24, Fraction(24)), (12.5, Fraction(25, 2))]
)
def test_any_frame_rate(model, tmp_path, rate, exact):
    file = tmp_path / "in.mp4"
    with VideoWriter(file, rate, (WIDTH, HEIGHT)) as writer:
        for number in range(15):
            writer.write(frame(number))
    result = dub(model, file, speech(1.0), tmp_path / "out.mkv")
    found = [number_of(picture) for _, picture in VideoReader(result.path)]
    assert found == list(range(15))
    with av.open(str(result.path)) as container:
        assert float(container.streams.video[0].average_rate) == pytest.approx(float(exact), rel=1e-3)
    assert result.fps == pytest.approx(float(exact))


def test_a_frame_rate_that_varies_becomes_steady(model, tmp_path):
    file = tmp_path / "phone.mkv"
    with av.open(str(file), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for number, stamp in enumerate([0, 40, 80, 200, 240, 280, 320, 360]):
            picture = av.VideoFrame.from_ndarray(frame(number), "rgb24")
            picture.pts, picture.time_base = stamp, Fraction(1, 1000)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    reader = VideoReader(file)
    result = dub(model, file, speech(0.4), tmp_path / "out.mp4")
    assert result.frames == pytest.approx(0.4 * reader.fps, abs=1)
    shown = [number_of(picture) for _, picture in VideoReader(result.path)]
    assert shown == sorted(shown)
    assert set(shown) >= {0, 1, 2, 3, 7}


def test_a_motion_gives_other_lips(model, video, tmp_path):
    motion = Motion(lip=torch.randn(12, 20), pose=torch.randn(12, 6), fps=10)
    result = dub(
        model, video, speech(1.2), tmp_path / "out.mp4", motion=save_motion(motion, tmp_path / "m.safetensors")
    )
    assert result.lips.equals(motion.select("lip"))
    assert json.loads(facts(result.path)["tags"]["edtalk_settings"])["lip"] == "motion"


def test_without_audio_to_lip_a_motion_is_needed(video, tmp_path):
    model = EDTalk(ModelSizes(resolution=16, style=40, channels={4: 4, 8: 4, 16: 4})).eval()
    with pytest.raises(MotionError, match=r"Audio2Lip\.pt"):
        dub(model, video, SPEECH, tmp_path / "out.mp4")
    result = dub(model, video, speech(1.2), tmp_path / "out.mp4", motion=Motion(lip=torch.zeros(1, 20)))
    assert result.frames == 12


def test_a_drawing_is_dubbed_by_its_box(model, tmp_path):
    file = tmp_path / "drawing.mp4"
    with VideoWriter(file, 10, (WIDTH, HEIGHT)) as writer:
        for number in range(4):
            writer.write(frame(number, face=False))
    with pytest.raises(FaceError, match="box"):
        dub(model, file, speech(0.4), tmp_path / "out.mp4")
    result = dub(model, file, speech(0.4), tmp_path / "out.mp4", box=(70, 50, 170, 170))
    assert result.faceless == 0
    for (_, before), (_, after) in zip(VideoReader(file), VideoReader(result.path), strict=True):
        changed = np.abs(after.astype(int) - before).max(axis=2) > 25
        rows, columns = np.nonzero(changed)
        assert 90 < rows.mean() < 170
        assert 90 < columns.mean() < 150


def test_a_cancelled_run_keeps_its_frames_and_the_older_video(model, video, tmp_path, caplog):
    output = tmp_path / "out.mp4"
    output.write_bytes(b"an older video")

    def stop(stage: str, done: int, total: int | None) -> None:
        if stage == "dub" and done == 7:
            raise Cancelled("enough")

    told = []
    with caplog.at_level(logging.WARNING, "edtalk"), pytest.raises(Cancelled, match="enough"):
        dub(model, video, speech(1.2), output, progress=stop, on_partial=lambda *what: told.append(what))
    assert output.read_bytes() == b"an older video"
    (partial,) = (path for path in tmp_path.iterdir() if path != output)
    assert "partial" in partial.name
    assert told == [(partial, 7)]
    assert [number_of(picture) for _, picture in VideoReader(partial)] == list(range(7))


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"video": "nothing.mp4"}, "nothing.mp4"),
        ({"video": SPEECH}, "no video in it"),
        ({"audio": "nothing.wav"}, "nothing.wav"),
        ({"output": "out.gif"}, "out.gif"),
        ({"output": "nowhere/out.mp4"}, "no folder"),
        ({"length": "longest"}, "longest"),
        ({"face": 3}, "no face 3"),
        ({"crop": "template"}, "auto, box, none"),
        ({"box": (1, 2, 3)}, "box"),
        ({"feather": 2.0}, "feather"),
        ({"precision": "fp4"}, "fp4"),
        ({"motion": Motion(pose=torch.zeros(1, 6))}, "only pose"),
        ({"motion": Motion(lip=torch.zeros(1, 7))}, "another model"),
    ],
    ids=str,
)
def test_what_cannot_be_done_leaves_nothing(model, video, tmp_path, arguments, word):
    given = {"video": video, "audio": speech(0.4), "output": "out.mp4", **arguments}
    given["output"] = tmp_path / given["output"]
    with pytest.raises(EDTalkError, match=word):
        dub(model, **given)
    assert list(tmp_path.iterdir()) == []


def test_an_input_is_never_overwritten(model, video, tmp_path):
    mine = tmp_path / "mine.mp4"
    mine.write_bytes(video.read_bytes())
    for other in ({"video": mine, "audio": SPEECH}, {"video": video, "audio": mine}):
        with pytest.raises(ArgumentError, match="one of the inputs"):
            dub(model, **other, output=mine)
    assert mine.read_bytes() == video.read_bytes()


# --- the command -----------------------------------------------------------------------------------------------------


def test_the_command_says_what_it_did(capsys, tmp_path, tiny_bundle, video, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["dub", str(video), str(SPEECH), "--model", str(tiny_bundle)]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith(f"video_speech.mp4: 12 frames, 10 a second, 1.20 s, {WIDTH}x{HEIGHT}\n")
    assert "dubbed: 10 frames, 2 without the face" in printed.out
    assert "sound is cut off" in printed.err
    assert (tmp_path / "video_speech.mp4").is_file()


def test_the_command_at_the_size_of_the_face(capsys, tmp_path, tiny_bundle, video):
    arguments = ["dub", str(video), str(SPEECH), "--model", str(tiny_bundle), "-o", str(tmp_path / "out.mp4")]
    assert main([*arguments, "--size", "own"]) == 0
    assert main([*arguments, "--size", "9000"]) == 2
    assert "32 to 2048" in capsys.readouterr().err


def test_the_command_as_json(capsys, tmp_path, tiny_bundle, video):
    output = tmp_path / "out.mov"
    options = ["--length", "audio", "--json", "--progress", "--no-match-colours", "--feather", "0.2"]
    assert main(["dub", str(video), str(SPEECH), "-o", str(output), "--model", str(tiny_bundle), *options]) == 0
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert (found["path"], found["frames"], found["fps"]) == (str(output), 72, 10.0)
    assert (found["width"], found["height"], found["seconds"]) == (WIDTH, HEIGHT, 7.2)
    assert found["faceless"] > 0
    assert found["warnings"]
    assert "dub: 100%" in printed.err


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["V"], 2, "required"),
        (["V", "nothing.wav"], 1, "nothing.wav"),
        (["nothing.mp4", "S"], 1, "nothing.mp4"),
        (["V", "S", "--length", "long"], 2, "invalid choice"),
        (["V", "S", "--feather", "2"], 2, "feather"),
        (["V", "S", "--crop", "template"], 2, "auto, box, none"),
        (["V", "V", "-o", "V"], 2, "one of the inputs"),
    ],
)
def test_a_mistake_costs_one_line(capsys, tmp_path, tiny_bundle, video, monkeypatch, arguments, code, word):
    monkeypatch.chdir(tmp_path)
    names = {"V": str(video), "S": str(SPEECH)}
    command = ["dub", *(names.get(part, part) for part in arguments), "--model", str(tiny_bundle)]
    try:
        found = main(command)
    except SystemExit as error:
        found = error.code
    assert found == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("edtalk: error: ")
    assert printed.err.count("\n") == 1
    assert word in printed.err
    assert list(tmp_path.iterdir()) == []


# --- real videos -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", ["liveportrait_s32", "edtalk_uncrop_Obama"])
def test_real_videos_have_no_seams(shared, demo, name):
    reader = VideoReader(shared / "data" / "videos" / f"{name}.mp4")
    before = [picture for _, picture in islice(reader, 8)]
    path = follow_face(before, reader.fps)
    assert path.faceless == 0
    after = list(dub_pictures(demo, before, path, motion_from_audio(demo, SPEECH)))
    for one, other, mask in zip(before, after, masks(path), strict=True):
        np.testing.assert_array_equal(one[mask == 0], other[mask == 0])
        difference = cv2.GaussianBlur(other.astype(np.float32) - one, (0, 0), 3)
        assert np.abs(difference[(mask > 0.05) & (mask < 0.5)]).mean() < 1.2
