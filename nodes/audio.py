"""Encode Audio, Lip Weights from Audio."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..edtalk_core.media.audio import pad_silence
from ..edtalk_core.media.mel import AudioFeatures, encode_audio
from ..edtalk_core.sources.audio import motion_from_audio
from .execution import Progress, describe, on_device
from .schema import search_words
from .sockets import FeaturesSocket, LoadedModel, ModelSocket, MotionSocket, audio_of, sound_of


class EncodeAudio(io.ComfyNode):
    """Encode an AUDIO into the audio features that the models take."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EDTalkEncodeAudio",
            display_name="EDTalk Encode Audio",
            **search_words("speech, voice, wav2lip, audio features", "语音, 声音, 说话, 音频编码"),
            category="EDTalk/audio",
            description="Prepares a sound for lips and head motion. Any sample rate, any number of channels, any "
            "language; silence can be added at both ends.",
            inputs=[
                io.Audio.Input("audio", tooltip="Speech. Of a batch the first sound is used."),
                io.Float.Input(
                    "silence_before",
                    default=0.0,
                    min=0.0,
                    max=60.0,
                    step=0.1,
                    tooltip="Seconds of silence in front, mouth closed.",
                ),
                io.Float.Input(
                    "silence_after",
                    default=0.0,
                    min=0.0,
                    max=60.0,
                    step=0.1,
                    tooltip="Seconds of silence at the end, mouth closed.",
                ),
            ],
            outputs=[
                FeaturesSocket.Output("features", display_name="features", tooltip="What the models hear."),
                io.Audio.Output("padded", display_name="audio", tooltip="The sound itself, silence included."),
                io.Float.Output("seconds", display_name="seconds", tooltip="Its length, silence included."),
            ],
        )

    @classmethod
    def execute(cls, audio: dict[str, Any] | None, silence_before: float, silence_after: float) -> io.NodeOutput:
        sound = pad_silence(audio_of(audio), silence_before, silence_after)
        return io.NodeOutput(encode_audio(sound), sound_of(sound), sound.duration)


class LipFromAudio(io.ComfyNode):
    """Predict lip weights from audio features."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EDTalkLipFromAudio",
            display_name="EDTalk Lip Sync from Audio",
            **search_words(
                "lip sync, lipsync, wav2lip, speech, speech to lips, talking head, mouth, talking avatar",
                "口型同步, 对口型, 唇形同步, 嘴型, 语音驱动, 说话头像",
            ),
            category="EDTalk/audio",
            description="Predicts the mouth's motion from speech: 20 lip weights for each frame, 25 frames a second.",
            inputs=[
                ModelSocket.Input("model", tooltip="A model with an audio-to-lip network, such as demo or EDTalk."),
                FeaturesSocket.Input("features", tooltip="From Encode Audio."),
            ],
            outputs=[MotionSocket.Output("lip", display_name="lip", tooltip="A motion with a lip track, 25 fps.")],
        )

    @classmethod
    def execute(cls, model: LoadedModel, features: AudioFeatures) -> io.NodeOutput:
        progress = Progress()
        motion = motion_from_audio(on_device(model), features, progress=progress)
        progress.conclude(describe(motion))
        return io.NodeOutput(motion)
