"""Measure the emotion classifiers on the splits of their data that they were not trained on.

    python tools/measure_emotions.py text TABLE [--model FILE]
    python tools/measure_emotions.py speech MANIFEST [--model FILE]

Text: macro F1 of all, of English, of GoEmotions alone, and of every language. Speech: unweighted average recall of
unseen speakers and the confusion matrix, how strongly an expression would show on neutral recordings, and the share of
one core's time that a sound takes.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from edtalk_core.data.emotional_speech import read_recordings
from edtalk_core.data.labelled_text import read_sentences
from edtalk_core.emotion.fusion import fuse, intensities
from edtalk_core.emotion.speech import load_speech_emotion
from edtalk_core.emotion.text import load_text_emotion
from edtalk_core.media.mel import COLUMNS_PER_SECOND, AudioFeatures
from edtalk_core.motion.motion import FPS
from edtalk_core.motion.presets import EMOTIONS, NEUTRAL

CHANGE = 0.8
"""Seconds of a change of the expression, as by default."""


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("text", "speech"))
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", type=Path, help="classifier to measure (default: the one that ships)")
    parser.add_argument("--split", default="holdout", help="split to measure on (default: holdout)")
    args = parser.parse_args()
    (measure_text if args.kind == "text" else measure_speech)(args.data, args.model, args.split)


def confusion(truth: Sequence[int], guesses: Sequence[int], classes: int) -> np.ndarray:
    """Matrix (classes,classes): how often each class, a row, was taken for each, a column."""
    matrix: np.ndarray = np.zeros((classes, classes), int)
    np.add.at(matrix, (np.asarray(truth), np.asarray(guesses)), 1)
    return matrix


def macro_f1(matrix: np.ndarray) -> float:
    """Mean F1 of the classes that occur in a confusion matrix."""
    right = np.diag(matrix)
    present = matrix.sum(1) > 0
    return float((2 * right / np.maximum(matrix.sum(0) + matrix.sum(1), 1))[present].mean())


def average_recall(matrix: np.ndarray) -> float:
    """Mean recall of the classes that occur in a confusion matrix."""
    present = matrix.sum(1) > 0
    return float((np.diag(matrix)[present] / matrix.sum(1)[present]).mean())


def measure_text(table: Path, model: Path | None, split: str) -> None:
    """Print the figures of the text classifier."""
    classifier = load_text_emotion(model)
    sentences = read_sentences(table, (split,))
    started = time.process_time()
    guesses = classifier.classify([sentence.text for sentence in sentences]).argmax(1).numpy()
    took = time.process_time() - started
    truth = np.array([EMOTIONS.index(sentence.label) for sentence in sentences])
    language = np.array([sentence.language for sentence in sentences])
    groups = {"all": np.ones(len(sentences), bool), "English": language == "en"}
    groups["GoEmotions"] = np.array(["GoEmotions" in sentence.source for sentence in sentences])
    groups |= {name: language == name for name in sorted(set(language))}
    for name, chosen in groups.items():
        matrix = confusion(truth[chosen], guesses[chosen], len(EMOTIONS))
        say(f"{name}: macro F1 {macro_f1(matrix):.3f}, average recall {average_recall(matrix):.3f}, {chosen.sum()}")
    known = [classifier.language(sentence.text) for sentence in sentences]
    right = np.mean([guess == truth for guess, truth in zip(known, language, strict=True)])
    say(f"language of single sentences: right {right:.3f}, unknown {np.mean([guess is None for guess in known]):.3f}")
    say(f"{1000 * took / len(sentences):.2f} ms a sentence on one core")
    print_matrix(confusion(truth, guesses, len(EMOTIONS)))


def measure_speech(manifest: Path, model: Path | None, split: str) -> None:
    """Print the figures of the speech classifier."""
    classifier = load_speech_emotion(model)
    recordings = [
        recording
        for recording in read_recordings(manifest, (split,))
        if recording.emotion and recording.path.startswith("speech/")
    ]
    truth, guesses, shown, agreeing = [], [], [], []
    started = time.process_time()
    for recording in recordings:
        frames = max(1, len(recording.mel) * int(FPS) // COLUMNS_PER_SECOND)
        features = AudioFeatures(recording.mel, frames, len(recording.mel) / COLUMNS_PER_SECOND)
        voice = classifier.over_time(features)
        truth.append(EMOTIONS.index(recording.emotion))
        guesses.append(int(voice[:, :-1].log().clamp(min=-20).mean(0).argmax()))
        intensity = intensities(fuse(voice, None, None), EMOTIONS, features, CHANGE)
        shown.append(float(intensity.amax(1).mean()))
        agreeing.append(int(intensity.mean(0).argmax()) if intensity.amax() > 0 else EMOTIONS.index(NEUTRAL))
    took = time.process_time() - started
    matrix = confusion(truth, guesses, len(EMOTIONS))
    say(f"unweighted average recall {average_recall(matrix):.3f} over {(matrix.sum(1) > 0).sum()} classes")
    say(f"accuracy {np.diag(matrix).sum() / matrix.sum():.3f} of {matrix.sum()} recordings")
    for group in ("ravdess", "emodb", "nemo"):
        chosen = [number for number, recording in enumerate(recordings) if group in recording.path]
        if chosen:
            part = confusion([truth[n] for n in chosen], [guesses[n] for n in chosen], len(EMOTIONS))
            say(f"{group}: {average_recall(part):.3f} of {len(chosen)}")
    for number, emotion in enumerate(EMOTIONS):
        strengths = [strength for strength, label in zip(shown, truth, strict=True) if label == number]
        if strengths:
            same = np.mean([guess == number for guess, label in zip(agreeing, truth, strict=True) if label == number])
            say(f"{emotion}: mean intensity {np.mean(strengths):.3f}, the face shows it in {same:.2f} of recordings")
    seconds = sum(len(recording.mel) for recording in recordings) / COLUMNS_PER_SECOND
    say(f"{took / seconds:.4f} of one core's time")
    print_matrix(matrix)


def print_matrix(matrix: np.ndarray) -> None:
    """Print a confusion matrix of EMOTIONS as a table in Markdown."""
    say("| truth, guess | " + " | ".join(EMOTIONS) + " |\n" + "|---" * (len(EMOTIONS) + 1) + "|")
    for emotion, row in zip(EMOTIONS, matrix, strict=True):
        if row.sum():
            say(f"| {emotion} | " + " | ".join(map(str, row)) + " |")


def say(text: str) -> None:
    """Print a line."""
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
