"""How held-out clips are rendered to be measured: streams of true and rendered frames.

A protocol goes through clips and renders each in one or several takes. A take can render any frame of its clip; those
that a metric looks at are rendered once, in order, for all metrics together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Protocol as Interface

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.clips import Clip
from ..errors import ArgumentError, FaceError
from ..face.mesh import Mesh
from ..media.picture import images_to_pictures, pictures_to_images
from ..model import EDTalk
from ..motion.motion import Motion
from ..motion.operations import smooth
from ..rendering import Renderer
from .faces import FaceReader, Landmarks, Picture, relative_mouth_opening

BATCH = 8

SPEECH_EVERY = 2
"""Frames of speech are looked at in steps of so many: 12.5 a second, faster than mouths open and close."""
SPEECH_SECONDS = 8.0
"""Of a clip whose mouth is driven by sound, from its start."""
MOVING = 1e-3
"""Deviation of the relative mouth opening above which a mouth counts as moving."""


class TrackedFace(Interface):
    """Where the face is in the true frames of a take."""

    def mesh(self, index: int) -> Mesh:
        """The mesh near which the face is looked for in a rendering of frame `index`."""

    def landmarks(self, index: int) -> Landmarks:
        """True landmarks (68,2) of frame `index`, in shares of the picture's side."""


@dataclass(frozen=True)
class Take:
    """One way of rendering a clip."""

    name: str
    clip: Clip
    frames: range
    """The frames that can be looked at."""
    render: Callable[[Sequence[int]], Iterator[Picture]]
    """Pictures (S,S,3) of these frames, which must rise."""
    face: TrackedFace
    sound: Clip | None
    """The clip whose sound belongs to what is rendered; None when there is none."""


class Protocol(Interface):
    """Renders clips in the takes that metrics are measured on."""

    name: str
    clips: Sequence[Clip]
    """The clips that can be rendered so."""
    size: int
    """Side of the pictures."""
    reader: FaceReader

    def takes(self, clip: Clip) -> Iterator[Take]:
        """The takes of one of the clips; none where there is nothing to measure."""


class Reenactment:
    """Self-reenactment: a clip's first frame, driven by the weights that the model reads off each of its frames.

    Takes: `rendered`, and `repeat`, the first frame as it is, which a model must beat. The first frame is left out.
    """

    name = "reenactment"

    def __init__(self, model: EDTalk, clips: Sequence[Clip], precision: str = "fp32") -> None:
        self.model, self.clips, self.precision = model, clips, precision
        self.size = model.sizes.resolution
        self.reader = FaceReader()

    def takes(self, clip: Clip) -> Iterator[Take]:
        """Rendered, and repeated."""
        frames, face = range(1, len(clip)), FollowedFace(self.reader, clip, self.size)
        sound = None if clip.mel is None else clip

        def rendered(indexes: Sequence[int]) -> Iterator[Picture]:
            return reenact(self.model, clip, indexes, self.precision)

        def repeated(indexes: Sequence[int]) -> Iterator[Picture]:
            return repeat(clip.frame(0, self.size), len(indexes))

        yield Take("rendered", clip, frames, rendered, face, sound)
        yield Take("repeat", clip, frames, repeated, face, sound)


class Speech:
    """A clip's first frame whose mouth sound alone drives; pose and expression are kept.

    Lip weights come from `audio_to_lip` and the published smoothing. Takes: `own`, driven by the clip's own sound, and
    `other`, by the sound of the next clip, in the order given, of another person, where there is one. The first
    SPEECH_SECONDS are rendered. Clips without speech are left out, and those whose true mouth hardly moves.

    Raises ArgumentError when the model has no audio-to-lip network.
    """

    name = "mouth"

    def __init__(self, model: EDTalk, clips: Sequence[Clip], precision: str = "fp32") -> None:
        if model.audio_to_lip is None:
            raise ArgumentError("This model has no audio-to-lip network, so its mouth cannot be driven by sound.")
        self.model, self.precision = model, precision
        self.clips: Sequence[Clip] = [clip for clip in clips if clip.info.speech and clip.mel is not None]
        self.size = model.sizes.resolution
        self.reader = FaceReader()

    def takes(self, clip: Clip) -> Iterator[Take]:
        """Driven by the clip's own sound, and by another's."""
        length = min(len(clip), round(SPEECH_SECONDS * self.model.fps))
        face = StillFace(self.reader, clip, self.size)
        if relative_mouth_opening(face.all_landmarks[:length:SPEECH_EVERY]).std() < MOVING:
            return
        portrait = self.model.encode_portrait(clip_images(clip, [0], self.model))
        renderer = Renderer(self.model, portrait, precision=self.precision)
        for name, speaker in (("own", clip), ("other", self.other_speaker(clip))):
            if speaker is not None:
                frames = min(length, len(speaker))
                lip = lip_from_clip(self.model, speaker, frames)

                def render(indexes: Sequence[int], lip: Tensor = lip) -> Iterator[Picture]:
                    return iter(renderer.pictures(Motion(lip=lip[list(indexes)])))

                yield Take(name, clip, range(frames), render, face, speaker)

    def other_speaker(self, clip: Clip) -> Clip | None:
        """The next clip of another person, round the end: the same pairs every time."""
        place = list(self.clips).index(clip)
        following = (*self.clips[place + 1 :], *self.clips[:place])
        return next((other for other in following if other.info.person != clip.info.person), None)


