"""Measure what a model's emotions and blinks look like on portraits of people it has not seen.

    edtalk prepare PORTRAITS/manifest.tsv --pictures -o store
    python tools/measure_faces.py weights/demo.safetensors store --classifier package/weights [--sheet faces.png]

On every picture of the split that is labelled neutral, at rest mouth:

- emotion: how often a classifier (`evaluation.emotion_classifier`, which no part of EDTalk learns from) sees the preset
  that was asked for, and how often it is right about the split's own labelled pictures;
- blink, for models that name the base of their lids: the opening of the eyes when it is shut, relative to the
  portrait's own, and how far mouth and brows move, by the face mesh;
- rim: the error of the two outermost pixels on each side of the portrait at rest, relative to that of the others.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import edtalk_core as edtalk
from edtalk_core.data.clips import Clip, ClipStore
from edtalk_core.evaluation.emotion_classifier import EMOTIONS, EmotionClassifier, crop_face
from edtalk_core.face.alignment import detect_faces
from edtalk_core.face.landmarks import BROWS, MOUTH, eye_opening, indices
from edtalk_core.media.picture import picture_to_image
from edtalk_core.motion.operations import offset
from edtalk_core.motion.presets import expression_preset

STRENGTHS = (1.0, 1.5)
SHUT = 0.25
"""Opening of the eyes, relative to the portrait's own, below which they count as shut."""
RIM = 2
SHEET_FACES, SHEET_SIZE = 16, 128

Picture = NDArray[np.uint8]


@dataclass
class Measurements:
    """What was measured, one entry a portrait."""

    hits: dict[tuple[float, str], list[bool]] = field(default_factory=dict)
    """Whether the classifier saw the emotion, by strength and emotion."""
    blinks: list[float] = field(default_factory=list)
    """Opening of the shut eyes relative to the own; 1 when no face is found any more."""
    moved: list[float] = field(default_factory=list)
    """Mean displacement of mouth and brows in a blink, pixels of the model's size."""
    rims: list[float] = field(default_factory=list)
    """Error of the rim relative to that of the other pixels."""
    rows: list[Picture] = field(default_factory=list)
    """Rows of the sheet."""


def main() -> None:
    """Measure and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="weights")
    parser.add_argument("store", type=Path, help="prepared pictures")
    parser.add_argument("--classifier", type=Path, required=True, help="folder with the weights of face-api.js")
    parser.add_argument("--split", default="holdout", help="split of the pictures (default: holdout)")
    parser.add_argument("--sheet", type=Path, help="PNG: portrait, rest, presets at strength 1, blink")
    args = parser.parse_args()
    model, classifier = edtalk.load_model(args.model), EmotionClassifier(args.classifier)
    pictures = ClipStore(args.store, args.split, pictures=True).clips
    say(f"classifier on {labelled_accuracy(classifier, pictures)} labelled pictures")
    measurements = Measurements()
    neutral = [clip for clip in pictures if clip.info.emotion == "neutral"]
    for clip in neutral:
        measure(model, classifier, clip, measurements)
    report(measurements, len(neutral))
    if args.sheet:
        edtalk.write_picture(args.sheet, np.concatenate(measurements.rows[:SHEET_FACES]))


def labelled_accuracy(classifier: EmotionClassifier, pictures: list[Clip]) -> str:
    """How often the classifier is right about labelled pictures, in words."""
    labelled = [clip for clip in pictures if clip.info.emotion in EMOTIONS]
    faces = [crop_face(clip.frame(0), clip.landmarks[0]) for clip in labelled]
    seen = classifier.probabilities(faces).argmax(axis=1)
    right = [EMOTIONS[index] == clip.info.emotion for index, clip in zip(seen, labelled, strict=True)]
    return f"{np.mean(right):.0%} of {len(right)}"


def measure(model: edtalk.EDTalk, classifier: EmotionClassifier, clip: Clip, measurements: Measurements) -> None:
    """Measure a portrait."""
    size = model.sizes.resolution
    picture = clip.frame(0, size)
    portrait = model.encode_portrait(picture_to_image(picture, size))
    renderer = edtalk.Renderer(model, portrait, precision="fp32")
    rest = next(renderer.pictures(portrait.own))
    row = [picture, rest]
    points = clip.landmarks[0] * size / clip.size
    emotions = [emotion for emotion in model.presets if emotion in EMOTIONS]
    for strength in STRENGTHS:
        frames = [
            next(renderer.pictures(expression_preset(model.presets, emotion, strength, portrait.own)))
            for emotion in model.presets
        ]
        if strength == 1:
            row += frames
        faces = [
            crop_face(frame, points) for frame, name in zip(frames, model.presets, strict=True) if name in emotions
        ]
        for emotion, seen in zip(emotions, classifier.probabilities(faces).argmax(axis=1), strict=True):
            measurements.hits.setdefault((strength, emotion), []).append(EMOTIONS[seen] == emotion)
    lids = model.bases.lids
    closed = {} if lids is None else {lids.base: lids.closed}
    shut = next(renderer.pictures(offset(portrait.own, "expression", closed)))
    row.append(shut)
    before, after = (landmarks(frame) for frame in (rest, shut))
    if before is not None and lids is not None:
        measurements.blinks.append(1.0 if after is None else float(eye_opening(after) / eye_opening(before)))
        if after is not None:
            still = indices(MOUTH, BROWS)
            measurements.moved.append(float(np.linalg.norm(after[still] - before[still], axis=1).mean()))
    error = np.abs(rest.astype(float) - picture).mean(axis=2)
    inner = error[RIM:-RIM, RIM:-RIM]
    measurements.rims.append((error.sum() - inner.sum()) / (error.size - inner.size) / inner.mean())
    measurements.rows.append(np.concatenate([shrink(frame) for frame in row], axis=1))


def landmarks(picture: Picture) -> NDArray[np.float64] | None:
    """Landmarks (68,2) of the largest face by the built-in mesh, None without one."""
    faces = detect_faces(picture, landmarks="builtin")
    return None if not faces or faces[0].landmarks is None else np.asarray(faces[0].landmarks, np.float64)


def shrink(picture: Picture) -> Picture:
    """A picture at the sheet's size."""
    import cv2

    return np.asarray(cv2.resize(picture, (SHEET_SIZE, SHEET_SIZE), interpolation=cv2.INTER_AREA), np.uint8)


def report(measurements: Measurements, portraits: int) -> None:
    """Print the figures."""
    for strength in STRENGTHS:
        shares = {name: np.mean(hits) for (value, name), hits in measurements.hits.items() if value == strength}
        each = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
        say(f"emotion at strength {strength:g}: {np.mean(list(shares.values())):.0%} of {portraits} portraits ({each})")
    blinks = np.array(measurements.blinks or [1.0])
    share, median = np.mean(blinks <= SHUT), np.median(blinks)
    say(f"blink: eyes below {SHUT:.0%} of their own opening on {share:.0%} of the portraits, median {median:.0%}")
    say(f"blink: mouth and brows move {np.median(measurements.moved or [0.0]):.1f} px (median)")
    say(f"rim: {np.mean(measurements.rims):.2f} times the error of the other pixels")


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
