"""Expressions that speech asks for: of its words and its voice (supplement 2.7), as a motion and as a timeline."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ..atomic import atomic_write
from ..checks import check_number
from ..emotion.alignment import align, speech_stretches, syllables, words_of
from ..emotion.ctc import load_speech_model
from ..emotion.fusion import fuse, intensities, words_over_time
from ..emotion.keys import timeline_text
from ..emotion.speech import load_speech_emotion
from ..emotion.text import BUILT_IN, TextClassifier, text_classifier
from ..errors import ArgumentError, EDTalkError, MotionError
from ..media.audio import Sound, open_audio
from ..media.mel import AudioFeatures
from ..media.transcript import Cue, Transcript, parse_transcript, write_vtt
from ..model import EDTalk
from ..motion.motion import FPS, Motion
from ..motion.presets import EMOTIONS, MAX_STRENGTH
from ..motion.timeline import expression_timeline
from .audio import audio_features

SPEECH = "speech"
"""Name of the source, where others are emotions."""

MAX_CHANGE = 10.0
"""Seconds that a change may take at most."""

_SYLLABLES_PER_SECOND = (0.8, 11.0)
"""Rates at which people speak; beyond them a transcript is of another recording."""


@dataclass(frozen=True)
class SpeechSettings:
    """How an expression is made of speech. Raises ArgumentError for a value out of range."""

    strength: float = 1.0
    """Factor on the strength of all emotions, 0 to 5."""
    emotions: tuple[str, ...] = EMOTIONS
    """Emotions that may show."""
    change: float = 0.8
    """Seconds that a change of the expression takes, about; 0.1 to 10."""
    text_model: str = BUILT_IN
    """Classifier of the words, see `emotion.text.text_classifier`."""
    labels: str = ""
    """Table of the labels of a text model of Hugging Face, see `emotion.hugging_face.parse_labels`."""
    speech_model: str = ""
    """CTC speech model that says when each word is said and, without a transcript, which, see
    `emotion.ctc.load_speech_model`. Empty: words are laid over the stretches of speech."""

    def __post_init__(self) -> None:
        check_number(self.strength, "The strength", low=0, high=MAX_STRENGTH)
        check_number(self.change, "The time that a change takes", low=0.1, high=MAX_CHANGE, unit="seconds")
        unknown = [emotion for emotion in self.emotions if emotion not in EMOTIONS]
        if unknown:
            raise ArgumentError(f"There is no emotion {unknown[0]!r}; choose from {', '.join(EMOTIONS)}.")


@dataclass(frozen=True, eq=False)
class SpeechExpression:
    """The expression of speech."""

    motion: Motion
    """Expression track at 25 fps, as long as the sound: what `timeline` says."""
    timeline: str
    """The same as the text of an expression timeline, to correct by hand."""
    words: tuple[Cue, ...]
    """Words of the transcript with times."""
    intensities: Tensor
    """(frames,8) in [0,1]: how strongly each of EMOTIONS shows, before the strength."""
    notes: tuple[str, ...]
    """What to know about the result, such as words that were not understood."""

    def save(self, timeline: Path | None = None, words: Path | None = None) -> None:
        """Write the timeline as a text file and the words with times as .vtt, each where a path is given.

        Raises EDTalkError when a file cannot be written.
        """
        if words is not None:
            write_vtt(self.words, words)
        if timeline is not None:
            try:
                with atomic_write(timeline) as partial:
                    partial.write_text(self.timeline + "\n", encoding="utf-8")
            except OSError as error:
                raise EDTalkError(f"{timeline} could not be written: {error}") from error


def expression_from_speech(
    model: EDTalk,
    audio: Sound | AudioFeatures | str | os.PathLike[str],
    anchor: Motion,
    *,
    transcript: str | Transcript | None = None,
    settings: SpeechSettings | None = None,
    sound: Sound | None = None,
) -> SpeechExpression:
    """Make the expression that speech asks for, by its words where there is a transcript, and by its voice.

    Emotions show through the model's own presets, so that every model with presets can do it.

    Args:
        model: one with expression presets.
        audio: the speech: a sound or its features, or a path of either a sound or a video with sound.
        anchor: the expression at rest: `Portrait.own`.
        transcript: what is said, as text, SubRip or WebVTT; None for the voice alone.
        settings: strength, emotions, pace, the text model and the speech model.
        sound: the sound of the features, which a speech model needs; by default the audio itself.

    Raises:
        MotionError: the model has no expressions (the lip+pose variant) or no presets.
        AudioError: the sound cannot be read or is unusable.
        ArgumentError: a speech model, and features without their sound.
        UnsupportedCheckpoint: a text model or a speech model that cannot be used.
    """
    settings = settings or SpeechSettings()
    presets = {name.lower() for name in model.presets}
    if not model.sizes.expression or not presets:
        raise MotionError(
            "This model has no expression presets, so it cannot show emotions. Load EDTalk.pt, or the demo model."
        )
    if settings.speech_model and not isinstance(audio, AudioFeatures):
        audio = sound = open_audio(audio)
    features = audio_features(audio)
    voice = load_speech_emotion().over_time(features)
    words: list[Cue] = []
    text = said = None
    transcript = parse_transcript(transcript) if isinstance(transcript, str) else transcript
    notes = _notes_on_sound(features, voice, transcript)
    if settings.speech_model:
        transcript, words, heard = _words_by_model(transcript, settings.speech_model, sound)
        notes += heard
    if transcript is not None:
        words = words or align(transcript, features)
        classifier = text_classifier(settings.text_model, settings.labels)
        problems = _problems_of_words(transcript, words, features, classifier)
        notes += problems.notes
        if not problems.unusable:
            text, said = words_over_time(words, features.frames, classifier)
    allowed = [emotion for emotion in settings.emotions if emotion in presets]
    shown = intensities(fuse(voice, text, said), allowed, features, settings.change)
    timeline = timeline_text(shown, settings.strength, words)
    motion = expression_timeline(timeline, model.presets, anchor, features.frames / FPS)
    return SpeechExpression(motion, timeline, tuple(words), shown, tuple(notes))


def _words_by_model(
    transcript: Transcript | None, name: str, sound: Sound | None
) -> tuple[Transcript | None, list[Cue], list[str]]:
    """The transcript, or what a speech model hears without one; its words with times, none where it has times of its
    own or does not fit; and notes."""
    if sound is None:
        raise ArgumentError(
            "A speech model hears the sound itself, and only its features were given: give the sound too."
        )
    if transcript is not None and (transcript.cues or not transcript.text.strip()):
        return transcript, [], []
    model = load_speech_model(name)
    samples = sound.to_mono()
    if transcript is None:
        words = model.recognise(samples)
        text = " ".join(word.text for word in words)
        note = f"Heard: {text}" if words else "The speech model hears no words: the voice alone counts."
        return (Transcript(text) if words else None), words, [note]
    aligned = model.align(samples, words_of(transcript.text))
    if aligned is None:
        note = (
            "The speech model could not lay the transcript over the sound (too long, or of letters that it does not "
            "know): its words are laid over the stretches of speech."
        )
        return transcript, [], [note]
    return transcript, aligned, []


def _notes_on_sound(features: AudioFeatures, voice: Tensor, transcript: Transcript | None) -> list[str]:
    if not speech_stretches(features):
        return ["The sound is silent: the face stays as it is in the picture."]
    # With a transcript the words still move the face.
    if transcript is None and float(voice[:, -1].mean()) > 0.5:
        return ["Most of the sound is no speech (music, noise?): there the face stays as it is in the picture."]
    return []


@dataclass(frozen=True)
class _Problems:
    notes: list[str]
    unusable: bool


def _problems_of_words(
    transcript: Transcript, words: Sequence[Cue], features: AudioFeatures, classifier: TextClassifier
) -> _Problems:
    if not any(character.isalpha() for character in transcript.text):
        return _Problems(["The transcript has no words: the voice alone counts."], True)
    if not words:
        reason = (
            "begins after the sound has ended"
            if transcript.cues
            else "has nothing to be laid over: the sound is silent"
        )
        return _Problems([f"The transcript {reason}; the voice alone counts."], True)
    notes = []
    language = classifier.language(transcript.text)
    if language is None:
        known = ", ".join(getattr(classifier, "languages", ()))
        notes.append(
            f"The transcript is in none of the languages that the text classifier knows ({known}): the voice alone "
            "counts. A text model of Hugging Face for its language can be chosen instead."
        )
    seconds = sum(end - start for start, end in speech_stretches(features))
    rate = sum(syllables(word.text) for word in words) / max(seconds, 0.1)
    low, high = _SYLLABLES_PER_SECOND
    if not transcript.cues and not low <= rate <= high:
        notes.append(
            f"The transcript has {len(words)} words for {seconds:.1f} seconds of speech, which nobody speaks so "
            f"{'fast' if rate > high else 'slowly'}: is it of this recording?"
        )
    late = sum(cue.start >= features.duration for cue in transcript.cues)
    if late:
        notes.append(f"{late} of the transcript's {len(transcript.cues)} cues begin after the sound has ended.")
    return _Problems(notes, language is None)
