"""What the pictures of the live editors' help pages show; importing it adds them to `help_pictures.MAKERS`."""

from __future__ import annotations

import json

from help_pictures import Made, picture_of
from picture_layout import fitted, row, titled
from picture_scenes import Scene, Studio

EDITS = (
    {"expression": {"corner": 2.6, "outer brows": 0.8}},
    {"expression": {"inner brows": 3.0, "outer brows": 2.5, "lids": -2.0}},
    {"expression": {"lids": 4.2, "smile": 1.5}},
    {"pose": {"yaw": 8.0, "roll": 4.0}, "expression": {"smile": 1.0}},
)
"""Edits of a face that the picture of the Face Editor shows."""


@picture_of("EDTalkFaceEditor")
def face_editor(studio: Studio) -> Made:
    """Four edits of one face."""
    scene = Scene(studio.graph())
    portrait = scene.portrait()[0]
    links = []
    for changes in EDITS:
        text = json.dumps({"format": "edtalk-edit", "format_version": 1, **changes})
        edited = scene.graph.add("EDTalkFaceEditor", portrait=portrait, edit=text)[0]
        links.append(scene.frames(portrait, lip=edited, pose=edited, expression=edited))
    return row([fitted(shown[0], 155) for shown in studio.look(scene.graph, *links)])


PERFORMANCE = {
    "emotions": "0 own\n0.6 own\n1 happy\n2.2 happy\n2.8 surprised",
    "head": [{"time": 1}, {"time": 1.4, "pitch": 8}, {"time": 1.8}],
    "blinks": [2.0],
}
"""What the picture of the Motion Timeline shows, at its times."""
TIMES = (0.0, 1.0, 1.4, 2.0, 2.8)


@picture_of("EDTalkMotionTimeline")
def motion_timeline(studio: Studio) -> Made:
    """Frames of a performance."""
    scene = Scene(studio.graph())
    portrait = scene.portrait()[0]
    text = json.dumps({"format": "edtalk-performance", "format_version": 1, **PERFORMANCE})
    performed = scene.graph.add("EDTalkMotionTimeline", portrait=portrait, performance=text)[0]
    frames = scene.frames(portrait, fps=25.0, lip=performed, pose=performed, expression=performed)
    (shown,) = studio.look(scene.graph, frames)
    return row([titled(fitted(shown[round(25 * time)], 122), f"{time:g} s") for time in TIMES])
