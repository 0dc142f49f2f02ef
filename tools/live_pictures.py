"""What the pictures of the live editors' help pages show; importing it adds them to `help_pictures.MAKERS`."""

from __future__ import annotations

import json

from help_pictures import Made, picture_of
from picture_layout import fitted, row
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
