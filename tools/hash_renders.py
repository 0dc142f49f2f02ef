"""Print a hash of everything that the demo model renders for a set of cases, to show that a change altered no pixel.

    git stash && python tools/hash_renders.py > before.txt && git stash pop
    python tools/hash_renders.py > after.txt && diff before.txt after.txt

One line a case and precision: frames, and the SHA-256 of the decoded pictures, of the sound, and of the motion that
was rendered. Only the public names of `edtalk_core` are used, so that the same file runs on older trees as well: give
the Python of the tree to measure. Hashes differ between machines, and between numbers of threads (OMP_NUM_THREADS=1).
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

import edtalk_core as edtalk

EXAMPLES = Path(__file__).resolve().parents[1] / "weights" / "examples"
PORTRAIT, SPEECH, DRIVER = (EXAMPLES / name for name in ("portrait.jpg", "speech.flac", "driver.mp4"))

TIMELINE = "0 own; 0.4 happy:0.8 ease-in-out; 0.8 sad:1.2 hold; 1 own"

Result = Iterator[tuple[str, int, str]]
"""Name of a case, frames, and what its hashes are, in words."""


def main() -> None:
    """Render the cases in each precision and print the hashes as they come."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--precision", nargs="+", default=["fp32", "bf16"], help="(default: fp32 bf16)")
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES), help="cases to render (default: all)")
    args = parser.parse_args()
    model = edtalk.load_model("demo")
    with tempfile.TemporaryDirectory() as folder:
        for precision in args.precision:
            for case in args.only:
                for name, frames, hashes in CASES[case](model, Path(folder), precision):
                    sys.stdout.write(f"{precision} {name}: {frames} frames, {hashes}\n")
                    sys.stdout.flush()


def speech(seconds: float) -> edtalk.Audio:
    """The start of the example's sound."""
    sound = edtalk.read_audio(SPEECH)
    return edtalk.Audio(sound.samples[:, : round(seconds * sound.sample_rate)], sound.sample_rate)


def animations(model: edtalk.EDTalk, folder: Path, precision: str) -> Result:
    """`animate` with each kind of source for each track, and with tracks that are too short."""
    saved = folder / "sound.safetensors"
    cases: dict[str, tuple[object, dict[str, object]]] = {
        "sound and flow": (speech(1.23), {"seed": 3, "temperature": 0.9, "save_motion_to": saved}),
        "sound and silence": (speech(0.6), {"silence_before": 0.21, "silence_after": 0.3, "pose": "still", "fps": 30}),
        "emotion": (speech(0.5), {"expression": "happy:0.8", "pose": "own", "lip": "own"}),
        "timeline": (speech(1.23), {"expression": TIMELINE, "pose": "still", "fps": 29.97}),
        "motion file": (None, {"motion": saved, "fps": 24.0}),
        "short head of a motion": (
            speech(1.23),
            {"motion": folder / "pose.json", "expression": "sad", "silence_before": 0.1},
        ),
        "video": (folder / "driver.mp4", {}),
        "video, lips from its sound": (folder / "driver.mp4", {"lip": "audio", "expression": "own", "fps": 30.0}),
        "pose video": (speech(1.5), {"pose_video": folder / "silent.mp4", "silence_after": 0.1}),
        "silent video": (folder / "silent.mp4", {"expression": "angry:1.5"}),
        "template crop": (speech(0.3), {"crop": "template", "pose": "flow"}),
    }
    write_drivers(folder)
    for name, (driver, options) in cases.items():
        output = folder / "animation.mp4"
        made = edtalk.animate(model, PORTRAIT, driver, output, precision=precision, **options)  # type: ignore[arg-type]
        if name == "sound and flow":
            pose = made.motion.select("pose").map(lambda track: track[:7])
            edtalk.save_motion(pose, folder / "pose.json")
        yield f"animate, {name}", made.frames, f"{of_video(output)} motion {of_motion(made.motion)}"


