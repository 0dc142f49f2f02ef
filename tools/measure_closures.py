"""Measure whether a model's lips close at p, b and m and are open in vowels, on recordings whose text is known.

    python tools/measure_closures.py weights/demo.safetensors MANIFEST PORTRAIT --split holdout [--name ravdess]

Recordings are the rows of the manifest with kind "speech" whose notes state their text ("text=..., up to the next |").
Needs pocketsphinx (`pip install pocketsphinx`), which finds the phones by forced alignment of the text, and ffmpeg.

The portrait, a picture with closed lips, is driven by the sound alone. A mouth counts as closed below CLOSED of the way
from the portrait's own opening to the LARGE percentile of the openings in the middles of vowels. A p, b or m is
measured by its smallest opening, from the frame in which it starts to the frame after its end; a vowel in its middle.
"""

from __future__ import annotations

import argparse
import csv
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import edtalk_core as edtalk
from edtalk_core.data.phonetic_speech import Phone
from edtalk_core.evaluation.faces import FaceReader
from edtalk_core.face.landmarks import eye_distance, mouth_opening
from edtalk_core.media.audio import MODEL_SAMPLE_RATE
from edtalk_core.motion.motion import FPS

CLOSURES = frozenset(("P", "B", "M"))
VOWELS = frozenset(["AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW"])
CLOSED = 0.15
LARGE = 95
ALIGNER_STEP = 0.01
"""Seconds of a frame of pocketsphinx."""


@dataclass(frozen=True)
class Openings:
    """Openings of a mouth in eye distances."""

    rest: float
    """Of the portrait at rest."""
    closures: Sequence[float]
    """Smallest in each p, b and m."""
    vowels: Sequence[float]
    """In the middle of each vowel."""

    def closed(self) -> tuple[float, float]:
        """Shares of the closures and of the vowels in which the mouth is closed, see CLOSED."""
        limit = self.rest + CLOSED * (np.percentile(self.vowels, LARGE) - self.rest)
        return float(np.mean(np.less(self.closures, limit))), float(np.mean(np.less(self.vowels, limit)))


def main() -> None:
    """Measure and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="weights")
    parser.add_argument("manifest", type=Path, help="table of recordings, .tsv")
    parser.add_argument("portrait", help="picture of a face with closed lips")
    parser.add_argument("--split", default="holdout", help="split of the recordings (default: holdout)")
    parser.add_argument("--name", default="", help="part of the paths of the recordings (default: all)")
    args = parser.parse_args()
    with args.manifest.open(encoding="utf-8", newline="") as file:
        rows = [
            (args.manifest.parent / row["path"], text)
            for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            if row["kind"] == "speech" and row["split"] == args.split and args.name in row["path"]
            if (text := spoken_text(row["notes"]))
        ]
    if not rows:
        sys.exit(f"{args.manifest} has no recording of the split {args.split} whose notes state its text.")
    openings = measure(edtalk.load_model(args.model), args.portrait, rows)
    closures, vowels = openings.closed()
    sys.stdout.write(
        f"{len(rows)} recordings: closed in {closures:.0%} of {len(openings.closures)} p, b and m, "
        f"and in {vowels:.0%} of {len(openings.vowels)} vowels\n"
    )


def spoken_text(notes: str) -> str:
    """Text that the notes of a recording state; empty if they state none."""
    match = re.search(r"\btext=([^|]*)", notes)
    return match[1].strip() if match else ""


def measured_frames(phones: Sequence[Phone], frames: int) -> tuple[list[list[int]], list[int]]:
    """Frames (of `frames` at 25 fps) of each p, b and m, and the middle frame of each vowel."""
    closures = [
        list(range(int(phone.start * FPS), min(frames, int(np.ceil(phone.end * FPS)) + 1)))
        for phone in phones
        if phone.name in CLOSURES
    ]
    vowels = [min(frames - 1, round((phone.start + phone.end) / 2 * FPS)) for phone in phones if phone.name in VOWELS]
    return [closure for closure in closures if closure], vowels


def measure(model: Any, portrait_path: str, recordings: Sequence[tuple[Path, str]]) -> Openings:
    """Render the frames that count of a portrait driven by recordings with their texts, and measure their mouths."""
    size = model.sizes.resolution
    crop = edtalk.crop_portrait(edtalk.read_picture(portrait_path), size=size)
    portrait, reader = model.encode_portrait(edtalk.picture_to_image(crop.picture, size)), FaceReader()
    renderer = edtalk.Renderer(model, portrait, precision="fp32")
    rest = next(iter(renderer.pictures(portrait.own)))
    mesh = reader.find(rest)

    def opening(picture: Any) -> float:
        landmarks = reader.landmarks(picture, mesh)
        return float(mouth_opening(landmarks) / eye_distance(landmarks))

    all_closures: list[float] = []
    all_vowels: list[float] = []
    for path, text in recordings:
        lip = edtalk.motion_from_audio(model, str(path)).lip
        closures, vowels = measured_frames(align(path, text), len(lip))
        needed = sorted({frame for closure in closures for frame in closure} | set(vowels))
        if needed:
            pictures = renderer.pictures(edtalk.Motion(lip=lip[needed]))
            openings = dict(zip(needed, map(opening, pictures), strict=True))
            all_closures += [min(openings[frame] for frame in closure) for closure in closures]
            all_vowels += [openings[frame] for frame in vowels]
    return Openings(opening(rest), all_closures, all_vowels)


def align(path: Path, text: str) -> list[Phone]:
    """Find the phones of a recording with a known text by forced alignment (pocketsphinx)."""
    from pocketsphinx import Decoder, get_model_path

    command = ["ffmpeg", "-v", "error", "-i", str(path), "-ac", "1", "-ar", str(MODEL_SAMPLE_RATE), "-f", "s16le", "-"]
    samples = subprocess.run(command, check=True, capture_output=True).stdout
    folder = Path(get_model_path()) / "en-us"
    decoder = Decoder(hmm=str(folder / "en-us"), dict=str(folder / "cmudict-en-us.dict"), lm=None, loglevel="FATAL")
    decoder.set_align_text(" ".join(re.findall(r"[a-z']+", text.lower())))
    for stage in ("words", "phones"):
        decoder.start_utt()
        decoder.process_raw(samples, full_utt=True)
        decoder.end_utt()
        if stage == "words":
            decoder.set_alignment()
    return [
        Phone(phone.name, phone.start * ALIGNER_STEP, (phone.start + phone.duration) * ALIGNER_STEP)
        for word in decoder.get_alignment()
        for phone in word
    ]


if __name__ == "__main__":
    main()
