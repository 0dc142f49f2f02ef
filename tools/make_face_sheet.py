"""Make the sheet of faces in docs: portraits in every emotion, with shut eyes, other mouths and a turned head.

    python tools/make_face_sheet.py PICTURE ... -o docs/emotions.jpg [--model FILE] [--cell 76]

A row is a picture: itself, at rest, the model's presets at strength 1, eyes shut, the first two lip bases up and down,
and the two pose bases that turn and nod the head, up and down. The file ends as the pictures should be looked at.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

import edtalk_core as edtalk
from edtalk_core.motion.operations import offset
from edtalk_core.motion.presets import expression_preset

LIP_CHANGES = ((0, 10.0), (0, 18.0), (1, 9.0), (1, -9.0))
"""Lip base and change of its weight: half and wide open, wide, narrow."""
POSE_CHANGES = ((4, 9.0), (4, -9.0), (5, 7.0), (5, -7.0))
"""Pose base and change of its weight: to either side, down and up."""


def main() -> None:
    """Render the rows and write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", nargs="+", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--model", default="demo", help="weights whose presets have names (default: demo)")
    parser.add_argument("--cell", type=int, default=76, help="side of a face in pixels (default: 76)")
    args = parser.parse_args()
    model = edtalk.load_model(args.model)
    rows = []
    for path in args.pictures:
        portrait, _ = edtalk.portrait_from_picture(model, edtalk.read_picture(path))
        assert portrait.picture is not None
        renderer = edtalk.Renderer(model, portrait, precision="fp32")
        frames = [portrait.picture, *(next(renderer.pictures(motion)) for motion in motions(model, portrait))]
        cells = [cv2.resize(frame, (args.cell, args.cell), interpolation=cv2.INTER_AREA) for frame in frames]
        rows.append(np.concatenate(cells, axis=1))
    # Stays in the history of the repository: smaller than what write_picture makes.
    Image.fromarray(np.concatenate(rows)).save(args.output, quality=76)


def motions(model: edtalk.EDTalk, portrait: edtalk.Portrait) -> Iterator[edtalk.Motion]:
    """One frame for each column after the picture."""
    own = portrait.own
    yield own
    for emotion in model.presets:
        yield expression_preset(model.presets, emotion, 1.0, own)
    if model.bases.lids is not None:
        yield offset(own, "expression", {model.bases.lids.base: model.bases.lids.closed})
    for base, change in LIP_CHANGES:
        yield offset(own, "lip", {base: change})
    for base, change in POSE_CHANGES:
        yield offset(own, "pose", {base: change})


if __name__ == "__main__":
    main()
