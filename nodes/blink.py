"""Blink."""

from __future__ import annotations

from comfy_api.latest import io

from ..edtalk_core.media.mel import AudioFeatures
from ..edtalk_core.motion.blinks import BLINK_RATE, MAX_RATE, MAX_STRENGTH
from ..edtalk_core.motion.motion import Motion
from ..edtalk_core.motion.nods import MAX_NODS
from ..edtalk_core.sources.blink import blink_motion
from ..edtalk_core.wording import counted
from .execution import describe, on_device, show_status
from .pose import seed_input
from .schema import search_words
from .sockets import EncodedPortrait, FeaturesSocket, MotionSocket, PortraitSocket


class Blink(io.ComfyNode):
    """Add blinks to an expression."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EDTalkBlink",
            display_name="EDTalk Blink",
            **search_words(
                "blinking, eye blink, close eyes, eyelids, eyes, animate eyes, natural eyes",
                "眨眼, 闭眼, 眼皮, 眼睑, 眼睛, 自然眨眼",
            ),
            category="EDTalk/expression",
            description="Lets the eyes blink, as often and as fast as people do, whatever the expression. Along with "
            "speech, mostly at the ends of phrases. Another seed blinks at other times.",
            inputs=[
                PortraitSocket.Input("portrait", tooltip="From Load Portrait; how its eyes close is found out."),
                io.Float.Input(
                    "rate",
                    default=BLINK_RATE,
                    min=0.0,
                    max=MAX_RATE,
                    step=1.0,
                    tooltip="Blinks a minute. 17: as in conversation. 5: staring or reading. 30: nervous. 0: none.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=MAX_STRENGTH,
                    step=0.05,
                    tooltip="How far the eyes close. 1: shut. Less: half shut. More, where a model does not shut them.",
                ),
                seed_input(),
                io.Float.Input(
                    "seconds",
                    default=5.0,
                    min=0.04,
                    max=36_000.0,
                    step=0.1,
                    tooltip="How long it lasts, where neither features nor a motion of several frames are plugged in.",
                ),
                FeaturesSocket.Input(
                    "features",
                    optional=True,
                    tooltip="From Encode Audio: blinks come mostly at the ends of phrases and in pauses, and a single "
                    "frame lasts as long as the sound.",
                ),
                MotionSocket.Input(
                    "motion",
                    optional=True,
                    tooltip="The expression that blinks: of a preset, a timeline, a blend; other tracks stay. "
                    "Unplugged: the portrait's own.",
                ),
                io.Float.Input(
                    "stress",
                    default=0.0,
                    min=0.0,
                    max=MAX_NODS,
                    step=0.1,
                    optional=True,
                    tooltip="How much eyes widen at stressed words and lids sink at the ends of phrases, besides the "
                    "blinks. 0: not at all. 1: a little, as people do.",
                ),
            ],
            outputs=[
                MotionSocket.Output(
                    "blinking",
                    display_name="motion",
                    tooltip="The motion, with blinks in its expression.",
                )
            ],
        )

    @classmethod
    def execute(
        cls,
        portrait: EncodedPortrait,
        rate: float,
        strength: float,
        seed: int,
        seconds: float,
        features: AudioFeatures | None = None,
        motion: Motion | None = None,
        stress: float = 0.0,
    ) -> io.NodeOutput:
        moves = motion is not None and motion.frames > 1
        blinking, blinks = blink_motion(
            on_device(portrait.model),
            portrait.portrait,
            portrait.crop,
            motion,
            audio=features,
            duration=None if moves or features is not None else seconds,
            rate=rate,
            strength=strength,
            seed=seed,
            stress=stress,
        )
        show_status(f"{counted(len(blinks), 'blink')}, {describe(blinking)}")
        return io.NodeOutput(blinking)
