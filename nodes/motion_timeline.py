"""Motion Timeline."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from comfy_api.latest import io

from ..edtalk_core.emotion.alignment import align
from ..edtalk_core.live.scenes import PerformanceScene
from ..edtalk_core.media.audio import Sound
from ..edtalk_core.media.mel import encode_audio
from ..edtalk_core.media.transcript import Cue, parse_transcript
from ..edtalk_core.motion.motion import Motion
from ..edtalk_core.motion.performances import format_performance, parse_performance
from ..edtalk_core.sources.performance import Performer, performance_length
from .execution import describe, show_status
from .live import SERVICE, controls_of, leave_scene
from .schema import search_words
from .sockets import EncodedPortrait, MotionSocket, PortraitSocket, audio_of


class MotionTimeline(io.ComfyNode):
    """Set emotions, head, blinks and the mouth's gain on a sound, with the face under the playhead."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EDTalkMotionTimeline",
            display_name="EDTalk Motion Timeline (Live)",
            **search_words(
                "timeline, keyframes, emotion over time, emotion timeline, head motion, nod, blink, animate face, "
                "direct, act",
                "时间线, 关键帧, 情绪时间线, 头部动作, 点头, 眨眼, 人脸动画, 导演",
            ),
            category="EDTalk/motion",
            description="Emotions, head, blinks and mouth on the waveform of a sound: drag keys, snap them to words, "
            "play it in a loop. Run once; from then on the face under the playhead follows without another run.",
            inputs=[
                PortraitSocket.Input("portrait", tooltip="From Load Portrait: the face at rest."),
                io.String.Input(
                    "performance",
                    default="",
                    tooltip="All lanes as text, which the timeline writes: JSON. It can also come over a wire.",
                ),
                io.Float.Input(
                    "seconds",
                    default=0.0,
                    min=0.0,
                    max=36_000.0,
                    step=0.1,
                    tooltip="How long it lasts. 0: as long as the audio, else as the longest motion that is plugged "
                    "in, else until the last key.",
                ),
                io.Float.Input("fps", default=25.0, min=1.0, max=120.0, step=0.01, tooltip="Frames a second."),
                io.Audio.Input("audio", optional=True, tooltip="The sound whose waveform is shown and played."),
                MotionSocket.Input(
                    "lip", optional=True, tooltip="A motion whose lip track the mouth lane scales: Lip from Audio."
                ),
                MotionSocket.Input(
                    "pose", optional=True, tooltip="A motion whose pose track the head's keys are added to."
                ),
                MotionSocket.Input(
                    "expression",
                    optional=True,
                    tooltip="A motion whose expression track the emotions and blinks are added to.",
                ),
                io.String.Input(
                    "transcript",
                    optional=True,
                    force_input=True,
                    tooltip="What is said, for the words on the timeline: text, or the content of an .srt or .vtt "
                    "file, whose times count.",
                ),
                io.String.Input(
                    "emotions",
                    optional=True,
                    force_input=True,
                    tooltip="Emotions as text, as for Expression Timeline, instead of those of the timeline.",
                ),
            ],
            outputs=[
                MotionSocket.Output(
                    "motion", display_name="motion", tooltip="Everything together, for lip, pose and expression."
                ),
                io.String.Output(
                    "performance_text", display_name="performance", tooltip="All lanes as text, for another timeline."
                ),
                io.String.Output(
                    "emotions_text", display_name="emotions", tooltip="The emotions as text, for Expression Timeline."
                ),
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls,
        portrait: EncodedPortrait,
        performance: str,
        seconds: float,
        fps: float,
        audio: dict[str, Any] | None = None,
        lip: Motion | None = None,
        pose: Motion | None = None,
        expression: Motion | None = None,
        transcript: str | None = None,
        emotions: str | None = None,
    ) -> io.NodeOutput:
        parsed = parse_performance(performance)
        if emotions is not None:
            parsed = replace(parsed, emotions=emotions)
        sound = audio_of(audio) if audio is not None else None
        plugged = {"lip": lip, "pose": pose, "expression": expression}
        sources = {name: motion.select(name) for name, motion in plugged.items() if motion is not None}
        durations = {name: motion.duration for name, motion in sources.items() if motion.frames > 1}
        if sound is not None:
            durations["audio"] = sound.duration
        length = performance_length(parsed, durations, fps, seconds or None)
        performer = Performer(portrait.model.edtalk, portrait.portrait, portrait.crop, sources, length)
        motion = performer.perform(parsed)
        show_status(describe(motion))
        text = format_performance(parsed)
        scene = PerformanceScene(
            performer,
            portrait.model.precision,
            controls_of(cls, portrait, ["pose"]),
            sound,
            words_of(transcript, sound),
        )
        return io.NodeOutput(motion, text, parsed.emotions, ui=leave_scene(cls, scene, text))

    @classmethod
    def fingerprint_inputs(cls, **_: Any) -> int:
        """Change when scenes were given up, so that a run leaves them again."""
        return SERVICE.evictions


def words_of(transcript: str | None, sound: Sound | None) -> tuple[Cue, ...]:
    """The words of a transcript with times, as far as they are known; plain text is laid over the sound's speech."""
    parsed = parse_transcript(transcript or "")
    if not parsed.text or (sound is None and not parsed.cues):
        return ()
    return tuple(align(parsed, encode_audio(sound)) if sound is not None else parsed.cues)
