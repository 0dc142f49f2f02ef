"""Faces and landmarks by the built-in models, and the optional backend."""

from __future__ import annotations

import importlib.util
import logging
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from drawn_scenes import resized

from edtalk_core.builtin_files import builtin_file
from edtalk_core.errors import ArgumentError, EDTalkError, FaceError, PictureError
from edtalk_core.face import alignment
from edtalk_core.face.alignment import builtin_detector, detect_faces
from edtalk_core.face.detection import Face
from edtalk_core.face.landmarks import LEFT_EYE, MIRRORED, MOUTH, NOSE_TIP, RIGHT_EYE
from edtalk_core.face.tracking import FaceTracker
from edtalk_core.media.picture import read_picture
from edtalk_core.media.video import VideoReader


def on_canvas(picture: np.ndarray, height: int, width: int, top: int, left: int) -> np.ndarray:
    canvas = np.full((height, width, 3), 90, np.uint8)
    canvas[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return canvas


def off_by(first: np.ndarray, second: np.ndarray) -> float:
    """Mean distance of landmarks, in distances between the eyes."""
    return float(np.linalg.norm(first - second, axis=1).mean() / np.linalg.norm(second[45] - second[36]))


def only(faces: list[Face]) -> Face:
    assert len(faces) == 1
    assert faces[0].landmarks is not None
    return faces[0]


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    return read_picture(builtin_file("examples/portrait.jpg"))


@pytest.fixture(scope="module")
def head(portrait: np.ndarray) -> np.ndarray:
    """The head and some air, about 1.6 times the face."""
    left, top, right, bottom = only(detect_faces(portrait, landmarks="builtin")).box
    x, y = round(0.3 * (right - left)), round(0.3 * (bottom - top))
    return np.ascontiguousarray(
        portrait[max(0, int(top) - y) : int(bottom) + y, max(0, int(left) - x) : int(right) + x]
    )


def draw_face(size: int) -> np.ndarray:
    """A cartoon: ovals, dots and lines."""
    import cv2

    picture = np.full((size, size, 3), (190, 210, 230), np.uint8)
    centre, r = (size // 2, size // 2 + size // 20), size // 4

    def oval(dx: float, dy: float, width: float, height: float, colour: tuple[int, ...], thickness: int = -1) -> None:
        at, axes = (centre[0] + int(dx * r), centre[1] + int(dy * r)), (int(width * r), int(height * r))
        cv2.ellipse(picture, at, axes, 0, 0, 360, colour, thickness, cv2.LINE_AA)

    oval(0, -0.25, 1.08, 1.1, (60, 40, 30))
    oval(0, 0, 0.92, 1.0, (255, 220, 190))
    for side in (-1, 1):
        oval(0.38 * side, -0.1, 0.16, 0.13, (255, 255, 255))
        oval(0.38 * side, -0.1, 0.16, 0.13, (30, 20, 20), 2)
        oval(0.38 * side, -0.1, 0.07, 0.09, (40, 60, 120))
        oval(0.38 * side, -0.34, 0.2, 0.03, (50, 30, 20))
    oval(0, 0.22, 0.08, 0.04, (225, 175, 150))
    oval(0, 0.5, 0.3, 0.1, (180, 50, 60))
    return picture


def test_finds_the_face_with_all_its_points(portrait: np.ndarray) -> None:
    face = only(detect_faces(portrait, landmarks="builtin"))
    left, top, right, bottom = face.box
    assert face.score > 0.8
    assert face.keypoints.shape == (6, 2)
    assert face.landmarks is not None
    assert face.landmarks.shape == (68, 2)
    assert (face.landmarks > (left, top)).all()
    assert (face.landmarks < (right, bottom)).all()
    points = face.landmarks
    eyes, nose, mouth = points[36:48].mean(axis=0), points[NOSE_TIP], points[MOUTH].mean(axis=0)
    assert eyes[1] < nose[1] < mouth[1] < points[8, 1]
    assert points[36, 0] < points[39, 0] < points[42, 0] < points[45, 0]
    # The detector's own eyes, nose and mouth are other networks' opinion of the same places.
    named = np.stack([points[RIGHT_EYE].mean(axis=0), points[LEFT_EYE].mean(axis=0), nose, mouth])
    assert np.abs(face.keypoints[:4] - named).max() < 0.2 * np.linalg.norm(points[45] - points[36])


def test_mirrored_picture_has_mirrored_landmarks(portrait: np.ndarray) -> None:
    face = only(detect_faces(portrait, landmarks="builtin"))
    mirrored = only(detect_faces(np.ascontiguousarray(portrait[:, ::-1]), landmarks="builtin"))
    assert face.landmarks is not None
    assert mirrored.landmarks is not None
    back = mirrored.landmarks[MIRRORED] * (-1, 1) + (portrait.shape[1] - 1, 0)
    assert off_by(back, face.landmarks) < 0.03
    # Half a pixel of wrong convention would show here: nothing else moves all points to one side.
    assert np.abs((back - face.landmarks).mean(axis=0)).max() < 0.015 * face.side


@pytest.mark.parametrize("scale", [0.3, 0.6, 2.0])
def test_landmarks_scale_with_the_picture(portrait: np.ndarray, scale: float) -> None:
    face = only(detect_faces(portrait, landmarks="builtin"))
    scaled = only(detect_faces(resized(portrait, scale), landmarks="builtin"))
    assert face.landmarks is not None
    assert scaled.landmarks is not None
    assert off_by((scaled.landmarks + 0.5) / scale - 0.5, face.landmarks) < 0.04


def test_finds_a_small_face_in_a_big_picture(head: np.ndarray) -> None:
    small = resized(head, 80 / head.shape[0])
    face = only(detect_faces(on_canvas(small, 1500, 2400, 1010, 1700), landmarks="builtin"))
    left, top, right, bottom = face.box
    assert 1700 < left < right < 1700 + small.shape[1]
    assert 1010 < top < bottom < 1010 + small.shape[0]
    assert bottom - top > 30


@pytest.mark.parametrize("turns", [1, 3], ids=["on its left", "on its right"])
def test_finds_a_lying_face(portrait: np.ndarray, turns: int) -> None:
    face = only(detect_faces(portrait, landmarks="builtin"))
    turned = only(detect_faces(np.ascontiguousarray(np.rot90(portrait, turns)), landmarks="builtin"))
    assert face.landmarks is not None
    assert turned.landmarks is not None
    points = turned.landmarks
    for _ in range(turns):  # np.rot90 brings (x, y) to (y, width - 1 - x)
        side = portrait.shape[1]
        points = np.stack([side - 1 - points[:, 1], points[:, 0]], axis=1)
    assert portrait.shape[0] == portrait.shape[1]
    assert off_by(points, face.landmarks) < 0.08


def test_finds_a_face_that_fills_the_picture(portrait: np.ndarray) -> None:
    left, top, right, bottom = (int(edge) for edge in only(detect_faces(portrait, landmarks="builtin")).box)
    close = np.ascontiguousarray(portrait[top + 8 : bottom - 2, left:right])
    face = only(detect_faces(close, landmarks="builtin"))
    assert face.box[3] - face.box[1] > 0.8 * close.shape[0]


def test_finds_a_drawn_face() -> None:
    face = only(detect_faces(draw_face(400), landmarks="builtin"))
    assert face.landmarks is not None
    eyes = np.stack([face.landmarks[RIGHT_EYE].mean(axis=0), face.landmarks[LEFT_EYE].mean(axis=0)])
    assert np.abs(eyes - [(200 - 38, 210), (200 + 38, 210)]).max() < 15


def test_lists_faces_by_size(head: np.ndarray) -> None:
    canvas = on_canvas(resized(head, 260 / head.shape[0]), 400, 700, 60, 400)
    small = resized(head, 150 / head.shape[0])
    canvas[100 : 100 + small.shape[0], 60 : 60 + small.shape[1]] = small
    faces = detect_faces(canvas, landmarks="builtin")
    assert len(faces) == 2
    assert faces[0].side > 1.4 * faces[1].side
    assert faces[0].box[0] > 400 > faces[1].box[2]


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((200, 300, 3), np.uint8),
        np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8),
        np.repeat(np.repeat(np.linspace(0, 255, 256, dtype=np.uint8)[None, :, None], 256, axis=0), 3, axis=2),
        np.kron(np.indices((16, 16)).sum(axis=0) % 2, np.ones((20, 20)))[..., None].repeat(3, 2).astype(np.uint8) * 255,
        np.full((16, 400, 3), 128, np.uint8),
    ],
    ids=["black", "noise", "gradient", "chessboard", "strip"],
)
def test_no_face_in(picture: np.ndarray) -> None:
    assert detect_faces(picture, landmarks="builtin") == []


