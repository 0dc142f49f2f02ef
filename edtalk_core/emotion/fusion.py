"""Emotions of words and voice, frame by frame, together: which emotion, and how strong; at rest in silence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..media.mel import AudioFeatures
from ..media.transcript import Cue
from ..motion.motion import FPS
from ..motion.presets import EMOTIONS, NEUTRAL
from .alignment import speech_stretches
from .text import TextClassifier, sentences

TEXT_SHARE = 0.7
"""Share of the words in the verdict where there are words; the rest is the voice's."""
_SURE_FROM, _SURE_AT = 0.08, 0.45
"""Lead of an emotion's probability over neutral and over chance at which it begins to show, and shows fully."""
_CHANCE = 1 / 7
_LONG_PAUSE = 0.7
"""Seconds of silence after which the face comes to rest."""
_LAST_WORD = 0.4
"""Seconds for which an emotion stays after the last word."""


def words_over_time(words: Sequence[Cue], frames: int, classifier: TextClassifier) -> tuple[Tensor, Tensor]:
    """Judge the sentences of words with times.

    Args:
        words: in order of time.
        frames: at 25 fps.
        classifier: of the text.

    Returns:
        Probabilities (frames,8) of the emotions, and whether there are words (frames,), from the first word of a
        sentence until the next sentence begins, at most for 0.4 s after its last word.
    """
    probabilities, said = torch.zeros(frames, len(EMOTIONS)), torch.zeros(frames, dtype=torch.bool)
    spans = sentence_spans(words)
    if not spans:
        return probabilities, said
    judged = classifier.classify([span.text for span in spans])
    for number, (span, verdict) in enumerate(zip(spans, judged, strict=True)):
        stay = min(span.end + _LAST_WORD, spans[number + 1].start if number + 1 < len(spans) else np.inf)
        first, last = round(span.start * FPS), max(round(stay * FPS), round(span.start * FPS) + 1)
        probabilities[first:last] = verdict
        said[first:last] = True
    return probabilities, said


def sentence_spans(words: Sequence[Cue]) -> list[Cue]:
    """Join words with times to sentences with times: at final punctuation, and at pauses of 0.7 s."""
    spans: list[list[Cue]] = []
    for word in words:
        before = spans[-1] if spans else []
        ended = before and len(sentences(f"{before[-1].text} x")) > 1
        if not before or ended or word.start - before[-1].end > _LONG_PAUSE:
            spans.append([word])
        else:
            before.append(word)
    return [Cue(span[0].start, span[-1].end, " ".join(word.text for word in span)) for span in spans]


def fuse(voice: Tensor, text: Tensor | None, said: Tensor | None) -> Tensor:
    """Probabilities (frames,8) by voice and words together.

    Args:
        voice: (frames,9), EMOTIONS and that nobody speaks, which counts as neutral.
        text: (frames,8) by the words, see `words_over_time`; None without words.
        said: (frames,) whether there are words; elsewhere the voice counts alone.
    """
    by_voice = voice[:, :-1].clone()
    by_voice[:, EMOTIONS.index(NEUTRAL)] += voice[:, -1]
    if text is None or said is None:
        return by_voice
    return torch.where(said[:, None], TEXT_SHARE * text + (1 - TEXT_SHARE) * by_voice, by_voice)


def intensities(probabilities: Tensor, allowed: Sequence[str], features: AudioFeatures, change: float) -> Tensor:
    """How strongly each emotion shows in each frame.

    Args:
        probabilities: (frames,8) in the order of EMOTIONS.
        allowed: emotions that may show; the others count as neutral.
        features: the sound: where it is silent for 0.7 s, the face is at rest.
        change: seconds that a change takes, about.

    Returns:
        (frames,8) in [0,1], smooth; that of neutral is 0.
    """
    neutral = EMOTIONS.index(NEUTRAL)
    allowed_columns = [EMOTIONS.index(emotion) for emotion in allowed if emotion != NEUTRAL]
    shown = torch.zeros_like(probabilities)
    shown[:, allowed_columns] = probabilities[:, allowed_columns]
    # Smoothed before the strongest is chosen, so that a doubtful moment does not flicker between two.
    sigma = max(change / 2, 1 / FPS) * FPS
    shown, rest = smoothed(shown, sigma), smoothed(probabilities[:, [neutral]], sigma)
    best = shown.argmax(1, keepdim=True)
    lead = shown.gather(1, best) - torch.clamp(rest, min=_CHANCE)
    strength = ((lead - _SURE_FROM) / (_SURE_AT - _SURE_FROM)).clamp(0, 1)
    result = torch.zeros_like(shown).scatter_(1, best, strength)
    return smoothed(result * _activity(features, len(result))[:, None], sigma)


def _activity(features: AudioFeatures, frames: int) -> Tensor:
    """1 in frames of speech and of its short pauses, 0 where it is silent for longer."""
    active = torch.zeros(frames)
    end = -np.inf
    for start, stop in speech_stretches(features):
        first = end if start - end <= _LONG_PAUSE else start
        active[max(0, round(first * FPS)) : max(0, round((stop + _LAST_WORD) * FPS))] = 1
        end = stop
    return active


def smoothed(values: Tensor, sigma: float) -> Tensor:
    """Gaussian over time of `sigma` frames; the ends are held."""
    reach = int(3 * sigma) + 1
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    padded = torch.cat([values[:1].expand(reach, -1), values, values[-1:].expand(reach, -1)])
    return torch.nn.functional.conv1d(padded.T[:, None], (kernel / kernel.sum())[None, None])[:, 0].T
