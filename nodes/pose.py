"""Sample Pose from Flow, Hold Pose / Idle."""

from __future__ import annotations

from comfy_api.latest import io

from ..edtalk_core.media.mel import AudioFeatures
from ..edtalk_core.motion.motion import Motion
from ..edtalk_core.motion.nods import MAX_NODS
from ..edtalk_core.sources.flow import motion_from_flow
from ..edtalk_core.sources.idle import idle_motion
from .execution import Progress, describe, warn
from .schema import advanced, search_words
from .sockets import EncodedPortrait, FeaturesSocket, MotionSocket, PortraitSocket

MAX_SEED = 2**53 - 1
"""JavaScript's largest safe integer: the editor would round larger seeds."""


def _seconds_input() -> io.Input:
    return io.Float.Input(
        "seconds",
        default=5.0,
        min=0.04,
        max=36_000.0,
        step=0.1,
        tooltip="How long it lasts, where no features are plugged in.",
    )


def seed_input() -> io.Input:
    """The seed of a motion that is made by chance."""
    return io.Int.Input(
        "seed",
        default=0,
        min=0,
        max=MAX_SEED,
        control_after_generate=True,
        tooltip="The same seed gives the same motion, on every machine.",
    )


class SamplePose(io.ComfyNode):
    """Sample pose weights from the pose flow."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EDTalkSamplePose",
            display_name="EDTalk Sample Pose from Flow",
            **search_words(
                "head motion, head pose, head, animate head, talking head", "头部动作, 头部运动, 头部姿态, 说话头像"
            ),
            category="EDTalk/pose",
            description="Generates head motion to go with the speech, without a driver video. Another seed is "
            "another take.",
            inputs=[
                PortraitSocket.Input(
                    "portrait", tooltip="From Load Portrait: the head starts as it is in the picture."
                ),
                _seconds_input(),
                seed_input(),
                advanced(
                    io.Float.Input(
                        "temperature",
                        default=1.0,
                        min=0.0,
                        max=2.0,
                        step=0.05,
                        tooltip="1: as lively as people are. Less: calmer and more regular. 0: without chance.",
                    )
                ),
                io.Float.Input(
                    "amount",
                    default=1.0,
                    min=0.0,
                    max=3.0,
                    step=0.05,
                    tooltip="How far it moves about the pose in the picture. 0: still. 2: twice as far and as fast.",
                ),
                FeaturesSocket.Input(
                    "features",
                    optional=True,
                    tooltip="From Encode Audio: the head moves to this sound, for as long. Unplugged: the head of "
                    "a listener, for the number of seconds.",
                ),
                io.String.Input(
                    "emotion",
                    default="",
                    optional=True,
                    placeholder="happy, sad:0.5 or a timeline",
                    tooltip="How the head feels: an emotion such as sad, or the timeline of Expression from Speech or "
                    "Expression Timeline. Empty: not said. Needs weights whose pose flow has learned emotions.",
                ),
                io.Float.Input(
                    "nods",
                    default=0.0,
                    min=0.0,
                    max=MAX_NODS,
                    step=0.1,
                    optional=True,
                    tooltip="How much the head nods at stressed words and the ends of phrases, besides what it does "
                    "anyway. 0: not at all. 1: a little, as people do.",
                ),
            ],
            outputs=[MotionSocket.Output("pose", display_name="pose", tooltip="A motion with a pose track, 25 fps.")],
        )

    @classmethod
    def execute(
        cls,
        portrait: EncodedPortrait,
        seconds: float,
        seed: int,
        temperature: float,
        amount: float,
        features: AudioFeatures | None = None,
        emotion: str = "",
        nods: float = 0.0,
    ) -> io.NodeOutput:
        progress = Progress()
        flow = portrait.model.edtalk.pose_flow
        if emotion.strip() and flow is not None and flow.emotion is None:
            warn("The pose flow of this model has not learned emotions: the head moves as without one.")
            emotion = ""
        pose = motion_from_flow(
            portrait.model.edtalk,  # not `on_device`: the flow is computed on the CPU
            features,
            portrait.own,
            duration=None if features is not None else seconds,
            seed=seed,
            temperature=temperature,
            amount=amount,
            emotion=emotion,
            nods=nods,
            progress=progress,
        )
        progress.conclude(describe(pose))
        return io.NodeOutput(pose)


class HoldPose(io.ComfyNode):
    """Make pose weights of a head that is still or idles."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EDTalkHoldPose",
            display_name="EDTalk Hold Pose / Idle",
            **search_words("head, still head, idle, breathing, head pose", "头部, 静止, 待机, 呼吸, 头部姿态"),
            category="EDTalk/pose",
            description="Keeps the head where it is, or lets it drift slowly and a little, as heads do that wait. "
            "Needs no driver video and no pose flow.",
            inputs=[
                PortraitSocket.Input("portrait", tooltip="From Load Portrait: its pose is held."),
                _seconds_input(),
                io.Float.Input(
                    "amount",
                    default=1.0,
                    min=0.0,
                    max=5.0,
                    step=0.05,
                    tooltip="0: held still. 1: a head that waits. About 3: moves as far as one that talks.",
                ),
                seed_input(),
                advanced(
                    io.Boolean.Input(
                        "loop",
                        default=False,
                        tooltip="Whether the end leads into the start, so that it can be repeated without a jump. A "
                        "loop of less than 3 seconds hardly moves.",
                    )
                ),
                FeaturesSocket.Input(
                    "features", optional=True, tooltip="From Encode Audio: it lasts as long as the sound."
                ),
                MotionSocket.Input(
                    "motion", optional=True, tooltip="A motion whose first pose is held instead of the portrait's."
                ),
            ],
            outputs=[MotionSocket.Output("pose", display_name="pose", tooltip="A motion with a pose track, 25 fps.")],
        )

    @classmethod
    def execute(
        cls,
        portrait: EncodedPortrait,
        seconds: float,
        amount: float,
        seed: int,
        loop: bool,
        features: AudioFeatures | None = None,
        motion: Motion | None = None,
    ) -> io.NodeOutput:
        duration = features.duration if features is not None else seconds
        anchor = motion if motion is not None else portrait.own
        return io.NodeOutput(idle_motion(anchor, duration, seed=seed, amount=amount, loop=loop))
