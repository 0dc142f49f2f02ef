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
from ..face.face_model import EXPRESSION_BASES, FaceFit, fit_face
from .backbones import FACE_API, Backbones
from .emotion_classifier import EMOTIONS, EmotionClassifier, crop_face
from .faces import FaceReader
from .metrics import Frame, Metric, Need, Unmeasurable, table_metric
from .time_series import check_faces

EMOTION_EVERY = 5
"""Interval of the frames that are looked at."""
SIDE = 256
"""Side of the picture that faces are fitted in, pixels."""
NEUTRAL_AMOUNT = 0.25
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
    classify = _classes(shapes)
    metrics.append(
        table_metric(
            "acc_emo_face_model",
            "Acc_emo (3D face)",
            _shape_observer(shapes),
            "higher",
            summarise=_accuracy(classify),
            classify=classify,
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


def _shape_observer(names: Sequence[str]) -> Callable[[Frame], tuple[str, NDArray[np.float64]]]:
    """Observe scores (classes,) of a frame: cosines of each emotion with the 3D face's change from the portrait."""
    emotions = [emotion_amounts(name) for name in names]
    reader: list[FaceReader] = []
    portraits: dict[bytes, FaceFit] = {}

    def portrait_fit(frame: Frame) -> FaceFit:
        key = frame.portrait.tobytes()
        if key not in portraits:
            if not reader:
                reader.append(FaceReader())
            try:
                mesh = reader[0].find(frame.portrait)
            except FaceError:
                raise Unmeasurable("no face in the portrait") from None
            landmarks = reader[0].landmarks(frame.portrait, mesh)
            portraits.clear()
            portraits[key] = fit_face(landmarks[None] * SIDE)
        return portraits[key]

    def observe(frame: Frame) -> tuple[str, NDArray[np.float64]]:
        _check_label(frame, names)
        if not frame.portrait.size:
            raise Unmeasurable("no portrait")
        own = portrait_fit(frame)
        fit = fit_face(frame.rendered_landmarks[None] * SIDE, identity=own.identity)
        change = (fit.weights - own.weights)[0, : len(EXPRESSION_BASES)]
        size = float(np.linalg.norm(change))
        return frame.label, np.array(
            [
                float(amounts @ change) / (float(np.linalg.norm(amounts)) * max(size, 1e-9))
                if amounts.any()
                else float(size < NEUTRAL_AMOUNT) * 2 - 1  # an expression is neutral by its size, not its direction
                for amounts in emotions
            ]
        )

    return observe
