"""The protocols of the paper (supplement 1.2, 2.1, 2.2): what drives which portrait, and what it is compared with.

What the paper leaves open, and how it is done here: the head of EDTalk-A follows the video itself (EDTalk-A and
EDTalk-V differ by 0.03 dB in Table 1, which a head at rest or a sampled one would not allow); `pose` chooses otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from ..data.clips import Clip
from ..errors import ArgumentError, EDTalkError
from ..media.picture import images_to_pictures
from ..model import EDTalk, Portrait
from ..motion.motion import TRACKS
from ..networks.pose_flow import frame_spectra
from ..rendering import Renderer
from ..sources.flow import sample_pose
from .faces import FaceReader, Picture
from .metrics import Unmeasurable
from .protocols import BATCH, FollowedFace, Take, clip_images, find_face, lip_from_clip

NEUTRAL = "neutral"
POSES = ("video", "portrait", "flow")


@dataclass(frozen=True)
class PaperProtocol:
    """What a protocol renders."""

    title: str
    portrait: Literal["first", "neutral", "other", "none"]
    """Whose picture moves: the clip's first frame; the first frame of a neutral clip of the same speaker; the first
    frame of the next clip of another person; or none: the true frames themselves are measured."""
    mouth: Literal["sound", "video"] = "video"
    expression: Literal["video", "portrait"] = "video"
    about: str = ""
    tables: tuple[str, ...] = ()
    """Tables of the paper that its figures belong to."""


PROTOCOLS: dict[str, PaperProtocol] = {
    "edtalk-a": PaperProtocol(
        "EDTalk-A", "first", "sound", "portrait", "first frame, driven by the clip's own sound", ("1",)
    ),
    "edtalk-v": PaperProtocol(
        "EDTalk-V",
        "first",
        about="first frame, driven by the video itself: also same-person reenactment",
        tables=("1", "3"),
    ),
    "mead-a": PaperProtocol(
        "MEAD, EDTalk-A",
        "neutral",
        "sound",
        about="neutral frame of the speaker, the clip's sound, expression of the video itself",
        tables=("4", "5"),
    ),
    "mead-v": PaperProtocol("MEAD, EDTalk-V", "neutral", about="neutral frame of the speaker, driven by the video"),
    "cross-person": PaperProtocol(
        "cross-person reenactment", "other", about="first frame of another person, driven by the video"
    ),
    "ground-truth": PaperProtocol("GT", "none", about="the true frames themselves", tables=("1",)),
}


class PaperRendering:
    """Renders clips as a protocol says, in one take `rendered`.

    Args:
        name: one of PROTOCOLS.
        model: the model; the tracks it lacks stay the portrait's.
        clips: clips of the split, which portraits are chosen from.
        pose: where the head's motion comes from in protocols that are driven by sound.
        tracks: tracks that move; the others stay the portrait's (rows "only lip" and "lip + pose" of Table 4).
        seconds: longest part of a clip, from its start; 0: all of it.
        precision: of rendering.
        seed: of sampled poses.

    Raises ArgumentError for a protocol that the model cannot follow.
    """

    def __init__(
        self,
        name: str,
        model: EDTalk,
        clips: Sequence[Clip],
        *,
        pose: str = "video",
        tracks: Sequence[str] = TRACKS,
        seconds: float = 0.0,
        precision: str = "fp32",
        seed: int = 0,
    ) -> None:
        if name not in PROTOCOLS:
            raise ArgumentError(f"There is no protocol {name!r}; choose from {', '.join(PROTOCOLS)}.")
        if pose not in POSES:
            raise ArgumentError(f"The head follows one of {', '.join(POSES)}, not {pose!r}.")
        self.name, self.protocol = name, PROTOCOLS[name]
        if self.protocol.mouth == "sound" and model.audio_to_lip is None:
            raise ArgumentError(f"{name} needs an audio-to-lip network, which this model does not have.")
        if self.protocol.mouth == "sound" and pose == "flow" and model.pose_flow is None:
            raise ArgumentError("This model has no pose flow to sample head motion from.")
        self.model, self.clips, self.precision = model, clips, precision
        self.pose, self.moving, self.seconds, self.seed = pose, tuple(tracks), seconds, seed
        self.size = model.sizes.resolution
        self.reader = FaceReader()

    def takes(self, clip: Clip) -> Iterator[Take]:
        """The take `rendered`. Raises Unmeasurable when the clip lacks what the protocol needs."""
        protocol = self.protocol
        source = self.portrait_clip(clip)
        if protocol.mouth == "sound" and not (clip.info.speech and clip.mel is not None):
            raise Unmeasurable("no speech")
        length = len(clip) if not self.seconds else min(len(clip), round(self.seconds * self.model.fps))
        # The first frame is not measured where it is the portrait itself.
        frames = range(0 if source is not clip else 1, length)
        if not frames:
            raise Unmeasurable("a single frame")
        try:
            find_face(self.reader, clip, self.size)
        except EDTalkError:
            raise Unmeasurable("no face in the first frame") from None
        sound = None if clip.mel is None else clip
        render = partial(self.render, clip, source)
        yield Take(
            "rendered",
            clip,
            frames,
            render,
            FollowedFace(self.reader, clip, self.size),
            sound,
            source.frame(0, self.size),
        )

    def portrait_clip(self, clip: Clip) -> Clip:
        """The clip whose first frame is the portrait. Raises Unmeasurable when there is none."""
        kind, person = self.protocol.portrait, clip.info.person
        if kind in ("first", "none"):
            return clip
        if kind == "neutral":
            own = [other for other in self.clips if other.info.person == person and other.info.emotion == NEUTRAL]
            if not clip.info.emotion:
                raise Unmeasurable("no emotion label")
            if not own:
                raise Unmeasurable("no neutral clip of the speaker")
            return own[0]
        position = next(i for i, other in enumerate(self.clips) if other.info.name == clip.info.name)
        following = (*self.clips[position + 1 :], *self.clips[:position])
        others = [other for other in following if other.info.person != person]
        if not others:
            raise Unmeasurable("no other person")
        return others[0]

    @torch.no_grad()
    def render(self, clip: Clip, source: Clip, indexes: Sequence[int]) -> Iterator[Picture]:
        """Render frames of a clip with the portrait of `source`: pictures (S,S,3)."""
        if self.protocol.portrait == "none":
            yield from (clip.frame(index, self.size) for index in indexes)
            return
        model = self.model
        portrait = model.encode_portrait(clip_images(source, [0], model))
        renderer = Renderer(model, portrait, precision=self.precision)
        fixed = self.tracks_of_sound(clip, max(indexes) + 1, portrait)
        for start in range(0, len(indexes), BATCH):
            batch = indexes[start : start + BATCH]
            weights = dict(zip(TRACKS, model.read_weights(clip_images(clip, batch, model)), strict=True))
            weights |= {name: values[list(batch)] for name, values in fixed.items()}
            yield from images_to_pictures(renderer.render(*(weights[name] for name in TRACKS)))

    def tracks_of_sound(self, clip: Clip, frames: int, portrait: Portrait) -> dict[str, Tensor]:
        """Weights (frames,D), by track, that do not come from the video."""
        model, protocol = self.model, self.protocol
        tracks: dict[str, Tensor] = {}
        if protocol.mouth == "sound":
            tracks["lip"] = lip_from_clip(model, clip, frames)
            if self.pose == "flow":
                assert model.pose_flow is not None
                spectra = frame_spectra(torch.from_numpy(clip.mel_windows(range(frames))))
                first = portrait.own.track("pose")[0]
                tracks["pose"] = sample_pose(model.pose_flow, spectra, frames, first, self.seed).track("pose")
            elif self.pose == "portrait":
                tracks["pose"] = portrait.own.track("pose").expand(frames, -1)
        still = [name for name in TRACKS if name not in self.moving]
        if protocol.expression == "portrait":
            still.append("expression")
        for name in still:
            if getattr(model.sizes, name):
                tracks[name] = portrait.own.track(name).expand(frames, -1)
        return {name: values.to(model.device, model.dtype) for name, values in tracks.items()}
