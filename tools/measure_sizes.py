"""Compare frames with the portrait's own detail with enlarged ones, against the true frames of real videos.

    python tools/measure_sizes.py VIDEO ... [--size own] [--frames 24] [--model FILE] [--sheet PNG]

Self-reenactment: the first frame is the portrait, the weights that the model reads from each further frame drive it,
and the true frame is the crop at the size of the rendering. A Markdown table of means over frames:

- PSNR, SSIM: as in `edtalk evaluate`.
- perceptual: its perceptual distance of whole frames (192 px), and of tiles of 192 px at full resolution.
- sharpness: energy of the Laplacian relative to the true frame's.
- flicker: difference of neighbouring frames, the earlier one moved onto the later one by optical flow, where the true
  video stands still (the quietest fifth of its pixels), relative to that of the true frames.

Rows of each video: the model's frames enlarged (bicubic), ours, and the first frame repeated. `--sheet` writes true
frame, enlarged and ours side by side, at 1:1.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

import edtalk_core as edtalk
from edtalk_core.detail import frame_size
from edtalk_core.evaluation.pictures import PerceptualDistance, flicker_ratio, laplacian_energy, psnr, ssim
from edtalk_core.face.video_crop import VideoCrop, find_clip_box
from edtalk_core.media.picture import pictures_to_images

Pictures = list[np.ndarray]

TILE = 192
LEAD = 3
"""Frames rendered before each pair that is measured: larger frames depend a little on those before them."""
COLUMNS = ("PSNR dB", "SSIM", "perceptual", "of tiles", "sharpness", "flicker")
WAYS = ("enlarged", "ours", "repeated")


def main() -> None:
    """Measure each video, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--size", default="own", help="side of the frames (default: own, of the face in the video)")
    parser.add_argument("--frames", type=int, default=24, help="frames to measure, in neighbouring pairs (default: 24)")
    parser.add_argument("--seconds", type=float, default=6.0, help="part of each video that is used (default: 6)")
    parser.add_argument("--model", default="demo")
    parser.add_argument("--sheet", type=Path)
    args = parser.parse_args()
    model = edtalk.load_model(args.model)
    distance = PerceptualDistance()
    sheet: Pictures = []
    means: dict[str, list[list[float]]] = {way: [] for way in WAYS}
    write("| video | px | frames |", *COLUMNS)
    write("| --- | --- | --- |", *(["---"] * len(COLUMNS)))
    for path in args.videos:
        true, coarse, first = read(path, model, args.size, args.seconds, args.frames)
        shown = reenact(model, coarse, first, len(true[0]))
        for way in WAYS:
            figures = measure(shown[way], true, distance)
            means[way].append(figures)
            write(f"| {path.stem} | {len(true[0])} | {way} |", *(f"{figure:.3f}" for figure in figures))
        middle = len(true) // 2
        sheet.append(np.hstack([true[middle], shown["enlarged"][middle], shown["ours"][middle]]))
    for way, figures_of_videos in means.items():
        write(f"| mean | | {way} |", *(f"{figure:.3f}" for figure in np.mean(figures_of_videos, axis=0)))
    if args.sheet:
        width = max(row.shape[1] for row in sheet)
        rows = [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0))) for row in sheet]
        edtalk.write_picture(args.sheet, np.vstack(rows))


def write(start: str, *cells: str) -> None:
    """Print a row of the table."""
    sys.stdout.write(f"{start} {' | '.join(cells)} |\n")
    sys.stdout.flush()


def read(
    path: Path, model: edtalk.EDTalk, size: str, seconds: float, frames: int
) -> tuple[Pictures, Pictures, np.ndarray]:
    """Read a video.

    Returns:
        pairs of true frames at `size`; the same at the model's resolution, with LEAD frames before each pair; the first
        frame of the video at `size`.
    """
    reader = edtalk.VideoReader(path)
    pictures = [picture for _, picture in islice(reader, round(seconds * reader.fps))]
    clip = find_clip_box(pictures[::4], size=model.sizes.resolution)
    left, top, right, bottom = clip.box
    side = frame_size(size, min(right - left, bottom - top) // 2 * 2, model.sizes.resolution)
    fine: VideoCrop = replace(clip, size=side)
    starts = np.linspace(LEAD, len(pictures) - 2, frames // 2).astype(int)
    return (
        [fine.cut(pictures[start + step]) for start in starts for step in (0, 1)],
        [clip.cut(pictures[start + step]) for start in starts for step in range(-LEAD, 2)],
        fine.cut(pictures[0]),
    )


@torch.inference_mode()
def reenact(model: edtalk.EDTalk, drivers: Pictures, first: np.ndarray, size: int) -> dict[str, Pictures]:
    """Pairs of frames of `first`, by the name of the way; `drivers` have LEAD frames before each pair."""
    image = edtalk.picture_to_image(first, model.sizes.resolution)
    portrait = replace(model.encode_portrait(image), picture=first)
    lip, pose, expression = model.read_weights(pictures_to_images(np.stack(drivers)))
    motion = edtalk.Motion(lip=lip, pose=pose, expression=expression)
    plain = edtalk.Renderer(model, portrait, precision="fp32").stream(motion)
    enlarged = [
        picture
        for images in plain
        for picture in edtalk.images_to_pictures(F.interpolate(images.clamp(-1, 1), size=(size, size), mode="bicubic"))
    ]
    ours = list(edtalk.Renderer(model, portrait, precision="fp32", size=size).pictures(motion))
    shown = {"enlarged": enlarged, "ours": ours, "repeated": [first] * len(drivers)}
    return {way: [frame for at, frame in enumerate(frames) if at % (LEAD + 2) >= LEAD] for way, frames in shown.items()}


def measure(shown: Pictures, true: Pictures, distance: PerceptualDistance) -> list[float]:
    """Mean figures of frames, in the order of COLUMNS."""
    rows = [
        (
            psnr(picture, target),
            ssim(picture, target),
            distance(picture, target),
            np.mean([distance(a, b) for a, b in zip(tiles(picture), tiles(target), strict=True)]),
            laplacian_energy(picture) / laplacian_energy(target),
        )
        for picture, target in zip(shown, true, strict=True)
    ]
    pairs = range(0, len(true) - 1, 2)
    flicker = [flicker_ratio((shown[at], shown[at + 1]), (true[at], true[at + 1])) for at in pairs]
    return [*np.mean(rows, axis=0).tolist(), float(np.mean(flicker))]


def tiles(picture: np.ndarray) -> Pictures:
    """Squares of TILE px that cover a picture."""
    starts = np.linspace(0, len(picture) - TILE, -(-len(picture) // TILE)).astype(int)
    return [np.ascontiguousarray(picture[y : y + TILE, x : x + TILE]) for y in starts for x in starts]


if __name__ == "__main__":
    main()
