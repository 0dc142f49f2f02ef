"""What can be changed in a portrait's face, and where: sliders of its bases, and points of the face to drag.

Both come from renderings of the portrait with one weight changed: by how much the picture changes, and by how much the
landmarks move. So they are right for models whose bases have no names, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..face.alignment import detect_faces
from ..face.landmarks import LANDMARK_COUNT
from ..face.mesh import PRESENT, FaceMesh, Mesh
from ..model import EDTalk, Portrait
from ..motion.motion import TRACKS, Motion
from ..progress import Progress
from ..rendering import Renderer

RANGES = {"lip": 6.0, "pose": 8.0, "expression": 5.0}
"""How far the slider of a base goes in both directions from the portrait's own weight, by track."""
STEP = 2.5
"""Change of a weight with which its effect is measured: as large as in lively faces, and small enough to be linear."""
UNNAMED = {"lip": 4, "pose": 6, "expression": 10}
"""Bases without a name that get a slider, the strongest of each track."""
LEAST_EFFECT = 0.25
"""A control that moves a point less than this share of what the strongest one does is not changed by dragging it."""

HANDLES: dict[str, tuple[tuple[int, ...], tuple[str, ...]]] = {
    "head": ((30,), ("pose",)),
    "right brow": ((18, 19, 20), ("expression",)),
    "left brow": ((23, 24, 25), ("expression",)),
    "inner brows": ((21, 22), ("expression",)),
    "right lid": ((37, 38), ("expression",)),
    "left lid": ((43, 44), ("expression",)),
    "right corner": ((48,), ("expression",)),
    "left corner": ((54,), ("expression",)),
    "lower lip": ((57, 66), ("lip",)),
}
"""Points to drag: the landmarks whose mean they are, and the tracks that dragging them changes. Right and left are the
portrait's, as in `face.landmarks`."""


@dataclass(frozen=True)
class Control:
    """A base with a slider."""

    track: str
    base: int
    name: str
    """Its name, or its number where it has none."""
    reach: float
    """The largest change in both directions."""
    strength: float
    """Mean change of the picture by a change of STEP, in steps of 8 bits."""


@dataclass(frozen=True, eq=False)
class Handle:
    """A point of the face that can be dragged."""

    name: str
    position: np.ndarray
    """(2,): x, y in the frame at rest, from 0 at its left or upper edge to 1."""
    effects: np.ndarray
    """(controls, 2): how far it moves with a change of 1 of each control."""
    drags: tuple[int, ...]
    """The controls that dragging it changes, by their index."""


@dataclass(frozen=True, eq=False)
class Controls:
    """The controls of a portrait and, where a face is found in it, its handles."""

    controls: tuple[Control, ...]
    handles: tuple[Handle, ...]

    def positions(self, change: Motion) -> np.ndarray:
        """Where the handles are (handles,2) when a motion of one frame is that far from the portrait's own."""
        amounts = np.array(
            [
                float(change.tracks[control.track][0, control.base]) if control.track in change.tracks else 0.0
                for control in self.controls
            ]
        )
        moved = [handle.position + amounts @ handle.effects for handle in self.handles]
        return np.stack(moved) if moved else np.zeros((0, 2))


def measure_controls(
    model: EDTalk,
    portrait: Portrait,
    renderer: Renderer,
    progress: Progress | None = None,
    tracks: Sequence[str] = TRACKS,
) -> Controls:
    """Find the controls and handles of a portrait by rendering each of its bases, or those of some tracks.

    Of the bases of a track, those that have names are controls, in their order; where none has, the strongest ones.
    `renderer`: of this portrait, at the model's size. `progress(done, total)` counts renderings.
    """
    bases = [
        (track, base)
        for track in tracks
        for base in range(getattr(model.sizes, track))
        if not model.bases.names(track) or model.bases.name(track, base)
    ]
    pictures = renderer.pictures(_varied(portrait.own, bases), progress)
    rest = next(pictures)
    mesh = next((face.mesh for face in detect_faces(rest) if face.mesh is not None), None)
    measured, finder = [], FaceMesh() if mesh is not None else None
    for track, base in bases:
        picture = next(pictures)
        strength = float(np.abs(picture.astype(np.int16) - rest).mean())
        name = model.bases.name(track, base) or str(base)
        landmarks = _landmarks(finder, picture, mesh) if finder is not None and mesh is not None else None
        measured.append((Control(track, base, name, RANGES[track], strength), landmarks))
    chosen = [
        (control, landmarks)
        for track in tracks
        for control, landmarks in _strongest(
            [pair for pair in measured if pair[0].track == track], None if model.bases.names(track) else UNNAMED[track]
        )
    ]
    controls = tuple(control for control, _ in chosen)
    if finder is None or mesh is None:
        return Controls(controls, ())
    start = _landmarks(finder, rest, mesh)
    moved = np.stack([start if landmarks is None else landmarks for _, landmarks in chosen])
    return Controls(controls, _handles(controls, start / len(rest), (moved - start) / (STEP * len(rest))))


def _varied(own: Motion, bases: Sequence[tuple[str, int]]) -> Motion:
    """The portrait's own motion, and then once for each base with its weight changed by STEP."""
    tracks = {name: track.repeat(1 + len(bases), 1) for name, track in own.tracks.items()}
    for row, (track, base) in enumerate(bases, start=1):
        tracks[track][row, base] += STEP
    return Motion(fps=own.fps, **tracks)


def _landmarks(finder: FaceMesh, picture: np.ndarray, mesh: Mesh) -> np.ndarray:
    """Landmarks (68,2) of a frame, by the mesh of the frame at rest: those at rest where the face is lost."""
    followed = finder.follow(picture, mesh)
    landmarks: np.ndarray = (followed if followed.presence >= PRESENT else mesh).landmarks
    assert len(landmarks) == LANDMARK_COUNT
    return landmarks + 0.5


Measured = tuple[Control, "np.ndarray | None"]


def _strongest(measured: Sequence[Measured], count: int | None) -> list[Measured]:
    """The strongest controls, strongest first; all as they are where `count` is None."""
    if count is None:
        return list(measured)
    return sorted(measured, key=lambda pair: -pair[0].strength)[:count]


def _handles(controls: Sequence[Control], landmarks: np.ndarray, effects: np.ndarray) -> tuple[Handle, ...]:
    """Handles at landmarks (68,2) that move by effects (controls,68,2), which are no noise where they are strong."""
    handles = []
    for name, (points, tracks) in HANDLES.items():
        moves = effects[:, list(points)].mean(axis=1)
        lengths = np.linalg.norm(moves, axis=1)
        own = np.array([control.track in tracks for control in controls])
        if not own.any() or not lengths[own].max():
            continue
        strong = own & (lengths >= LEAST_EFFECT * lengths[own].max())
        position = landmarks[list(points)].mean(axis=0)
        handles.append(Handle(name, position, moves, tuple(np.flatnonzero(strong).tolist())))
    return tuple(handles)


def change_of(motion: Motion, own: Motion) -> Motion:
    """How far a motion of one frame is from the portrait's own, in the tracks that both have."""
    shared = {name: track - own.tracks[name] for name, track in motion.tracks.items() if name in own.tracks}
    with torch.inference_mode(False):
        return Motion(fps=motion.fps, **shared)
