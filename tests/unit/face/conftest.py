"""The example portrait, its face and its head, for the tests of the face modules."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_scenes import resized

from edtalk_core.builtin_files import builtin_file
from edtalk_core.face.alignment import detect_faces
from edtalk_core.face.detection import Face
from edtalk_core.media.picture import read_picture


@pytest.fixture(scope="session")
def portrait() -> np.ndarray:
    """The example portrait."""
    return read_picture(builtin_file("examples/portrait.jpg"))


@pytest.fixture(scope="session")
def face(portrait: np.ndarray) -> Face:
    """Its face."""
    return detect_faces(portrait, landmarks="builtin")[0]


@pytest.fixture(scope="session")
def head(portrait: np.ndarray, face: Face) -> np.ndarray:
    """The head and some air, 120 px from forehead to chin."""
    left, top, right, bottom = (int(edge) for edge in face.box)
    part = portrait[max(0, top - 40) : bottom + 40, max(0, left - 40) : right + 40]
    return resized(part, 120 / (bottom - top))


@pytest.fixture(scope="session")
def couple(head: np.ndarray) -> np.ndarray:
    """A head at the right and a smaller one at the left, (300, 560, 3)."""
    canvas = np.full((300, 560, 3), 90, np.uint8)
    small = resized(head, 0.8)
    canvas[30 : 30 + small.shape[0], 40 : 40 + small.shape[1]] = small
    canvas[40 : 40 + head.shape[0], 330 : 330 + head.shape[1]] = head
    return canvas