class FollowedFace:
    """The face of a clip that is followed through the true frames from the first one on."""

    def __init__(self, reader: FaceReader, clip: Clip, size: int) -> None:
        self._reader, self._clip, self._size = reader, clip, size
        self._meshes: dict[int, Mesh] = {}
        self._landmarks: dict[int, Landmarks] = {}

    def mesh(self, index: int) -> Mesh:
        """The mesh of frame `index`, followed from the last frame that was asked for; indexes must rise at first."""
        if not self._meshes:
            self._meshes[0] = find_face(self._reader, self._clip, self._size)
        if index not in self._meshes:
            last = next(reversed(self._meshes.values()))
            self._meshes[index] = self._reader.follow(self._clip.frame(index, self._size), last)
        return self._meshes[index]

    def landmarks(self, index: int) -> Landmarks:
        """Landmarks that are found in the frame, as they are in renderings of it."""
        if index not in self._landmarks:
            picture = self._clip.frame(index, self._size)
            self._landmarks[index] = self._reader.landmarks(picture, self.mesh(index))
        return self._landmarks[index]


class StillFace:
    """The face of a clip that is rendered where the first frame has it: true landmarks are those stored in the clip."""

    def __init__(self, reader: FaceReader, clip: Clip, size: int) -> None:
        self._reader, self._clip, self._size = reader, clip, size
        self._mesh: Mesh | None = None
        self.all_landmarks: Landmarks = (clip.points + 1) / 2

    def mesh(self, index: int) -> Mesh:
        """The mesh of the first frame."""
        if self._mesh is None:
            self._mesh = find_face(self._reader, self._clip, self._size)
        return self._mesh

    def landmarks(self, index: int) -> Landmarks:
        """The stored landmarks."""
        return self.all_landmarks[index]


def find_face(reader: FaceReader, clip: Clip, size: int) -> Mesh:
    """The mesh of the face in a clip's first frame. Raises FaceError, naming the clip, when there is none."""
    try:
        return reader.find(clip.frame(0, size))
    except FaceError as error:
        raise FaceError(f"The clip {clip.info.name} cannot be measured: {error}") from error


@torch.no_grad()
def reenact(model: EDTalk, clip: Clip, frames: Sequence[int], precision: str = "fp32") -> Iterator[Picture]:
    """Rendered pictures (S,S,3) of some of a clip's frames; the portrait is the clip's first frame."""
    renderer = Renderer(model, model.encode_portrait(clip_images(clip, [0], model)), precision=precision)
    for start in range(0, len(frames), BATCH):
        images = clip_images(clip, frames[start : start + BATCH], model)
        yield from images_to_pictures(renderer.render(*model.read_weights(images)))


@torch.no_grad()
def lip_from_clip(model: EDTalk, clip: Clip, frames: int) -> Tensor:
    """Lip weights (frames,lip) that the model's audio-to-lip network predicts from a clip's sound, smoothed."""
    assert model.audio_to_lip is not None
    windows = torch.from_numpy(clip.mel_windows(np.arange(frames))).to(model.device, model.dtype)
    return smooth(model.audio_to_lip(windows))


def clip_images(clip: Clip, frames: Sequence[int], model: EDTalk) -> Tensor:
    """Frames of a clip as the model's images (N,3,S,S) in [-1,1], on its device."""
    pictures: NDArray[np.uint8] = np.stack([clip.frame(index, model.sizes.resolution) for index in frames])
    return pictures_to_images(pictures).to(model.device, model.dtype)