@pytest.mark.parametrize(
    ("picture", "word"),
    [
        (np.zeros((64, 64, 3), np.float32), "float32"),
        (np.zeros((64, 64), np.uint8), r"\(64, 64\)"),
        (np.zeros((64, 64, 4), np.uint8), r"\(64, 64, 4\)"),
        (np.zeros((2, 64, 64, 3), np.uint8), "height, width, 3"),
        (np.zeros((8, 64, 3), np.uint8), "64x8"),
        ("portrait.png", "str"),
        (None, "NoneType"),
    ],
    ids=["float", "grey", "alpha", "batch", "tiny", "path", "none"],
)
def test_refuses_what_is_no_picture(picture: object, word: str) -> None:
    with pytest.raises(PictureError, match=word):
        detect_faces(picture)  # type: ignore[arg-type]


def test_threads_do_not_mix_faces(head: np.ndarray) -> None:
    pictures = [on_canvas(resized(head, s / head.shape[0]), 300, 300, 10, 20) for s in (130, 180, 220, 270)]
    alone = [only(detect_faces(picture, landmarks="builtin")).landmarks for picture in pictures]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda picture: only(detect_faces(picture, landmarks="builtin")).landmarks, pictures))
    for first, second in zip(alone, together, strict=True):
        np.testing.assert_array_equal(first, second)


