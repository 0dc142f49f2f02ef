"""Detect faces in a picture with the built-in models or the face-alignment package (S3FD detector, FAN landmarks)."""

from __future__ import annotations

import importlib.util
import inspect
import logging
import warnings
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from ..errors import ArgumentError, FaceError
from .detection import Face, FaceDetector
from .geometry import check_picture

logger = logging.getLogger("edtalk")

Landmarks = Literal["auto", "builtin", "face-alignment"]


def detect_faces(picture: np.ndarray, *, landmarks: Landmarks = "auto", device: str = "cpu") -> list[Face]:
    """Detect all faces of a picture (H, W, 3) uint8 RGB, sorted by size, largest first; an empty list for none.

    landmarks: "builtin" is the models that ship with the project, always available; "face-alignment" is the package of
    that name, which the published driver videos were cropped with, on `device`; "auto" uses the package when it is
    installed and works, and the built-in models otherwise, and also when the package detects no face.

    Raises FaceError when "face-alignment" is requested but not available, PictureError for anything but a picture,
    ArgumentError for another value of `landmarks`.
    """
    check_picture(picture)
    if landmarks not in ("auto", "builtin", "face-alignment"):
        raise ArgumentError(f'landmarks is "auto", "builtin" or "face-alignment", not {landmarks!r}.')
    if landmarks != "builtin":
        backend = _face_alignment(device)
        if not isinstance(backend, str):
            faces = _detect_with(backend, picture)
            if faces or landmarks == "face-alignment":
                return faces
        elif landmarks == "face-alignment":
            raise FaceError(f'{backend} Or choose landmarks="builtin", which needs nothing.')
    return builtin_detector().detect(picture)


@lru_cache(maxsize=1)
def builtin_detector() -> FaceDetector:
    """Return the built-in detector, loaded once; safe to share between threads."""
    return FaceDetector()


@lru_cache(maxsize=2)
def _face_alignment(device: str) -> Any:
    """Return a face_alignment.FaceAlignment, or a sentence with the reason why there is none; cached, as it is slow."""
    if importlib.util.find_spec("face_alignment") is None:
        return 'The package face-alignment is not installed: pip install "edtalk[face-alignment]".'
    try:
        import face_alignment

        # Version 1.5 compiles its network by default, which takes longer than it can save on a few pictures.
        options = {"compile": False} if "compile" in inspect.signature(face_alignment.FaceAlignment).parameters else {}
        return face_alignment.FaceAlignment(
            face_alignment.LandmarksType.TWO_D, device=device, flip_input=False, face_detector="sfd", **options
        )
    except Exception as error:
        # A broken installation may raise anything, and the built-in models must work all the same.
        reason = (
            "face-alignment is installed but could not load its weights, which it fetches once from adrianbulat.com "
            f"into the folder of torch.hub ({type(error).__name__}: {error})."
        )
        logger.warning('%s The built-in landmarks are used instead where landmarks="auto".', reason)
        return reason


def _detect_with(backend: Any, picture: np.ndarray) -> list[Face]:
    import cv2

    # S3FD detects faces from 16 px, so that 640 px are enough for the detector, as in the published script; landmarks
    # are detected in the full picture.
    shrink = max(1.0, max(picture.shape[:2]) / 640)
    small = picture
    if shrink > 1:
        size = (round(picture.shape[1] / shrink), round(picture.shape[0] / shrink))
        small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    detections = np.array(backend.face_detector.detect_from_image(small.copy()), np.float64).reshape(-1, 5)
    if not len(detections):
        return []
    boxes = detections[:, :4] * shrink
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        landmark_sets = backend.get_landmarks_from_image(picture, detected_faces=list(boxes))
    faces = [
        Face.from_landmarks(tuple(box), float(score), np.asarray(landmarks, np.float64))
        for box, score, landmarks in zip(boxes.tolist(), detections[:, 4], landmark_sets, strict=True)
    ]
    return sorted(faces, key=lambda face: -face.side)
