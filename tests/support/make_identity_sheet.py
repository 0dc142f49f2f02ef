"""Make docs/identity.jpg anew: whether people stay who they are, 16 portraits in six motions of the demo model.

    python tests/support/make_identity_sheet.py [FOLDER]

FOLDER holds the portraits that the pack does not ship; by default that of the shared test data. Run it after the demo
weights have changed, and look at every row: weights/README.md says what there is to see.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from edtalk_core.builtin_files import builtin_file
from edtalk_core.checkpoints.loading import load_model
from edtalk_core.face.crop import crop_portrait
from edtalk_core.media.picture import picture_to_image, read_picture
from edtalk_core.model import EDTalk, Portrait
from edtalk_core.motion.motion import Motion
from edtalk_core.motion.presets import expression_preset
from edtalk_core.rendering import Renderer

ROOT = Path(__file__).resolve().parents[2]
SHEET = ROOT / "docs/identity.jpg"
CELL, LABEL = 120, 16
SHIPPED = ("portrait.jpg", "generated.jpg")
PORTRAITS = (
    "anitalker_aiface4.png",
    "musetalk_monalisa.png",
    "liveportrait_s10.jpg",
    "liveportrait_s6.jpg",
    "sadtalker_art_18.png",
    "liveportrait_s5.jpg",
    "hallo_1.jpg",
    "sadtalker_art_14.png",
    "sadtalker_art_3.png",
    "anitalker_aiface7.png",
    "joyvasa_joyvasa_004.png",
    "hallo_5.jpg",
    "joyvasa_joyvasa_003.png",
    "liveportrait_s8.jpg",
)
"""Generated, painted, drawn and carved; the first row is a photo."""
MOTIONS = ("mouth open", "turned left", "turned right", "nodded", "happy", "surprised")
OPENED, TURNED, NODDED, STRENGTH = 8.0, 7.0, 6.0, 1.0


def motions(model: EDTalk, portrait: Portrait) -> Motion:
    """A frame for each of MOTIONS, all else the portrait's own."""
    own = model.complete(None, portrait, len(MOTIONS))
    tracks = {name: track.clone() for name, track in own.tracks.items()}
    tracks["lip"][0, 0] += OPENED
    tracks["pose"][1, 4] -= TURNED
    tracks["pose"][2, 4] += TURNED
    tracks["pose"][3, 5] += NODDED
    for frame in (4, 5):
        preset = expression_preset(model.presets, MOTIONS[frame], STRENGTH, portrait.own)
        tracks["expression"][frame] = preset.track("expression")[0]
    return Motion(fps=model.fps, **tracks)


@torch.no_grad()
def main() -> None:
    """Render and write the sheet."""
    shared = Path(os.environ.get("EDTALK_SHARED", ROOT.parent / "shared"))
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else shared / "data/portraits"
    paths = [builtin_file(f"examples/{name}") for name in SHIPPED] + [folder / name for name in PORTRAITS]
    model = load_model("demo")
    step = CELL + LABEL
    sheet = Image.new("RGB", ((1 + len(MOTIONS)) * CELL, LABEL + len(paths) * step), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for column, words in enumerate(("portrait", *MOTIONS)):
        draw.text((column * CELL + 3, 1), words, "black", font)
    for row, path in enumerate(paths):
        crop = crop_portrait(read_picture(path), size=model.sizes.resolution).picture
        portrait = model.encode_portrait(picture_to_image(crop, model.sizes.resolution))
        faces = [crop, *Renderer(model, portrait, precision="fp32").pictures(motions(model, portrait))]
        for column, face in enumerate(faces):
            small = Image.fromarray(np.asarray(face)).resize((CELL, CELL), Image.Resampling.LANCZOS)
            sheet.paste(small, (column * CELL, LABEL + row * step))
        draw.text((3, LABEL + row * step + CELL + 1), path.stem, "black", font)
    sheet.save(SHEET, quality=82, optimize=True)
    sys.stdout.write(f"{SHEET}: {sheet.width}x{sheet.height}, {SHEET.stat().st_size // 1024} KiB\n")


if __name__ == "__main__":
    main()
