"""Commands that are ended by a signal at some time while they work, and verdicts on the files that they leave."""

from __future__ import annotations

import json
import re
import shutil
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import hostile_files as files
from command_runs import Command, CommandRun
from hostile_cases import DRIVER, PORTRAIT, Bench

SIGNALS = {name: getattr(signal, name) for name in ("SIGKILL", "SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)}
COLUMNS = ("tried", "ended by it", "right", "broken", "left", "untyped", "hang")

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.partial|.+\.partial(-\d+)?\.mp4")
"""Names of files that are not complete, as `atomic_write` and `VideoWriter` document them."""


def _read_video(path: Path) -> None:
    import av

    with av.open(str(path)) as container:
        frames = sum(1 for _ in container.decode(video=0))
        assert frames == container.streams.video[0].frames > 0, f"{frames} frames"


def _read_tensors(path: Path) -> None:
    from safetensors.torch import load_file

    assert load_file(path), "no tensors"


def _read_clip(path: Path) -> None:
    from edtalk_core.data.clips import Clip

    clip = Clip(path)
    assert len(clip), "no frames"
    for index in range(len(clip)):
        clip.frame(index)


def _read_picture(path: Path) -> None:
    from PIL import Image

    with Image.open(path) as picture:
        picture.load()


def _read_json(path: Path) -> None:
    assert isinstance(json.loads(path.read_text("utf-8")), dict)


def _read_curves(path: Path) -> None:
    from edtalk_core.training.curves import read_curves

    read_curves(path)


@dataclass(frozen=True)
class Work:
    """A command that takes a while, and the files that it is to write."""

    arguments: Callable[[Bench], list[str | Path]]
    outputs: Mapping[str, Callable[[Path], None]]
    """Pattern of a name below the bench's folder -> reads such a file, and raises if it is broken."""
    others: str = "(?!)"
    """Pattern of names below the folder that may be in any state, such as those of logs."""


def _sound(bench: Bench) -> Path:
    path = bench.folder / "sound.wav"
    return path if path.exists() else files.noise_wav(path, 1)


def _short_video(bench: Bench) -> Path:
    """The first frames of the driver."""
    from edtalk_core.media.video import VideoReader
    from edtalk_core.media.video_writer import VideoWriter

    path, reader = bench.folder / "short.mp4", VideoReader(DRIVER)
    if not path.exists():
        with VideoWriter(path, reader.fps, reader.size) as writer:
            for _, picture in islice(reader, 6):
                writer.write(picture)
    return path


WORKS = {
    "animate": Work(
        lambda b: b.animate(*("-o", "out.mp4", "--save-motion", "motion.json", "--crop", "none"), driver=_sound(b)),
        {r"out\.mp4": _read_video, r"motion\.json": _read_json},
    ),
    "dub": Work(lambda b: ["dub", DRIVER, _sound(b), "-o", "out.mp4", "--model", b.model], {r"out\.mp4": _read_video}),
    "weights": Work(lambda b: b.weights(DRIVER, "--crop", "none"), {r"read\.safetensors": _read_tensors}),
    "prepare": Work(
        lambda b: ["prepare", DRIVER, "-o", "clips"],
        {r"clips/report\.json": _read_json, r"clips/driver.*\.safetensors": _read_clip},
    ),
    "train": Work(
        lambda b: b.train("steps=12", "checkpoint_every=2", "sample_every=4", "losses.perceptual=0"),
        {
            r"run/checkpoint-\d+\.safetensors": _read_tensors,
            r"run/config\.json": _read_json,
            r"run/(sheet-\d+|losses)\.png": _read_picture,
            r"run/losses\.csv": _read_curves,
        },
        others="run/tensorboard/.*",
    ),
    "convert": Work(
        lambda b: ["convert", b.model, "-o", "new.safetensors", "--dtype", "bf16"],
        {r"new\.safetensors": _read_tensors},
    ),
    "sheet": Work(
        lambda b: [
            "sheet",
            "emotions",
            PORTRAIT,
            "--model",
            b.model,
            "--cell",
            "64",
            "--emotion",
            "happy",
            "-o",
            "out.png",
        ],
        {r"out\.png": _read_picture},
    ),
}


def complete_run(place: Path, work: Work, edtalk: Command, good: Path) -> float:
    """Run a command to its end in folders below `place`, which hold its files then. Returns its processor seconds."""
    bench = _bench(place, good)
    run = edtalk.run([str(part) for part in work.arguments(bench)], bench.folder, seconds=300, memory=4096)
    assert run.ending == "ok", run.stderr
    return run.seconds


def ended_run(
    place: Path, work: Work, name: str, after: float, edtalk: Command, good: Path, earlier: Path | None
) -> tuple[str, CommandRun]:
    """Run a command in folders below `place`, send it a signal once it has computed so long, and judge what it leaves.

    Args:
        after: processor seconds from the start to the signal.
        earlier: folder of a complete run, whose files lie there before; None for none.
    """
    bench = _bench(place, good)
    if earlier is not None:
        shutil.copytree(earlier / "work", bench.folder, dirs_exist_ok=True)
    arguments = [str(part) for part in work.arguments(bench)]
    before = _names(bench.folder)
    run = edtalk.run(arguments, bench.folder, seconds=300, patience=300, memory=4096, signals=[(after, SIGNALS[name])])
    return _judge(bench.folder, work, name, run, before), run


def _bench(place: Path, good: Path) -> Bench:
    (place / "work").mkdir()
    shutil.copytree(good / "store", place / "store")
    return Bench(place / "work", good / "model.safetensors", place / "store")


def _names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def _judge(folder: Path, work: Work, name: str, run: CommandRun, before: set[str]) -> str:
    if run.limit:
        return "hang"
    if run.code not in (0, -SIGNALS[name], 130 if name == "SIGINT" else 128 + SIGNALS[name]):
        return "untyped"
    if any(word in run.stderr for word in ("Traceback", "please report it", "Exception ignored")):
        return "untyped"
    left = []
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder).as_posix()
        read = next((read for pattern, read in work.outputs.items() if re.fullmatch(pattern, relative)), None)
        if read is not None:
            try:
                read(path)
            except Exception:
                return f"broken: {relative}"
        elif path.is_file() and relative not in before and not re.fullmatch(work.others, relative):
            # A killed process cannot say what it leaves: its name does. Others have to.
            is_known = _TEMPORARY.fullmatch(path.name) and (name == "SIGKILL" or path.name in run.stderr)
            left += [] if is_known else [relative]
    return f"left: {', '.join(left)}" if left else "right"
