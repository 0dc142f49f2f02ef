"""Measure whether faces mean what is said: two transcripts in one voice, happy and sad (figure 6 of the supplement).

    edtalk prepare PORTRAITS/manifest.tsv --pictures -o store
    python tools/measure_feeling.py weights/demo.safetensors store --classifier package/weights [--sheet feeling.png]

espeak-ng says both texts. Portraits of the split that are labelled neutral say each, with lips and expression from the
speech, and a classifier that no part of EDTalk learns from looks at frames of both: they are told apart where it sees
more of the emotion that was meant than of the other one.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import edtalk_core as edtalk
from edtalk_core.data.clips import Clip, ClipStore
from edtalk_core.evaluation.emotion_classifier import EMOTIONS, EmotionClassifier, crop_face
from edtalk_core.media.picture import picture_to_image
from edtalk_core.sources.speech import SpeechSettings, expression_from_speech

TEXTS = {
    "happy": "What a wonderful day! I am so happy, thank you so much, I love it!",
    "sad": "She died last night, and I miss her so much. I am so sad and so alone.",
}
FRAMES = 6
"""Frames of each video that the classifier looks at, evenly over the middle four fifths."""
SHOWN = 128
"""Side of a frame on the sheet."""

Picture = NDArray[np.uint8]


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="weights")
    parser.add_argument("store", type=Path, help="prepared pictures")
    parser.add_argument("--classifier", type=Path, required=True, help="folder with the weights of face-api.js")
    parser.add_argument("--split", default="holdout", help="split of the pictures (default: holdout)")
    parser.add_argument("--portraits", type=int, default=12, help="number of portraits (default: 12)")
    parser.add_argument("--strength", type=float, default=1.0, help="strength of the expression (default: 1)")
    parser.add_argument("--sheet", type=Path, help="PNG: a frame of each text of each portrait")
    args = parser.parse_args()
    model, classifier = edtalk.load_model(args.model), EmotionClassifier(args.classifier)
    pictures = ClipStore(args.store, args.split, pictures=True).clips
    portraits = [clip for clip in pictures if clip.info.emotion == "neutral"][: args.portraits]
    apart, named, rows = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        sounds = {emotion: speak(text, Path(folder, f"{emotion}.wav")) for emotion, text in TEXTS.items()}
        for clip in portraits:
            row = []
            for emotion, sound in sounds.items():
                frames = talk(model, clip, sound, TEXTS[emotion], args.strength)
                points = clip.landmarks[0] * model.sizes.resolution / clip.size
                seen = classifier.probabilities([crop_face(frame, points) for frame in frames]).mean(axis=0)
                other = next(name for name in TEXTS if name != emotion)
                apart.append(bool(seen[EMOTIONS.index(emotion)] > seen[EMOTIONS.index(other)]))
                named.append(EMOTIONS[int(seen.argmax())] == emotion)
                row.append(frames[len(frames) // 2])
            rows.append(np.concatenate(row, axis=1))
    say(f"{len(portraits)} portraits: happy and sad told apart in {np.mean(apart):.0%} of {len(apart)} videos")
    say(f"named as meant, of {len(EMOTIONS)} emotions: {np.mean(named):.0%}")
    if args.sheet:
        edtalk.write_picture(args.sheet, np.concatenate(rows)[:: 256 // SHOWN, :: 256 // SHOWN])


def speak(text: str, path: Path) -> Path:
    """Let espeak-ng say a text into a .wav file."""
    subprocess.run(["espeak-ng", "-s", "150", "-w", str(path), text], check=True)
    return path


def talk(model: edtalk.EDTalk, clip: Clip, sound: Path, text: str, strength: float) -> list[Picture]:
    """Render FRAMES frames of a portrait that says a text."""
    size = model.sizes.resolution
    portrait = model.encode_portrait(picture_to_image(clip.frame(0, size), size))
    settings = SpeechSettings(strength=strength)
    felt = expression_from_speech(model, sound, portrait.own, transcript=text, settings=settings).motion
    lips = edtalk.motion_from_audio(model, sound)
    renderer = edtalk.Renderer(model, portrait, precision="fp32")
    moments = np.linspace(0.1, 0.9, FRAMES) * (felt.frames - 1)
    chosen = [
        edtalk.Motion(lip=lips.track("lip")[[moment]], expression=felt.track("expression")[[moment]])
        for moment in moments.round().astype(int).tolist()
    ]
    return [next(renderer.pictures(motion)) for motion in chosen]


def say(text: str) -> None:
    """Print a line."""
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
