"""Metrics of emotions: whether a classifier sees the emotion that a clip is labelled with (Acc_emo).

The paper's classifier is not published, so that no figure here has its name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.face_motion import EMOTIONS as SHAPES
from ..data.face_motion import emotion_amounts
from ..errors import FaceError
from ..face.face_model import EXPRESSION_BASES, fit_face
from .backbones import FACE_API, Backbones
from .emotion_classifier import EMOTIONS, EmotionClassifier, crop_face
from .faces import FaceReader, Landmarks, Picture
from .metrics import Frame, Metric, Need, Unmeasurable, table_metric
from .time_series import check_faces

EMOTION_EVERY = 5
"""Interval of the frames that are looked at."""
NEUTRAL = "neutral"
SIDE = 256
"""Side of the picture that faces are fitted in, pixels."""
NEUTRAL_AMOUNT = 0.5
"""Amount of the 3D face's bases, norm over them, below which an expression counts as neutral."""


def emotion_metrics(backbones: Backbones) -> list[Metric]:
    """Accuracy of emotions by face-api.js's network, and by the 3D face, which needs no download."""
    needs = Need.LANDMARKS
    metrics = []
    classifier = cache(lambda: EmotionClassifier(backbones.require(FACE_API[0]).parent))

    def see(frame: Frame) -> tuple[str, NDArray[np.float64]]:
        _check_label(frame, EMOTIONS)
        face = crop_face(frame.rendered, frame.rendered_landmarks * len(frame.rendered) - 0.5)
        return frame.label, classifier().probabilities([face])[0].astype(np.float64)

    classify = _classes(EMOTIONS)
    metrics.append(
        table_metric(
            "acc_emo_face_api",
            "Acc_emo (face-api.js)",
            see,
            "higher",
            summarise=_accuracy(classify),
            classify=classify,
            every=EMOTION_EVERY,
            needs=needs,
            stands_in_for="Acc_emo",
            network="face-api.js 0.22.2, face_expression_model",
            source="share of the clips whose mean probabilities name the label",
        )
    )
    shapes = tuple(SHAPES)
    nearest = _nearest_shape(shapes)
    metrics.append(
        table_metric(
            "acc_emo_face_model",
            "Acc_emo (3D face)",
            _portrait_and_face(shapes),
            "higher",
            summarise=_accuracy(nearest),
            classify=nearest,
            every=EMOTION_EVERY,
            needs=needs,
            stands_in_for="Acc_emo",
            source="nearest emotion of the shipped 3D face, relative to the portrait",
        )
    )
    return metrics


def _check_label(frame: Frame, classes: Sequence[str]) -> None:
    check_faces(frame)
    if not frame.label:
        raise Unmeasurable("no emotion label")
    if frame.label not in classes:
        raise Unmeasurable(f"the emotion {frame.label} is not among the classes")


def _classes(names: Sequence[str]) -> Callable[[Sequence[Any]], str]:
    return lambda values: names[int(np.mean([scores for _, scores in values], axis=0).argmax())]


def _accuracy(classify: Callable[[Sequence[Any]], str]) -> Callable[[Sequence[Any]], float]:
    return lambda values: float(classify(values) == values[0][0])


def _portrait_and_face(names: Sequence[str]) -> Callable[[Frame], tuple[str, Landmarks, Landmarks]]:
    """Observe the label of a frame, and the landmarks (68,2) of the portrait and of the rendered face."""
    readers: list[FaceReader] = []
    portraits: dict[bytes, Landmarks] = {}

    def portrait_landmarks(picture: Picture) -> Landmarks:
        key = picture.tobytes()
        if key not in portraits:
            if not readers:
                readers.append(FaceReader())
            try:
                mesh = readers[0].find(picture)
            except FaceError:
                raise Unmeasurable("no face in the portrait") from None
            portraits.clear()
            portraits[key] = readers[0].landmarks(picture, mesh)
        return portraits[key]

    def observe(frame: Frame) -> tuple[str, Landmarks, Landmarks]:
        _check_label(frame, names)
        if not frame.portrait.size:
            raise Unmeasurable("no portrait")
        return frame.label, portrait_landmarks(frame.portrait), frame.rendered_landmarks

    return observe


def _nearest_shape(names: Sequence[str]) -> Callable[[Sequence[Any]], str]:
    """The emotion whose direction is nearest to the 3D face's mean change from the portrait, or neutral for little.

    One identity is fitted to the portrait and all frames: of single frames, identity and expression are confused.
    """
    emotions = [emotion_amounts(name) for name in names]

    def classify(values: Sequence[Any]) -> str:
        faces = np.stack([values[0][1], *(rendered for _, _, rendered in values)])
        amounts = fit_face(faces * SIDE).weights[:, : len(EXPRESSION_BASES)]
        change = amounts[1:].mean(axis=0) - amounts[0]
        if float(np.linalg.norm(change)) < NEUTRAL_AMOUNT:
            return NEUTRAL
        cosines = [float(emotion @ change) / max(float(np.linalg.norm(emotion)), 1e-9) for emotion in emotions]
        return max((cosine, name) for cosine, name in zip(cosines, names, strict=True) if name != NEUTRAL)[1]

    return classify
