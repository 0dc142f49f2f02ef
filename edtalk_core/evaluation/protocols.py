"""Evaluation protocols: ways of rendering held-out clips, so that true and rendered frames can be compared.

A protocol renders each clip in one or several takes. A take can render any frame of its clip; the frames that metrics
observe are rendered once, in order, for all metrics together.
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
"""Interval of observed frames of speech: 12.5 per second, faster than mouths open and close."""
SPEECH_SECONDS = 8.0
"""Duration that is rendered of a clip whose mouth is driven by sound, from its start."""
MIN_MOUTH_MOTION = 1e-3
"""Smallest standard deviation of the relative mouth opening of a moving mouth."""


class TrackedFace(Interface):
    """Positions of the face in the true frames of a take."""

    def mesh(self, index: int) -> Mesh:
        """Mesh from which the fit to a rendering of frame `index` starts."""

    def landmarks(self, index: int) -> Landmarks:
        """True landmarks (68,2) of frame `index`, relative to the picture's side."""


@dataclass(frozen=True)
class Take:
    """One way of rendering a clip."""

    name: str
    clip: Clip
    frames: range
    """Frames that can be rendered."""
    render: Callable[[Sequence[int]], Iterator[Picture]]
    """Renders pictures (S,S,3) of frames, whose indexes must increase."""
    face: TrackedFace
    sound: Clip | None
    """Clip whose sound belongs to the rendered frames; None if there is none."""
    portrait: Picture | None = None
    """The picture (S,S,3) that is animated, for metrics that compare with it."""


class Protocol(Interface):
    """Renders clips in the takes that metrics are measured on."""

    name: str
    clips: Sequence[Clip]
    """Clips that the protocol applies to."""
    size: int
    """Side of the pictures in pixels."""
    reader: FaceReader

    def takes(self, clip: Clip) -> Iterator[Take]:
        """Takes of one of the clips; none if there is nothing to measure."""


class Reenactment:
    """Self-reenactment: a clip's first frame, driven by the weights that the model reads from each of its frames.

    Takes: `rendered`, and the baseline `repeat`, the unchanged first frame. The first frame is not measured.
    """

    name = "reenactment"

    def __init__(self, model: EDTalk, clips: Sequence[Clip], precision: str = "fp32") -> None:
        self.model, self.clips, self.precision = model, clips, precision
        self.size = model.sizes.resolution
        self.reader = FaceReader()

    def takes(self, clip: Clip) -> Iterator[Take]:
        """The takes `rendered` and `repeat`."""
        frames, face = range(1, len(clip)), FollowedFace(self.reader, clip, self.size)
        sound = None if clip.mel is None else clip

        def rendered(indexes: Sequence[int]) -> Iterator[Picture]:
            return reenact(self.model, clip, indexes, self.precision)

        def repeated(indexes: Sequence[int]) -> Iterator[Picture]:
            return repeat(clip.frame(0, self.size), len(indexes))

        yield Take("rendered", clip, frames, rendered, face, sound)
        yield Take("repeat", clip, frames, repeated, face, sound)


class Speech:
    """A clip's first frame with a mouth driven by sound alone; pose and expression stay constant.

    Lip weights come from `audio_to_lip` and the published smoothing. Takes: `own`, driven by the clip's own sound, and
    `other`, by the sound of the next clip of another person, if there is one. The first SPEECH_SECONDS are rendered.
    Clips without speech, or whose true mouth hardly moves, are skipped.

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
        """The takes `own` and `other`."""
        length = min(len(clip), round(SPEECH_SECONDS * self.model.fps))
        face = StillFace(self.reader, clip, self.size)
        if relative_mouth_opening(face.all_landmarks[:length:SPEECH_EVERY]).std() < MIN_MOUTH_MOTION:
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
        """Next clip of another person, continuing at the first after the last, so that pairs are reproducible."""
        position = list(self.clips).index(clip)
        following = (*self.clips[position + 1 :], *self.clips[:position])
        return next((other for other in following if other.info.person != clip.info.person), None)


class FollowedFace:
    """The face of a clip, followed through its true frames from the first one."""

    def __init__(self, reader: FaceReader, clip: Clip, size: int) -> None:
        self._reader, self._clip, self._size = reader, clip, size
        self._meshes: dict[int, Mesh] = {}
        self._landmarks: dict[int, Landmarks] = {}

    def mesh(self, index: int) -> Mesh:
        """Mesh of frame `index`, followed from the last new frame requested; new indexes must increase."""
        if not self._meshes:
            self._meshes[0] = find_face(self._reader, self._clip, self._size)
        if index not in self._meshes:
            last = next(reversed(self._meshes.values()))
            self._meshes[index] = self._reader.follow(self._clip.frame(index, self._size), last)
        return self._meshes[index]

    def landmarks(self, index: int) -> Landmarks:
        """Landmarks of the true frame, by the same method as those of renderings."""
        if index not in self._landmarks:
            picture = self._clip.frame(index, self._size)
            self._landmarks[index] = self._reader.landmarks(picture, self.mesh(index))
        return self._landmarks[index]


class StillFace:
    """The face of a clip rendered at its position in the first frame; true landmarks are those stored in the clip."""

    def __init__(self, reader: FaceReader, clip: Clip, size: int) -> None:
        self._reader, self._clip, self._size = reader, clip, size
        self._mesh: Mesh | None = None
        self.all_landmarks: Landmarks = (clip.points + 1) / 2

    def mesh(self, index: int) -> Mesh:
        """Mesh of the first frame."""
        if self._mesh is None:
            self._mesh = find_face(self._reader, self._clip, self._size)
        return self._mesh

    def landmarks(self, index: int) -> Landmarks:
        """Landmarks stored in the clip."""
        return self.all_landmarks[index]


def find_face(reader: FaceReader, clip: Clip, size: int) -> Mesh:
    """Find the mesh of the face in a clip's first frame. Raises FaceError, naming the clip, when there is none."""
    try:
        return reader.find(clip.frame(0, size))
    except FaceError as error:
        raise FaceError(f"The clip {clip.info.name} cannot be measured: {error}") from error


@torch.no_grad()
def reenact(model: EDTalk, clip: Clip, frames: Sequence[int], precision: str = "fp32") -> Iterator[Picture]:
    """Render frames of a clip, with its first frame as portrait: pictures (S,S,3)."""
    renderer = Renderer(model, model.encode_portrait(clip_images(clip, [0], model)), precision=precision)
    for start in range(0, len(frames), BATCH):
        images = clip_images(clip, frames[start : start + BATCH], model)
        yield from images_to_pictures(renderer.render(*model.read_weights(images)))


@torch.no_grad()
def lip_from_clip(model: EDTalk, clip: Clip, frames: int) -> Tensor:
    """Predict lip weights (frames,lip) from a clip's sound by the audio-to-lip network, smoothed."""
    assert model.audio_to_lip is not None
    windows = torch.from_numpy(clip.mel_windows(np.arange(frames))).to(model.device, model.dtype)
    return smooth(model.audio_to_lip(windows))


def clip_images(clip: Clip, frames: Sequence[int], model: EDTalk) -> Tensor:
    """Frames of a clip as the model's images (N,3,S,S) in [-1,1], on its device."""
    pictures: NDArray[np.uint8] = np.stack([clip.frame(index, model.sizes.resolution) for index in frames])
    return pictures_to_images(pictures).to(model.device, model.dtype)
