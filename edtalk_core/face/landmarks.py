"""The 68 iBUG landmarks of a face by name, and measurements on them.

The points are numbered from 0; "right" and "left" are the person's, so that "right" comes first and is at the left of
the picture. Arrays of landmarks are (..., 68, 2), x to the right and y down, in any unit: pixels of a picture, shares
of its side, or [-1, 1] across it.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Points: TypeAlias = NDArray[np.floating[Any]]

LANDMARK_COUNT = 68

# Groups of consecutive points are slices, which index arrays and tensors alike.
JAW = slice(0, 17)
"""From the right ear along the jaw to the left ear."""
BROWS = slice(17, 27)
RIGHT_BROW, LEFT_BROW = slice(17, 22), slice(22, 27)
NOSE = slice(27, 36)
"""Bridge from the top down, then the wings from right to left."""
NOSE_WINGS = slice(31, 36)
EYES = slice(36, 48)
RIGHT_EYE, LEFT_EYE = slice(36, 42), slice(42, 48)
MOUTH = slice(48, 68)
OUTER_LIPS, INNER_LIPS = slice(48, 60), slice(60, 68)
CHEEKS_AND_CHIN = slice(2, 15)
"""The jaw without the two points beside each ear."""
LOWER_JAW = slice(4, 13)
"""The part of the jaw that drops when the mouth opens."""
RIGHT_JAW_END, LEFT_JAW_END = slice(0, 2), slice(15, 17)
"""The two points of the jaw beside each ear."""
FACE = slice(0, LANDMARK_COUNT)

RIGHT_EAR, LEFT_EAR = 0, 16
"""The jaw's ends."""
RIGHT_CHEEK, LEFT_CHEEK = 1, 15
"""The jaw's points below its ends: where the face is widest."""
CHIN = 8
NOSE_RIDGE = 29
"""On the bridge of the nose, above its tip."""
NOSE_TIP = 30
NOSE_BASE = 33
"""Between the wings, above the lip."""
RIGHT_NOSE_WING, LEFT_NOSE_WING = 31, 35
RIGHT_EYE_CORNERS, LEFT_EYE_CORNERS = (36, 39), (42, 45)
"""For each eye, the corner at the picture's left first."""
EYE_CORNERS = (*RIGHT_EYE_CORNERS, *LEFT_EYE_CORNERS)
OUTER_EYE_CORNERS = (36, 45)
RIGHT_UPPER_LID, RIGHT_LOWER_LID = (37, 38), (41, 40)
LEFT_UPPER_LID, LEFT_LOWER_LID = (43, 44), (47, 46)
"""Each point of the lower lid is below the point of the upper lid at the same position."""
MOUTH_CORNERS = (48, 54)
UPPER_INNER_LIP, LOWER_INNER_LIP = 62, 66
"""Middles of the inner lips, which touch when the mouth is shut."""

MIRRORED: NDArray[np.int64] = np.array(
    [
        *range(16, -1, -1),
        *range(26, 16, -1),
        *range(27, 31),
        *range(35, 30, -1),
        *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),
        *range(54, 47, -1),
        *range(59, 54, -1),
        *range(64, 59, -1),
        *(67, 66, 65),
    ]
)
"""(68,): index of each landmark's counterpart on the other side: `mirrored[MIRRORED]` are the landmarks of a mirrored
picture in their own order."""


def indices(*groups: slice | int | tuple[int, ...]) -> NDArray[np.int64]:
    """Return the indices (N,) of the landmarks of some groups and points, in that order."""
    return np.concatenate(
        [np.arange(LANDMARK_COUNT)[np.asarray(g) if isinstance(g, tuple) else g].ravel() for g in groups]
    )


STABLE = indices(NOSE, EYE_CORNERS)
"""Nose and corners of the eyes, which neither speech nor expression moves: for the alignment of heads."""


def mouth_opening(landmarks: Points) -> Points:
    """Distance between the middles of the inner lips: (..., 68, 2) -> (...), in the unit of the landmarks."""
    return np.linalg.norm(landmarks[..., LOWER_INNER_LIP, :] - landmarks[..., UPPER_INNER_LIP, :], axis=-1)


def mouth_width(landmarks: Points) -> Points:
    """Extent of the lips across the picture: (..., 68, 2) -> (...), in the unit of the landmarks."""
    return np.ptp(landmarks[..., MOUTH, 0], axis=-1)


def eye_opening(landmarks: Points) -> Points:
    """Mean distance between the lids of both eyes: (..., 68, 2) -> (...), in the unit of the landmarks."""
    upper, lower = [*RIGHT_UPPER_LID, *LEFT_UPPER_LID], [*RIGHT_LOWER_LID, *LEFT_LOWER_LID]
    return np.linalg.norm(landmarks[..., upper, :] - landmarks[..., lower, :], axis=-1).mean(axis=-1)


def eye_distance(landmarks: Points) -> Points:
    """Distance of the outer corners of the eyes: (..., 68, 2) -> (...), in the unit of the landmarks."""
    right, left = OUTER_EYE_CORNERS
    return np.linalg.norm(landmarks[..., left, :] - landmarks[..., right, :], axis=-1)


def face_height(landmarks: Points) -> Points:
    """Distance from the middle of the brows to the chin: (..., 68, 2) -> (...), in the unit of the landmarks."""
    return np.linalg.norm(landmarks[..., CHIN, :] - landmarks[..., BROWS, :].mean(axis=-2), axis=-1)
