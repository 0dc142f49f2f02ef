"""The example media that ship: small, readable, with what the workflows need of them, and their terms written down."""

from __future__ import annotations

import av
import numpy as np
import pytest

from edtalk_core.builtin_files import builtin_file
from edtalk_core.face.crop import crop_portrait
from edtalk_core.face.detection import FaceDetector
from edtalk_core.face.tracking import FaceTracker
from edtalk_core.media.audio import read_audio
from edtalk_core.media.picture import read_picture
from edtalk_core.media.video import VideoReader

DRIVER = builtin_file("examples/driver.mp4")


@pytest.fixture(scope="module")
def landmarks() -> list[np.ndarray | None]:
    """68 landmarks (68,2) in each frame of the driver; None where no face is seen."""
    tracker = FaceTracker(FaceDetector())
    faces = [tracker.follow(picture) for _, picture in VideoReader(DRIVER)]
    return [face[0].landmarks if 0 in face else None for face in faces]


def test_every_example_has_its_origin_and_terms_in_the_readme():
    folder = DRIVER.parent
    text = (folder / "README.md").read_text(encoding="utf-8")
    files = {path.name for path in folder.iterdir() if path.name != "README.md"}
    rows = {line.split("`")[1]: line for line in text.splitlines() if line.startswith("| `")}
    assert set(rows) == files
    for row in rows.values():
        assert any(terms in row for terms in ("public domain", "Apache-2.0", "CC BY-SA 3.0"))


@pytest.mark.parametrize(("name", "side"), [("portrait.jpg", 512), ("generated.jpg", 1024)])
def test_the_portraits_are_small_files_with_one_face_that_needs_no_warning(name, side):
    path = builtin_file(f"examples/{name}")
    assert path.stat().st_size <= 150_000
    picture = read_picture(path)
    assert picture.shape == (side, side, 3)
    assert len(FaceDetector().detect(picture)) == 1
    assert crop_portrait(picture).warning is None


def test_the_driver_is_a_small_video_of_the_usual_kind():
    assert DRIVER.stat().st_size <= 200_000
    with av.open(str(DRIVER)) as container:
        video, sound = container.streams.video[0], container.streams.audio[0]
        assert (video.codec_context.name, video.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert sound.codec_context.name == "aac"
        assert "public domain" in container.metadata["comment"]
    reader = VideoReader(DRIVER)
    assert (reader.fps, reader.size, reader.has_audio) == (25, (256, 256), True)
    assert 4 <= reader.duration <= 6
    assert sum(1 for _ in reader) == round(reader.duration * 25)


def test_the_driver_speaks_as_long_as_it_is_seen():
    sound = read_audio(DRIVER)
    assert sound.duration == pytest.approx(VideoReader(DRIVER).duration, abs=0.04)
    mono = sound.to_mono()
    loudness = np.sqrt((mono[: len(mono) // 640 * 640].reshape(-1, 640) ** 2).mean(axis=1))
    assert np.median(loudness) > 0.01
    assert np.abs(mono).max() < 1


def test_the_driver_has_a_face_in_every_frame_that_moves_and_talks(landmarks):
    seen = [points for points in landmarks if points is not None]
    assert len(seen) >= 0.98 * len(landmarks)
    points = np.stack(seen)
    eyes = np.linalg.norm(points[:, 45] - points[:, 36], axis=1)
    nose = np.ptp(points[:, 30], axis=0)
    assert nose.max() > 0.3 * eyes.mean()
    opening = np.linalg.norm(points[:, 66] - points[:, 62], axis=1) / eyes
    assert np.quantile(opening, 0.95) - np.quantile(opening, 0.05) > 0.08


def test_mouth_and_sound_of_the_driver_go_together(landmarks):
    opening = np.array([0.0 if points is None else np.linalg.norm(points[66] - points[62]) for points in landmarks])
    mono = read_audio(DRIVER).to_mono()
    frames = len(mono) // 640
    loudness = np.log(1e-4 + np.sqrt((mono[: frames * 640].reshape(-1, 640) ** 2).mean(axis=1)))
    # A mouth opens a little before its vowel is loudest; in the wrong order, or far apart, it would be out of sync.
    agreement = {
        lag: np.corrcoef(opening[10 : frames - 10], loudness[10 + lag : frames - 10 + lag])[0, 1]
        for lag in range(-8, 9)
    }
    assert max(agreement, key=agreement.__getitem__) in (0, 1, 2)
    assert max(agreement.values()) > 0.35