def dubs(model: edtalk.EDTalk, folder: Path, precision: str) -> Result:
    """`dub` at both lengths, with a sound that is shorter and one that is longer than the video, and with a motion."""
    write_drivers(folder)
    lips = edtalk.motion_from_audio(model, speech(0.4))
    cases: dict[str, tuple[edtalk.Audio, dict[str, object]]] = {
        "as long as the video": (speech(0.5), {}),
        "as long as the sound": (speech(1.3), {"length": "audio"}),
        "with the lips of a motion": (speech(0.5), {"motion": lips, "feather": 0.2, "match_colours": False}),
    }
    for name, (sound, options) in cases.items():
        output = folder / "dub.mp4"
        made = edtalk.dub(model, folder / "driver.mp4", sound, output, precision=precision, **options)  # type: ignore[arg-type]
        yield f"dub, {name}", made.frames, f"{of_video(output)} lips {of_motion(made.lips)}"


def sheets(model: edtalk.EDTalk, folder: Path, precision: str) -> Result:
    """Both contact sheets, and frames that were not rounded to pictures."""
    portrait = encode(model)
    emotions = edtalk.emotion_sheet(model, portrait, strengths=(0.5, 1.5), cell=64, precision=precision)
    yield "emotion sheet", 1, f"picture {digest(emotions)}"
    bases = edtalk.base_sheet(model, portrait, track="pose", cell=64, precision=precision)
    yield "base sheet", 1, f"picture {digest(bases)}"
    motion = edtalk.motion_from_timeline(model, TIMELINE, portrait.own, duration=0.6)
    images = edtalk.Renderer(model, portrait, precision=precision).render(expression=motion.expression)
    yield "renderer", len(images), f"frames {digest(images.cpu().numpy())}"


def motions(model: edtalk.EDTalk, folder: Path, precision: str) -> Result:
    """Every function that makes motion, by itself."""
    portrait = encode(model)
    write_drivers(folder)
    made = {
        "sound": edtalk.motion_from_audio(model, speech(1.0), silence_before=0.1, silence_after=0.1),
        "video": edtalk.motion_from_video(model, folder / "silent.mp4")[0],
        "flow": edtalk.motion_from_flow(model, speech(1.0), portrait.own, seed=5, temperature=0.7, amount=1.2),
        "flow without sound": edtalk.motion_from_flow(model, None, portrait.own, duration=1.0, seed=5),
        "preset": edtalk.motion_from_preset(model, "happy", 0.7, portrait.own),
        "timeline": edtalk.motion_from_timeline(model, TIMELINE, portrait.own),
        "idle": edtalk.idle_motion(portrait.own, 1.0, seed=5),
    }
    for name, motion in made.items():
        yield f"motion, {name}", motion.frames, f"motion {of_motion(motion)}"


def write_drivers(folder: Path) -> None:
    """Write the first second of the example driver, with sound and without."""
    if (folder / "driver.mp4").exists():
        return
    reader = edtalk.VideoReader(DRIVER)
    for name, sound in (("driver.mp4", speech(1.0)), ("silent.mp4", None)):
        with edtalk.VideoWriter(folder / name, reader.fps, reader.size, sound) as writer:
            for seconds, picture in reader:
                if seconds < 1.0:
                    writer.write(picture)


def encode(model: edtalk.EDTalk) -> edtalk.Portrait:
    """The example portrait, cropped and encoded."""
    import torch

    crop = edtalk.crop_portrait(edtalk.read_picture(PORTRAIT), size=model.sizes.resolution)
    with torch.inference_mode():
        return model.encode_portrait(edtalk.picture_to_image(crop.picture, model.sizes.resolution))


def of_video(path: Path) -> str:
    """Hashes of the decoded pictures and of the sound of a video file."""
    reader = edtalk.VideoReader(path)
    pictures = digest(*(picture for _, picture in reader))
    sound = digest(edtalk.read_audio(path).samples) if reader.has_audio else "none"
    return f"pictures {pictures} sound {sound}"


def of_motion(motion: edtalk.Motion) -> str:
    """Hash of a motion's tracks, their names and the frame rate."""
    names = np.frombuffer(f"{' '.join(motion.tracks)} {motion.fps!r}".encode(), np.uint8)
    return digest(names, *(track.numpy() for track in motion.tracks.values()))


def digest(*arrays: np.ndarray) -> str:
    """The first 16 digits of the SHA-256 of arrays' bytes."""
    total = hashlib.sha256()
    for array in arrays:
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()[:16]


CASES: dict[str, Callable[[edtalk.EDTalk, Path, str], Result]] = {
    "animations": animations,
    "dubs": dubs,
    "sheets": sheets,
    "motions": motions,
}

if __name__ == "__main__":
    main()