def test_finds_the_given_portraits(shared: Path) -> None:
    """Photos, paintings, sculpture, drawings; one in eight, to keep the test short (of all 77, 76 have landmarks)."""
    for path in sorted((shared / "data" / "portraits").iterdir())[::8]:
        faces = detect_faces(read_picture(path), landmarks="builtin")
        assert faces, path.name
        assert faces[0].landmarks is not None, path.name


@pytest.mark.parametrize("clip", ["aoc_02", "mead_W040_00", "statue_00"])
def test_landmarks_agree_with_the_given_tracks(shared: Path, clip: str) -> None:
    truth = np.load(shared / "data" / "landmarks" / f"{clip}.npz")["landmarks"].astype(np.float64)
    tracker = FaceTracker(builtin_detector())
    errors = []
    for (_, frame), points in zip(VideoReader(shared / "data" / "clips" / f"{clip}.mp4"), truth[:15], strict=False):
        face = tracker.follow(frame)[0]
        assert face.landmarks is not None
        errors.append(np.linalg.norm(face.landmarks - points, axis=1).mean())
    # The tracks count from pixel corners, we from centres: 0.7 px of this is that.
    assert np.mean(errors) < 2.0


def scene(head: np.ndarray, *places: tuple[int, int]) -> np.ndarray:
    canvas = np.full((360, 640, 3), 90, np.uint8)
    for left, top in places:
        canvas[top : top + head.shape[0], left : left + head.shape[1]] = head
    return canvas


def test_tracker_keeps_numbers_while_faces_move(head: np.ndarray) -> None:
    small = resized(head, 180 / head.shape[0])
    tracker = FaceTracker(builtin_detector())
    for step in range(21):
        faces = tracker.follow(scene(small, (30 + 4 * step, 60), (440 - 3 * step, 90)))
        assert sorted(faces) == [0, 1]
        centres = [sum(faces[number].box[::2]) / 2 for number in (0, 1)]
        if step == 0:
            first = np.argsort(centres)
        expected = [30 + 4 * step + small.shape[1] / 2, 440 - 3 * step + small.shape[1] / 2]
        np.testing.assert_allclose(np.array(centres)[first], expected, atol=0.15 * small.shape[1])


def test_tracker_stands_still_with_the_face(head: np.ndarray) -> None:
    tracker = FaceTracker(builtin_detector())
    frame = scene(resized(head, 200 / head.shape[0]), (200, 80))
    tracks = [tracker.follow(frame)[0].landmarks for _ in range(14)]
    assert all(track is not None for track in tracks)
    moves = [off_by(one, two) for one, two in pairwise(tracks[3:])]  # type: ignore[arg-type]
    assert max(moves) < 0.004


@pytest.mark.parametrize("jump", [20, 45, 70, 90])
def test_tracker_is_there_at_once_when_a_face_jumps(head: np.ndarray, jump: int) -> None:
    """As where a video is cut and the same person goes on a little further."""
    small = resized(head, 180 / head.shape[0])
    tracker = FaceTracker(builtin_detector())
    for _ in range(4):
        before = tracker.follow(scene(small, (200, 80)))[0].landmarks
    (after,) = tracker.follow(scene(small, (200 + jump, 80))).values()
    assert before is not None
    assert after.landmarks is not None
    assert off_by(after.landmarks, before + np.array([jump, 0])) < 0.05


