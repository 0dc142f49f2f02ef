"""Make weights/face_model.npz: what the training needs of ICT-FaceKit's 3D face.

Run: make_face_model.py ICT_FACE_NPZ STORE. STORE is a folder of prepared clips (edtalk prepare), on whose people marked
for training it is measured where MediaPipe's landmarks lie on the mesh. ICT_FACE_NPZ holds the face area of
ICT-FaceKit's meshes: `neutral` (V,3), `quads` (Q,4), `landmarks68` (68,) and, with `expression_names`, `expressions`
(E,V,3) and `identities` (I,V,3).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from edtalk_core.atomic import atomic_write
from edtalk_core.data.clips import ClipStore
from edtalk_core.face.face_model import face_model, fit_face
from edtalk_core.face.landmarks import JAW, LANDMARK_COUNT, MIRRORED

IDENTITIES = 30
"""Further ones tell less than landmarks can."""
LOWEST, HINDMOST = -13.0, 0.0
"""What lies below or behind, in cm, is neck and the back of the head."""
PICTURES, ROUNDS = 12, 3
"""Of each person that the landmarks are measured by, and how often."""
STEP = 1 / 256
"""To which displacements are rounded, in cm: a fiftieth of a pixel of a 256 px portrait, and small when compressed."""


def reduced(source: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays of the file: vertices of the face alone, rounded displacements, no shapes of the eyeballs."""
    neutral = source["neutral"].astype(np.float32)
    face = (neutral[:, 1] > LOWEST) & (neutral[:, 2] > HINDMOST)
    number = np.cumsum(face) - 1
    quads = source["quads"].astype(np.int64)
    names = [str(name) for name in source["expression_names"]]
    shapes = [index for index, name in enumerate(names) if not name.startswith("eyeLook")]

    def displacements(values: np.ndarray) -> np.ndarray:
        return (np.round(values[:, face].astype(np.float32) / STEP) * STEP).astype(np.float16)

    return {
        "neutral": neutral[face],
        "quads": number[quads[face[quads].all(axis=1)]].astype(np.int16),
        "landmarks": number[source["landmarks68"].astype(np.int64)].astype(np.int16),
        "identities": displacements(source["identities"][:IDENTITIES]),
        "shape_names": np.array([names[index] for index in shapes]),
        "shapes": displacements(source["expressions"][shapes]),
    }


def mean_residual(store: ClipStore) -> np.ndarray:
    """By how much landmarks miss the mesh's, over people, in cm and in the face's own axes: (68,3), symmetric."""
    people: dict[str, list[np.ndarray]] = {}
    for clip in store.clips:
        people.setdefault(clip.info.person, []).append(clip.landmarks[:: max(1, len(clip) // 6)])
    residuals = []
    for landmarks in people.values():
        fit = fit_face(np.concatenate(landmarks)[:PICTURES])
        plane = np.pad(fit.residual * [1, -1] / fit.scale[:, None, None], ((0, 0), (0, 0), (0, 1)))
        residuals.append((plane @ fit.rotation).mean(axis=0) * [1, 1, 0])
    middle = np.median(residuals, axis=0)
    middle[JAW] = 0  # not fitted
    return (middle + middle[MIRRORED] * [-1, 1, 1]) / 2


def write(arrays: dict[str, np.ndarray]) -> Path:
    """The file, beside the demo weights."""
    path = Path(__file__).resolve().parents[1] / "weights" / "face_model.npz"
    with atomic_write(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **arrays)
    return path


def main() -> None:
    """Write the file, and again with better offsets of the landmarks, which the fit takes from it."""
    with np.load(sys.argv[1]) as source:
        arrays = reduced(dict(source))
    arrays["landmark_offsets"] = np.zeros((LANDMARK_COUNT, 3), np.float32)
    path = write(arrays)
    for _ in range(ROUNDS):
        face_model.cache_clear()
        arrays["landmark_offsets"] += mean_residual(ClipStore(sys.argv[2])).astype(np.float32)
        write(arrays)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")  # noqa: T201


if __name__ == "__main__":
    main()
