"""Synthesize speech whose phones and their times are known, to train audio-to-lip with (`phonetic_speech`).

    python tools/make_phonetic_speech.py emotion_text.tsv.gz -o phonetic_speech.safetensors

Speaks English sentences of a table of labelled text (columns text, label, language, split, source) with flite
(https://github.com/festvox/flite, a BSD-like license, in most package managers as "flite"), in several voices, pitches
and rates. Sentences, voices and rates depend on the seed alone.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edtalk_core.data.labelled_text import read_sentences
from edtalk_core.data.phonetic_speech import PHONES, SILENCE, Phone, Utterance, write_phonetic_speech
from edtalk_core.media.audio import MODEL_SAMPLE_RATE, read_audio
from edtalk_core.media.mel import mel_spectrogram

VOICES = ("slt", "rms", "awb", "kal16")
SOURCE = "GoEmotions"
"""Part of the source of the sentences that are spoken, which are free to derive from (Apache-2.0)."""
SPEAKABLE = r"[A-Za-z][A-Za-z ,.'?!;:-]*"
WORDS = (3, 16)
"""Fewest and most words of a sentence."""
RATES = (0.8, 1.3)
"""Durations of phones relative to the voice's own."""
PITCHES = (0.85, 1.2)
"""Pitch relative to the voice's own."""
VOICE_PITCHES = {"slt": 170, "rms": 95, "awb": 130, "kal16": 95}
"""Mean pitch of the voices in Hz."""
LONGEST_SILENCE = 0.6
"""Seconds of silence that are added at most before and after a sentence."""


def main() -> None:
    """Speak sentences and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("text", type=Path, help="table of sentences, .tsv or .tsv.gz")
    parser.add_argument("-o", "--output", type=Path, required=True, help="safetensors file to write")
    parser.add_argument("--utterances", type=int, default=600, help="number of sentences (default: 600)")
    parser.add_argument("--seed", type=int, default=0, help="seed of all choices (default: 0)")
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    sentences = speakable_sentences(args.text)
    if len(sentences) < args.utterances:
        sys.exit(f"{args.text} has {len(sentences)} usable sentences, and {args.utterances} are wanted.")
    spoken = []
    for index in rng.permutation(len(sentences))[: args.utterances]:
        voice = VOICES[int(rng.integers(len(VOICES)))]
        rate, pitch = rng.uniform(*RATES), VOICE_PITCHES[voice] * rng.uniform(*PITCHES)
        waveform, phones = speak(sentences[index], voice, rate, pitch)
        spoken.append(utterance(waveform, phones, *rng.uniform(0, LONGEST_SILENCE, 2)))
    write_phonetic_speech(args.output, spoken, f"flite {', '.join(VOICES)}; sentences of {SOURCE}; seed {args.seed}")
    seconds = sum(len(each) for each in spoken) / 25
    sys.stdout.write(f"{args.output}: {len(spoken)} sentences, {seconds:.0f} s\n")


def speakable_sentences(path: Path) -> list[str]:
    """English sentences of SOURCE, of the training split, that a voice can speak as they are written."""
    rows = [row for row in read_sentences(path, ("train",)) if row.language == "en" and SOURCE in row.source]
    plain = [text for text in dict.fromkeys(row.text for row in rows) if re.fullmatch(SPEAKABLE, text)]
    return [text for text in plain if WORDS[0] <= len(text.split()) <= WORDS[1]]


def speak(text: str, voice: str, rate: float, pitch: float) -> tuple[NDArray[np.float32], list[Phone]]:
    """Speak a sentence: sound (samples,) at 16 kHz and its phones."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        settings = ["--setf", f"duration_stretch={rate:.3f}", "--setf", f"int_f0_target_mean={pitch:.1f}"]
        command = ["flite", "-voice", voice, *settings, "-psdur", "-t", text, "-o", str(path)]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return read_audio(path).to_mono(MODEL_SAMPLE_RATE), parse_phones(printed)


def parse_phones(printed: str) -> list[Phone]:
    """Parse flite's segments, "pau:0.224 m:0.252": names and ends in seconds. Raises ValueError for unknown phones."""
    phones: list[Phone] = []
    start = 0.0
    for segment in printed.split():
        name, end = segment.split(":")
        name = SILENCE if name == "pau" else name.upper()
        if name not in PHONES:
            raise ValueError(f"flite spoke {name}, which is none of {', '.join(PHONES)}.")
        if float(end) > start:
            phones.append(Phone(name, start, float(end)))
        start = float(end)
    return phones


def utterance(waveform: NDArray[np.float32], phones: Sequence[Phone], before: float, after: float) -> Utterance:
    """Utterance of a sentence between silences of `before` and `after` seconds."""
    samples = [round(seconds * MODEL_SAMPLE_RATE) for seconds in (before, after)]
    before = samples[0] / MODEL_SAMPLE_RATE
    moved = [Phone(phone.name, phone.start + before, phone.end + before) for phone in phones]
    start = [Phone(SILENCE, 0.0, before)] if before else []
    end = [Phone(SILENCE, moved[-1].end, moved[-1].end + after)] if after else []
    return Utterance(mel_spectrogram(np.pad(waveform, samples)), (*start, *moved, *end))


if __name__ == "__main__":
    main()