def test_tracker_knows_a_face_that_comes_back(head: np.ndarray) -> None:
    small = resized(head, 180 / head.shape[0])
    tracker = FaceTracker(builtin_detector())
    with_face, without = scene(small, (200, 80)), scene(small)
    shown = [True] * 3 + [False] * 5 + [True] * 3
    numbers = [sorted(tracker.follow(with_face if there else without)) for there in shown]
    assert numbers == [[0] if there else [] for there in shown]


def test_nothing_heavy_is_imported() -> None:
    code = "import sys, edtalk_core.face.crop; print(sorted({'cv2', 'face_alignment', 'PIL', 'av'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# The optional backend. The package is not ours: what stands in for it here is a package on disk of the same interface.


@pytest.fixture
def fresh_backend() -> Iterator[None]:
    alignment._face_alignment.cache_clear()
    yield
    alignment._face_alignment.cache_clear()
    sys.modules.pop("face_alignment", None)


@pytest.mark.usefixtures("fresh_backend")
@pytest.mark.skipif(importlib.util.find_spec("face_alignment") is not None, reason="face-alignment is installed")
def test_missing_package_is_named_when_asked_for(portrait: np.ndarray) -> None:
    with pytest.raises(FaceError, match="pip install"):
        detect_faces(portrait, landmarks="face-alignment")
    assert detect_faces(portrait, landmarks="auto")


@pytest.mark.usefixtures("fresh_backend")
def test_package_without_weights_falls_back_with_one_line(
    portrait: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "face_alignment.py").write_text(
        "class LandmarksType:\n    TWO_D = 1\n"
        "class FaceAlignment:\n"
        "    def __init__(self, *args, **options):\n        raise OSError('host unreachable')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with caplog.at_level(logging.WARNING, "edtalk"):
        first = only(detect_faces(portrait, landmarks="auto"))
        only(detect_faces(portrait, landmarks="auto"))
    assert first.mesh is not None
    assert [record.getMessage() for record in caplog.records if "host unreachable" in record.getMessage()] != []
    assert len(caplog.records) == 1
    with pytest.raises(FaceError, match="host unreachable"):
        detect_faces(portrait, landmarks="face-alignment")


@pytest.mark.usefixtures("fresh_backend")
@pytest.mark.parametrize("landmarks", ["auto", "face-alignment"])
def test_package_is_used_when_it_works(
    head: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, landmarks: str
) -> None:
    """Boxes come from a picture of at most 640 px and are brought back to the picture; landmarks from the full one."""
    (tmp_path / "face_alignment.py").write_text(
        "import numpy as np\n"
        "class LandmarksType:\n    TWO_D = 1\n"
        "class Detector:\n"
        "    def detect_from_image(self, image):\n"
        "        assert max(image.shape) <= 640\n"
        "        h, w = image.shape[:2]\n"
        "        small, large = [0.1 * w, 0.1 * h, 0.2 * w, 0.3 * h, 0.8], [0.5 * w, 0.1 * h, 0.9 * w, 0.9 * h, 0.99]\n"
        "        return [np.array(small), np.array(large)]\n"
        "class FaceAlignment:\n"
        "    def __init__(self, kind, *, device, flip_input, face_detector, compile=True):\n"
        "        assert not compile\n"
        "        self.face_detector = Detector()\n"
        "    def get_landmarks_from_image(self, image, detected_faces):\n"
        "        return [np.linspace(box[:2], box[2:4], 68).astype('float32') for box in detected_faces]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    faces = detect_faces(on_canvas(head, 1200, 2000, 100, 100), landmarks=landmarks)  # type: ignore[arg-type]
    np.testing.assert_allclose([face.box for face in faces], [(1000, 120, 1800, 1080), (200, 120, 400, 360)], atol=1)
    assert [face.score for face in faces] == [0.99, 0.8]
    assert faces[0].landmarks is not None
    np.testing.assert_allclose(faces[0].landmarks[[0, 67]], [(1000, 120), (1800, 1080)], atol=1)
    assert faces[0].keypoints.shape == (6, 2)


@pytest.mark.parametrize("landmarks", ["dlib", "", None])
def test_unknown_backend(portrait: np.ndarray, landmarks: object) -> None:
    with pytest.raises(ArgumentError, match="builtin") as caught:
        detect_faces(portrait, landmarks=landmarks)  # type: ignore[arg-type]
    assert isinstance(caught.value, EDTalkError)
