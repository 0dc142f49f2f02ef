"""Expression from Speech."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..edtalk_core.media.mel import AudioFeatures
from ..edtalk_core.media.transcript import format_vtt
from ..edtalk_core.motion.presets import EMOTIONS, NEUTRAL
from ..edtalk_core.sources.speech import SpeechSettings, expression_from_speech
from .execution import describe, show_status, warn
from .files import find_hugging_face_model, find_text_model
from .schema import advanced, search_words
from .sockets import EncodedPortrait, FeaturesSocket, MotionSocket, PortraitSocket, audio_of


class ExpressionFromSpeech(io.ComfyNode):
    """Make the expression that words and voice ask for."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EDTalkExpressionFromSpeech",
            display_name="EDTalk Expression from Speech",
            **search_words(
                "emotion from audio, emotion from speech, emotion from text, sentiment, auto emotion, face",
                "语音情绪, 语音情感, 文本情感, 自动表情, 情绪识别",
            ),
            category="EDTalk/expression",
            description="A face that means what it says: emotions over time by the words of a transcript and by the "
            "voice. Also as the text of a timeline, to correct what was guessed.",
            inputs=[
                PortraitSocket.Input("portrait", tooltip="From Load Portrait. At rest it is as in the picture."),
                FeaturesSocket.Input("features", tooltip="From Encode Audio: the speech."),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=3.0,
                    step=0.05,
                    tooltip="0: as in the picture. 1: as strong as it is guessed to be. Up to 3: exaggerated.",
                ),
                io.String.Input(
                    "transcript",
                    default="",
                    multiline=True,
                    placeholder="What is said: text, or the content of an .srt or .vtt file",
                    tooltip="What is said. Times of SubRip (.srt) and WebVTT (.vtt) count; plain text is laid over the "
                    "stretches of speech. Empty: the voice alone, which says less.",
                ),
                io.Float.Input(
                    "change",
                    default=0.8,
                    min=0.1,
                    max=10.0,
                    step=0.1,
                    tooltip="Seconds that a change of the expression takes. More: calmer.",
                ),
                advanced(
                    io.String.Input(
                        "emotions",
                        default="",
                        placeholder="happy, sad, surprised",
                        tooltip="Emotions that may show, separated by commas. Empty: all. "
                        f"{', '.join(emotion for emotion in EMOTIONS if emotion != NEUTRAL)}.",
                    )
                ),
                advanced(
                    io.String.Input(
                        "text_model",
                        default="built-in",
                        tooltip="Classifier of the words. built-in: small and fast, for 15 languages. Or a text "
                        "classification model of Hugging Face, for any language: a folder in models/edtalk, or an id "
                        "such as owner/model, which is downloaded.",
                    )
                ),
                advanced(
                    io.String.Input(
                        "labels",
                        default="",
                        multiline=True,
                        placeholder="joy = happy\nanger = angry",
                        tooltip="Which emotion a label of a Hugging Face model is, a line for each. Common labels are "
                        "known.",
                    )
                ),
                advanced(
                    io.String.Input(
                        "speech_model",
                        default="",
                        optional=True,
                        placeholder="owner/model",
                        tooltip="A CTC speech model of Hugging Face, such as wav2vec 2.0: when each word is said and, "
                        "without a transcript, which. A folder in models/edtalk, or an id such as owner/model, "
                        "which is downloaded. Needs audio. Empty: words are laid over the stretches of speech.",
                    )
                ),
                io.Audio.Input(
                    "audio",
                    optional=True,
                    tooltip="The sound of the features, for a speech model; otherwise it is not needed.",
                ),
            ],
            outputs=[
                MotionSocket.Output(
                    "expression",
                    display_name="expression",
                    tooltip="A motion with an expression track, as long as the sound.",
                ),
                io.String.Output(
                    "timeline",
                    display_name="timeline",
                    tooltip="The same as text for Expression Timeline, with the words as comments.",
                ),
                io.String.Output(
                    "words",
                    display_name="words",
                    tooltip="The words of the transcript with their times, as WebVTT.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        portrait: EncodedPortrait,
        features: AudioFeatures,
        strength: float,
        transcript: str,
        change: float,
        emotions: str,
        text_model: str,
        labels: str,
        speech_model: str = "",
        audio: dict[str, Any] | None = None,
    ) -> io.NodeOutput:
        allowed = tuple(name.strip().lower() for name in emotions.replace("\n", ",").split(",") if name.strip())
        settings = SpeechSettings(
            strength=strength,
            emotions=allowed or EMOTIONS,
            change=change,
            text_model=find_text_model(text_model),
            labels=labels,
            speech_model=find_hugging_face_model(speech_model, "speech model") if speech_model.strip() else "",
        )
        result = expression_from_speech(
            portrait.model.edtalk,
            features,
            portrait.own,
            transcript=transcript or None,
            settings=settings,
            sound=audio_of(audio) if audio is not None else None,
        )
        show_status(describe(result.motion))
        warn(" ".join(result.notes))
        return io.NodeOutput(result.motion, result.timeline, format_vtt(result.words))
