"""Runs of the command on hostile, broken and huge inputs, by group, with the endings that are right for each."""

from __future__ import annotations

# A case a line: nobody reads them as prose.
# fmt: off
import hashlib
import itertools
import json
import os
import shutil
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import drawn_faces
import hostile_files as files
import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "weights" / "examples"
PORTRAIT, SPEECH, DRIVER = EXAMPLES / "portrait.jpg", EXAMPLES / "speech.flac", EXAMPLES / "driver.mp4"
ROOT_USER = hasattr(os, "geteuid") and os.geteuid() == 0


@dataclass(frozen=True)
class Bench:
    """What a case works with: an empty folder, and good files that must stay as they are."""

    folder: Path
    model: Path
    """A small model with an audio-to-lip network and a pose flow."""
    store: Path
    """Clips of drawn faces; a copy of its own for each case."""

    def animate(self, *options: str | Path, driver: str | Path | None = SPEECH) -> list[str | Path]:
        """Arguments of `animate`."""
        return ["animate", PORTRAIT, *([driver] if driver else []), "--model", self.model, *options]

    def weights(self, source: str | Path, *options: str | Path) -> list[str | Path]:
        """Arguments of `weights`."""
        return ["weights", source, "-o", "read.safetensors", "--model", self.model, *options]

    def train(self, *settings: str, stage: str = "autoencoder") -> list[str | Path]:
        """Arguments of `train` on a tiny model, with settings over its own."""
        tiny = {
            "resolution": 16, "channels": "{4: 16, 8: 16, 16: 16}", "style": 40, "expression_hidden": 8, "batch": 2,
            "precision": "no", "steps": 1, "augmentation": 0,
        }
        if stage == "pose-flow":
            del tiny["augmentation"]
        values = [text for name, value in tiny.items() for text in ("--set", f"{name}={value}")]
        changes = [text for setting in settings for text in ("--set", setting)]
        return ["train", stage, "--data", self.store, "--out", self.folder / "run", *values, *changes]


@dataclass(frozen=True)
class Case:
    """One run of the command."""

    group: str
    name: str
    arguments: Callable[[Bench], list[str | Path]]
    endings: tuple[str, ...] = ("typed",)
    environment: Mapping[str, str | None] = field(default_factory=dict)
    stdout: str = ""
    seconds: float = 10.0
    """Longest time to the sentence."""
    memory: float = 1024.0
    """Largest memory over the idle command, MiB."""
    large: bool = False
    """Takes long or much memory where the limits do not work; only for the table."""


def digest(folder: Path) -> dict[str, str]:
    """SHA-256 of all files below a folder, by path."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink() and path.stat().st_size < 64 << 20
    }


def write_store(folder: Path) -> Path:
    """A store of drawn faces."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, emotion in (("anna", "happy"), ("bert", "neutral")):
        drawn_faces.write_face_clip(folder, name, emotion=emotion)
    return folder


def write_model(path: Path) -> Path:
    """A bundle of a small, untrained model with all parts."""
    from edtalk_core.checkpoints.bundle import write_bundle
    from edtalk_core.model import EDTalk
    from edtalk_core.motion.presets import EMOTIONS
    from edtalk_core.networks.audio_to_lip import AudioToLip
    from edtalk_core.networks.pose_flow import PoseFlow
    from edtalk_core.networks.sizes import ModelSizes

    torch.manual_seed(0)
    sizes = ModelSizes(resolution=32, style=40, channels={4: 8, 8: 8, 16: 8, 32: 8}, expression_hidden=8)
    model = EDTalk(sizes).eval()
    model.audio_to_lip = AudioToLip(widths=(4,) * 13).eval()
    model.pose_flow = PoseFlow(6, steps=2, width=16, span=5).eval()
    model.presets = {emotion: tuple(torch.randn(10).tolist()) for emotion in EMOTIONS}
    return write_bundle(path, model)


def _fifo(path: Path) -> Path:
    os.mkfifo(path)
    return path


def _folder(path: Path, mode: int) -> Path:
    path.mkdir()
    path.chmod(mode)
    return path


def _text(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content)
    return path


def _clip(bench: Bench, **changes: object) -> Bench:
    """Damage the clip of anna in the store."""
    source = bench.store / "anna.safetensors"
    copy = files.edited_safetensors(source, bench.folder / "clip.safetensors", **changes)  # type: ignore[arg-type]
    shutil.move(copy, source)
    return bench


def _bundle(bench: Bench, **metadata: str | None) -> Path:
    return files.edited_safetensors(bench.model, bench.folder / "edited.safetensors", metadata=metadata)


def _preset(path: Path, **content: object) -> Path:
    return files.write_json(path, {"name": "smile", "weights": [0.0] * 10, **content})


def _giant_frame(tensors: dict[str, torch.Tensor]) -> None:
    data = torch.from_numpy(files.giant_jpeg(30_000))
    frames = len(tensors["offsets"]) - 1
    tensors["frames"] = data.repeat(frames)
    tensors["offsets"] = torch.arange(frames + 1) * len(data)


def claims() -> list[Case]:
    """Small files that claim to be large, and inputs that never end."""
    group = "claims"

    def case(name: str, arguments: Callable[[Bench], list[str | Path]], **options: object) -> Case:
        return Case(group, name, arguments, **options)  # type: ignore[arg-type]

    motion_json = '{"format": "edtalk-motion", "format_version": 1, "fps": 25, "lip": [[0]]}'
    return [
        case("zip bomb .pt, 4 GiB", lambda b: ["info", files.zip_bomb_checkpoint(b.folder / "bomb.pt", 4096)], large=True),
        case("zip bomb .pt", lambda b: ["info", files.zip_bomb_checkpoint(b.folder / "bomb.pt")]),
        case("zip bomb pickle", lambda b: ["info", files.pickle_bomb_checkpoint(b.folder / "bomb.pt")]),
        case("zip bomb pickle, 2 GiB", lambda b: ["info", files.pickle_bomb_checkpoint(b.folder / "b.pt", 2048)], large=True),
        *(
            case(f"{width} channels by strides, {verb}", lambda b, width=width, verb=verb: _with_model(b, verb, width))
            for width in (4096, 16384)
            for verb in ("info", "animate", "convert")
        ),
        case("sparse model of 4096 channels", lambda b: [
            "animate", PORTRAIT, SPEECH, "--model", files.sparse_model(b.folder / "wide.safetensors", 4096)]),
        *(
            case(f"sparse motion of 11 million frames, {verb}", lambda b, verb=verb: _with_motion(b, verb))
            for verb in ("info", "animate", "weights")
        ),
        case("motion at 0.001 fps", lambda b: b.animate(
            "--motion", files.sparse_motion(b.folder / "slow.safetensors", 5000, 0.001), "--fps", "25", driver=None)),
        case("30,000 x 30,000 JPEG in a store, train", lambda b: _clip(b, tensors=_giant_frame).train()),
        case("30,000 x 30,000 JPEG in a store, convert", lambda b: [
            "convert", b.model, "-o", "new.safetensors", "--presets", _clip(b, tensors=_giant_frame).store]),
        case("PNG that claims 60,000 x 60,000", lambda b: [
            "info", files.png_of_claimed_size(b.folder / "large.png", 60_000, 60_000)]),
        case("--set batch=1e30", lambda b: b.train("batch=1e30")),
        case("--set batch=1e9", lambda b: b.train("batch=1e9")),
        case("--set resolution=65536", lambda b: b.train("resolution=65536")),
        case("--set style=1e9", lambda b: b.train("style=1e9")),
        case("--set channels=1e9", lambda b: b.train("channels={4: 1000000000, 8: 16, 16: 16}")),
        case("--set steps=1e30", lambda b: b.train("steps=1e30")),
        case("comments of HTML for a model", lambda b: ["info", _text(b.folder / "page.pt", "<!-- a -->\n" * 3000)]),
        case("comments of HTML for a model, convert", lambda b: [
            "convert", _text(b.folder / "page.pt", "<!-- a -->" * 3000 + "x"), "-o", "new.safetensors"]),
        *(
            case(f"FIFO, {name}", arguments, endings=("ok", "typed") if name == "report" else ("typed",))
            for name, arguments in {
                "info": lambda b: ["info", _fifo(b.folder / "pipe")],
                "portrait": lambda b: ["animate", _fifo(b.folder / "pipe.png"), SPEECH, "--model", b.model],
                "driver": lambda b: b.animate(driver=_fifo(b.folder / "pipe.wav")),
                "model": lambda b: ["animate", PORTRAIT, SPEECH, "--model", _fifo(b.folder / "pipe.pt")],
                "motion": lambda b: b.animate("--motion", _fifo(b.folder / "pipe.json"), driver=None),
                "expression": lambda b: b.animate("--expression", str(_fifo(b.folder / "pipe.json"))),
                "weights": lambda b: b.weights(_fifo(b.folder / "pipe.mp4")),
                "convert": lambda b: ["convert", _fifo(b.folder / "pipe.pt"), "-o", "new.safetensors"],
                "config": lambda b: ["train", "autoencoder", "--config", _fifo(b.folder / "pipe.yaml")],
                "manifest": lambda b: ["prepare", _fifo(b.folder / "pipe.csv"), "-o", "clips"],
                "store": lambda b: _fifo_in_store(b),
                "report": lambda b: _fifo_as_report(b),
                "video of prepare": lambda b: ["prepare", _fifo(b.folder / "pipe.mp4"), "-o", "clips"],
            }.items()
        ),
        case("/dev/zero", lambda b: ["info", "/dev/zero"]),
        case("/dev/zero as a model", lambda b: ["animate", PORTRAIT, SPEECH, "--model", "/dev/zero"]),
        case("/dev/zero as a preset", lambda b: b.animate("--expression", "/dev/zero")),
        case("timeline far in the future", lambda b: b.animate("--expression", "0 happy; 999999999 sad"), endings=("ok",)),
        case("motion of one frame at 25 fps", lambda b: ["info", _text(b.folder / "m.json", motion_json)], endings=("ok",)),
    ]


def _with_model(bench: Bench, verb: str, width: int) -> list[str | Path]:
    model = files.strided_checkpoint(bench.folder / "strided.pt", width)
    if verb == "animate":
        return ["animate", PORTRAIT, SPEECH, "--model", model]
    return [verb, model, *(["-o", "new.safetensors"] if verb == "convert" else [])]


def _with_motion(bench: Bench, verb: str) -> list[str | Path]:
    motion = files.sparse_motion(bench.folder / "long.safetensors", 11_000_000)
    if verb == "animate":
        return bench.animate("--motion", motion, driver=None)
    return bench.weights(motion) if verb == "weights" else ["info", motion]


def _fifo_in_store(bench: Bench) -> list[str | Path]:
    _fifo(bench.store / "zoe.safetensors")
    return bench.train()


def _fifo_as_report(bench: Bench) -> list[str | Path]:
    (bench.folder / "clips").mkdir()
    _fifo(bench.folder / "clips" / "report.json")
    return ["prepare", DRIVER, "-o", "clips"]


def sounds() -> list[Case]:
    """Long sounds, sounds with gaps and with many channels."""
    group, more = "sound", 200.0

    def case(name: str, arguments: Callable[[Bench], list[str | Path]], **options: object) -> Case:
        return Case(group, name, arguments, **{"memory": more, **options})  # type: ignore[arg-type]

    ok = {"endings": ("ok",)}
    return [
        case("67 h of silence, WAV, info", lambda b: ["info", files.sparse_wav(b.folder / "long.wav", 67)], **ok),
        case("67 h of silence, WAV, animate", lambda b: b.animate(driver=files.sparse_wav(b.folder / "long.wav", 67))),
        case("24 h of silence, FLAC, info", lambda b: ["info", files.silent_flac(b.folder / "long.flac", 24)], large=True, **ok),
        case("24 h of silence, FLAC, animate", lambda b: b.animate(driver=files.silent_flac(b.folder / "long.flac", 24)), large=True),
        case("24 h of silence, FLAC, dub", lambda b: [
            "dub", DRIVER, files.silent_flac(b.folder / "long.flac", 24), "-o", "out.mp4", "--model", b.model], large=True),
        case("2 h of 8 channels, dub", lambda b: [
            "dub", DRIVER, files.sparse_wav(b.folder / "eight.wav", 1.5, 24_000, 8), "-o", "out.mp4", "--model", b.model], seconds=120.0, large=True, **ok),
        case("2 h of 8 channels, weights", lambda b: b.weights(files.sparse_wav(b.folder / "eight.wav", 1.5, 24_000, 8)), seconds=600.0, large=True, **ok),
        case("2 h of silence, WAV, info", lambda b: ["info", files.sparse_wav(b.folder / "long.wav", 2)], **ok),
        case("67 h of silence, WAV, weights", lambda b: b.weights(files.sparse_wav(b.folder / "long.wav", 67))),
        case("gap of 5 h in an .mkv, info", lambda b: ["info", files.gapped_sound(b.folder / "gap.mkv", 5 * 3600)], **ok),
        case("gap of 5 h in an .mkv, animate", lambda b: b.animate(driver=files.gapped_sound(b.folder / "gap.mkv", 5 * 3600)), **ok),
        case("100 gaps of 599 s in an .mkv, info", lambda b: ["info", files.gapped_sound(b.folder / "gap.mkv", 599, 100)], seconds=60.0, endings=("ok", "typed"), large=True),
        case("100 gaps of 599 s in an .mkv, animate", lambda b: b.animate(driver=files.gapped_sound(b.folder / "gap.mkv", 599, 100)), endings=("typed",), seconds=20.0, large=True),
        case("8 channels at 192 kHz", lambda b: b.animate(driver=files.noise_wav(b.folder / "eight.wav", 1, 192_000, 8)), seconds=30.0, **ok),
        case("3 channels at 12345 Hz", lambda b: b.animate(driver=files.noise_wav(b.folder / "odd.wav", 1, 12_345, 3)), seconds=30.0, **ok),
        case("64 channels", lambda b: b.animate(driver=files.noise_wav(b.folder / "many.wav", 1, 16_000, 64)), seconds=30.0, endings=("ok", "typed")),
        case("a minute of stereo at 48 kHz, animate", lambda b: b.animate(driver=files.noise_wav(b.folder / "m.wav", 60, 48_000, 2)), seconds=300.0, large=True, **ok),
        case("ten minutes of stereo at 48 kHz, animate", lambda b: b.animate(driver=files.noise_wav(b.folder / "m.wav", 600, 48_000, 2)), seconds=600.0, large=True, **ok),
    ]


def clocks() -> list[Case]:
    """Videos whose clock is broken, or hardly runs."""
    group = "clocks"

    def case(name: str, arguments: Callable[[Bench], list[str | Path]], **options: object) -> Case:
        return Case(group, name, arguments, **{"endings": ("ok", "typed"), **options})  # type: ignore[arg-type]

    def broken(b: Bench, kind: str) -> Path:
        if kind.startswith("scale"):
            return files.video_with_time_scale(DRIVER, b.folder / "clock.mp4", int(kind.rpartition(" ")[2]))
        return files.video_with_frame_delta(DRIVER, b.folder / "clock.mp4", int(kind.rpartition(" ")[2]))

    pictures = _faces()
    return [
        *(
            case(f"{kind}, {verb}", lambda b, kind=kind, make=make: make(b, broken(b, kind)), seconds=90.0)
            for kind in ("scale 0", "scale 1", "scale 4294967295", "delta 2147483648", "delta 4294967295", "delta 0", "delta 100000000")
            for verb, make in {
                "info": lambda b, video: ["info", video],
                "weights": lambda b, video: b.weights(video),
                "animate": lambda b, video: b.animate(driver=video),
                "dub": lambda b, video: ["dub", video, SPEECH, "-o", "out.mp4", "--model", b.model],
            }.items()
        ),
        case("an hour at one frame in 10 s, info", lambda b: [
            "info", files.slow_video(b.folder / "slow.mp4", 360, 10, pictures)]),
        case("an hour at one frame in 10 s, weights", lambda b: b.weights(
            files.slow_video(b.folder / "slow.mp4", 360, 10, pictures)), seconds=240.0, large=True),
        case("ten hours at one frame a minute, weights", lambda b: b.weights(
            files.slow_video(b.folder / "slow.mp4", 600, 60, pictures)), seconds=240.0, large=True),
    ]


def _faces() -> list[np.ndarray]:
    """Two sizes of the portrait's face, small enough to be fast."""
    import cv2

    face = cv2.imread(str(PORTRAIT))[:, :, ::-1]
    small = cv2.resize(np.ascontiguousarray(face), (192, 192), interpolation=cv2.INTER_AREA)
    return [small, np.roll(small, 2, axis=1)]


def endings() -> list[Case]:
    """Names, folders, metadata, settings and stores that are not as they should be."""
    group = "endings"

    def case(name: str, arguments: Callable[[Bench], list[str | Path]], **options: object) -> Case:
        return Case(group, name, arguments, **options)  # type: ignore[arg-type]

    either = {"endings": ("ok", "typed")}
    long = "n" * 252
    outputs = [
        case("output of 252 bytes, animate", lambda b: b.animate("-o", long[:-4] + ".mp4"), seconds=30.0, **either),
        case("output of 255 bytes, animate", lambda b: b.animate("-o", "n" * 251 + ".mp4"), seconds=30.0, **either),
        case("output of 300 bytes, animate", lambda b: b.animate("-o", "n" * 300 + ".mp4")),
        case("output of 251 bytes in Chinese, weights", lambda b: ["weights", SPEECH, "--model", b.model, "-o", "说" * 80 + ".json"], **either),
        case("output of 255 bytes, weights", lambda b: ["weights", SPEECH, "--model", b.model, "-o", "n" * 250 + ".json"], **either),
        case("output of 255 bytes, sheet", lambda b: ["sheet", "emotions", PORTRAIT, "--model", b.model, "--cell", "64", "-o", "n" * 251 + ".png"], **either),
        case("output of 255 bytes, convert", lambda b: ["convert", b.model, "-o", "n" * 243 + ".safetensors"], **either),
        case("output of 255 bytes, --save-motion", lambda b: b.animate("--save-motion", "n" * 250 + ".json"), seconds=30.0, **either),
        case("output name of NUL", lambda b: b.animate("-o", "a\0b.mp4")),
        case("output in a file", lambda b: b.animate("-o", _text(b.folder / "file", "x") / "out.mp4")),
        case("prepare into a file", lambda b: ["prepare", DRIVER, "-o", _text(b.folder / "file", "x")]),
        case("train into a file", lambda b: [*b.train(), "--out", _text(b.folder / "file", "x")]),
        case("prepare into a name of 300 bytes", lambda b: ["prepare", DRIVER, "-o", "n" * 300]),
        case("train into a name of 300 bytes", lambda b: [*b.train(), "--out", "n" * 300]),
        case("model of 5000 letters", lambda b: ["animate", PORTRAIT, SPEECH, "--model", "m" * 5000]),
        case("expression of 5000 letters", lambda b: b.animate("--expression", "m" * 5000)),
        case("expression with NUL", lambda b: b.animate("--expression", "a\0b")),
        case("portrait with NUL", lambda b: ["animate", "a\0b", SPEECH, "--model", b.model]),
        case("sources with NUL, prepare", lambda b: ["prepare", "a\0b", "-o", "clips"]),
        case("store with NUL, train", lambda b: [*b.train(), "--data", "a\0b"]),
        case("config with NUL, train", lambda b: [*b.train(), "--config", "a\0b"]),
    ]
    denied = {"/proc": "a folder of the system"}
    permissions = [
        case(f"output in {where}, {verb}", lambda b, where=where, make=make: make(b, where))
        for where in denied
        for verb, make in {
            "animate": lambda b, where: b.animate("-o", f"{where}/out.mp4"),
            "weights": lambda b, where: ["weights", SPEECH, "--model", b.model, "-o", f"{where}/out.json"],
            "sheet": lambda b, where: ["sheet", "emotions", PORTRAIT, "--model", b.model, "--cell", "64", "-o", f"{where}/out.png"],
            "convert": lambda b, where: ["convert", b.model, "-o", f"{where}/out.safetensors"],
            "prepare": lambda b, where: ["prepare", DRIVER, "-o", f"{where}/clips"],
            "train": lambda b, where: [*b.train(), "--out", f"{where}/run"],
            "download": lambda b, where: ["download", "--folder", f"{where}/models"],
            "evaluate": lambda b, where: ["evaluate", b.model, "--data", b.store, "--split", "train", "--only", "none", "--identity", f"{where}/out.png"],
        }.items()
    ]
    if not ROOT_USER:
        permissions += [
            case("input that may not be read", lambda b: ["info", _locked(b.folder / "secret.json", 0)]),
            case("folder that may not be read", lambda b: ["prepare", _folder(b.folder / "secret", 0), "-o", "clips"]),
            case("folder that may not be entered", lambda b: ["info", _folder(b.folder / "secret", 0) / "x.png"]),
            case("store that may not be read", lambda b: [*b.train(), "--data", _folder(b.folder / "secret", 0)]),
            case("output folder that may not be written", lambda b: b.animate("-o", _folder(b.folder / "locked", 0o500) / "out.mp4")),
            case("run folder that may not be written", lambda b: [*b.train(), "--out", _folder(b.folder / "locked", 0o500)]),
            case("clips folder that may not be written", lambda b: ["prepare", DRIVER, "-o", _folder(b.folder / "locked", 0o500)]),
            case("recipe folder that may not be read", lambda b: ["train", "--recipe", _folder(b.folder / "secret", 0), "--data", b.store, "--out", "run"]),
        ]
    home = [
        case("HOME unset", lambda b: ["animate", PORTRAIT, SPEECH, "--model", "nowhere.pt"], environment={"HOME": None, "XDG_CACHE_HOME": None}),
        case("~nosuchuser as a model", lambda b: ["animate", PORTRAIT, SPEECH, "--model", "~nosuchuser/x.pt"]),
        case("EDTALK_HOME is ~nosuchuser", lambda b: ["animate", PORTRAIT, SPEECH, "--model", "nowhere.pt"], environment={"EDTALK_HOME": "~nosuchuser/models"}),
        case("EDTALK_HOME is ~nosuchuser, download", lambda b: ["download", "--endpoint", "http://127.0.0.1:9"], environment={"EDTALK_HOME": "~nosuchuser/models", "HF_HUB_OFFLINE": "1"}, seconds=40.0),
        case("EDTALK_HOME is a file, download", lambda b: ["download", "--endpoint", "http://127.0.0.1:9"], environment={"EDTALK_HOME": str(PORTRAIT)}, seconds=40.0),
        case("--init ~nosuchuser", lambda b: [*b.train(), "--init", "~nosuchuser/x.pt"]),
    ]
    texts = [
        case("ASCII output of a Chinese name", lambda b: ["info", _copy(SPEECH, b.folder / "说话.flac")], environment={"PYTHONIOENCODING": "ascii"}, endings=("ok",)),
        case("cp1252 output of a Chinese name", lambda b: ["info", _copy(SPEECH, b.folder / "说话.flac")], environment={"PYTHONIOENCODING": "cp1252"}, endings=("ok",)),
        case("ASCII output of a finished video", lambda b: b.animate("-o", "说话.mp4"), environment={"PYTHONIOENCODING": "ascii"}, endings=("ok",), seconds=30.0),
        case("stdout full after a finished video", lambda b: b.animate("-o", "done.mp4"), stdout="/dev/full", endings=("ok",), seconds=30.0),
        case("stdout closed after a finished video", lambda b: b.animate("-o", "done.mp4"), stdout="closed", endings=("ok",), seconds=30.0),
        case("stdout closed, --json", lambda b: b.animate("-o", "done.mp4", "--json"), stdout="closed", endings=("ok",), seconds=30.0),
        case("stdout full, info", lambda b: ["info", SPEECH], stdout="/dev/full", **either),
        case("stdout closed, info", lambda b: ["info", SPEECH], stdout="closed", **either),
        case("name that is not UTF-8, info", lambda b: ["info", _copy(SPEECH, Path(os.fsdecode(os.fsencode(b.folder) + b"/\xff\xfe.flac")))], endings=("ok",)),
        case("name that is not UTF-8, --json", lambda b: ["info", "--json", _copy(SPEECH, Path(os.fsdecode(os.fsencode(b.folder) + b"/\xff\xfe.flac")))], endings=("ok",)),
        case("name that is not UTF-8, weights", lambda b: ["weights", "--model", b.model, _copy(SPEECH, Path(os.fsdecode(os.fsencode(b.folder) + b"/\xff\xfe.flac")))], endings=("ok",)),
        case("name that is not UTF-8, animate", lambda b: b.animate("--json", driver=_copy(SPEECH, Path(os.fsdecode(os.fsencode(b.folder) + b"/\xff\xfe.flac")))), endings=("ok",), seconds=30.0),
        case("name that is not UTF-8, convert", lambda b: ["convert", _copy(b.model, Path(os.fsdecode(os.fsencode(b.folder) + b"/\xff\xfe.safetensors"))), "-o", "new.safetensors"], endings=("ok", "typed")),
        case("name that is not UTF-8, prepare", lambda b: ["prepare", _copy(DRIVER, Path(os.fsdecode(os.fsencode(b.folder) + b"/\xff\xfe.mp4"))), "-o", "clips"], endings=("ok",), seconds=60.0),
        case("name that is not UTF-8, missing", lambda b: ["info", os.fsdecode(b"\xff\xfe.flac")]),
        case("lone surrogate as an expression", lambda b: b.animate("--expression", "\udcff")),
        case("lone surrogate as an emotion", lambda b: ["sheet", "emotions", PORTRAIT, "--model", b.model, "--emotion", "\udcff"]),
        case("lone surrogate in a preset", lambda b: b.animate("--expression", str(_text(b.folder / "p.json", '{"name": "\\ud800", "weights": [0,0,0,0,0,0,0,0,0,0]}'))), **either),
        case("lone surrogate in a preset's text, info", lambda b: ["info", "--json", _text(b.folder / "p.json", '{"name": "a", "about": "\\ud800", "weights": [0,0,0,0,0,0,0,0,0,0]}')], **either),
        case("lone surrogate in a motion's notes", lambda b: ["info", "--json", _text(b.folder / "m.json", '{"format": "edtalk-motion", "format_version": 1, "fps": 25, "lip": [[0]], "metadata": {"\\ud800": "\\udfff"}}')], **either),
    ]
    flat = [0.0] * 10
    content = [
        case("deep nesting, motion", lambda b: ["info", files.nested_json(b.folder / "m.json")]),
        case("deep nesting, preset", lambda b: b.animate("--expression", str(_text(b.folder / "p.json", "[" * 100_000)))),
        case("deep nesting, metadata", lambda b: b.animate("--model", _bundle(b, presets='{"a":' + "[" * 100_000 + "]" * 100_000 + "}"))),
        case("deep nesting, names of bases", lambda b: ["info", _bundle(b, bases="[" * 100_000 + "]" * 100_000)]),
        case("deep nesting, YAML", lambda b: [*b.train(), "--config", _text(b.folder / "c.yaml", "[" * 5000)], seconds=20.0),
        case("deep nesting, --set", lambda b: b.train("channels=" + "[" * 5000), seconds=20.0),
        case("deep nesting, report", lambda b: _report(b, "[" * 100_000 + "]" * 100_000), seconds=60.0, **either),
        *(
            case(f"metadata {key} is {value!r}, {verb}", lambda b, key=key, value=value, verb=verb: (
                ["info", _bundle(b, **{key: value})] if verb == "info" else ["animate", PORTRAIT, SPEECH, "--model", _bundle(b, **{key: value})]), seconds=30.0, **either)
            for key in ("presets", "bases", "sizes", "fps", "format_version")
            for value in ("null", "7", '"text"', "[1]", "no JSON", "", "1e400", '{"happy": null}', '{"happy": [1e400]}')
            for verb in ("info", "animate")
        ),
        case("training metadata is no JSON", lambda b: ["info", _bundle(b, training_config="no", training_step="x", sources="null", license="\x1b[31m")], **either),
        case("preset whose name is a list", lambda b: b.animate("--expression", str(_preset(b.folder / "p.json", name=["a"])))),
        case("preset whose name is a mapping", lambda b: ["info", _preset(b.folder / "p.json", name={"a": 1})]),
        case("preset whose name is null", lambda b: ["info", _preset(b.folder / "p.json", name=None)]),
        case("preset of huge numbers", lambda b: ["info", _text(b.folder / "p.json", '{"name": "a", "weights": [' + "9" * 5000 + "]}")]),
        case("preset of 1e400", lambda b: ["info", _text(b.folder / "p.json", '{"name": "a", "weights": [1e400]}')]),
        case("preset with a list as format", lambda b: ["info", _preset(b.folder / "p.json", format=["x"], format_version={})]),
        case("presets by an empty name", lambda b: ["info", files.write_json(b.folder / "p.json", {"presets": {"": flat}})]),
        case("motion whose fps is a list", lambda b: ["info", files.write_json(b.folder / "m.json", {"format": "edtalk-motion", "format_version": 1, "fps": [25], "lip": [[0]]})]),
        case("motion whose fps is huge", lambda b: ["info", _text(b.folder / "m.json", '{"format": "edtalk-motion", "format_version": 1, "fps": ' + "9" * 5000 + ', "lip": [[0]]}')]),
        case("motion of huge integers", lambda b: ["info", _text(b.folder / "m.json", '{"format": "edtalk-motion", "format_version": 1, "fps": 25, "lip": [[' + "9" * 400 + "]]}")]),
        case("motion of half a lip", lambda b: ["info", files.write_json(b.folder / "m.json", {"format": "edtalk-motion", "format_version": 1, "fps": 25, "lip": [[0], []]})]),
        case("motion of empty frames", lambda b: ["info", files.write_json(b.folder / "m.json", {"format": "edtalk-motion", "format_version": 1, "fps": 25, "lip": [[], []]})]),
        case("metadata of a safetensors header is a number", lambda b: ["info", _header(b.folder / "h.safetensors", {"__metadata__": 7})]),
        case("header of safetensors is a list", lambda b: ["info", _header(b.folder / "h.safetensors", [1, 2])]),
        case("header of safetensors claims 1 TiB", lambda b: ["info", _text(b.folder / "h.safetensors", struct.pack("<Q", 1 << 40) + b"{}")]),
        case("YAML that is a picture", lambda b: [*b.train(), "--config", PORTRAIT]),
        case("YAML that is a list", lambda b: [*b.train(), "--config", _text(b.folder / "c.yaml", "- 1\n- 2\n")]),
        case("YAML with a date for a key", lambda b: [*b.train(), "--config", _text(b.folder / "c.yaml", "2020-01-01: 3\n")]),
        case("YAML of many aliases", lambda b: [*b.train(), "--config", _text(b.folder / "c.yaml", _billion_laughs())], seconds=20.0),
        case("YAML that runs code", lambda b: [*b.train(), "--config", _text(b.folder / "c.yaml", "batch: !!python/object/apply:os.system ['true']\n")]),
        case("YAML with NUL", lambda b: [*b.train(), "--config", _text(b.folder / "c.yaml", b"batch: 3\0\n")]),
        case("--set value is a list of lists", lambda b: b.train("betas=[[1],[2]]")),
        case("--set of an impossible date", lambda b: b.train("batch=2020-99-99")),
        case("--set of an impossible timestamp", lambda b: b.train("batch=2020-13-45 99:99:99")),
        case("--set without a name", lambda b: b.train("=3")),
        case("--set of dots", lambda b: b.train("...=3")),
        case("--set of a setting into a setting", lambda b: b.train("batch.x=3")),
        case("recipe that is a picture", lambda b: ["train", "--recipe", _recipe(b, PORTRAIT.read_bytes()), "--data", b.store, "--out", "run"]),
        case("recipe whose stage is a list", lambda b: ["train", "--recipe", _recipe(b, b"stage: [1]\n"), "--data", b.store, "--out", "run"]),
        case("recipe without a stage", lambda b: ["train", "--recipe", _recipe(b, b"batch: 1\n"), "--data", b.store, "--out", "run"]),
        case("bundle of a recipe that leads away", lambda b: ["train", "--recipe", _recipe(b, b"stage: bundle\nfile: ../../away.safetensors\n"), "--data", b.store, "--out", "run"]),
    ]
    numbers = [
        *(case(f"--device {name}", lambda b, name=name: ["animate", PORTRAIT, SPEECH, "--model", b.model, "--device", name]) for name in ("meta", "hpu", "cuda:99", "cuda", "mps", "xla", "privateuseone", "cpu:7", "vulkan", "")),
        *(case(f"bench --device {name}", lambda b, name=name: ["bench", "--model", b.model, "--device", name, "--frames", "1", "--repeats", "1"]) for name in ("meta", "hpu")),
        *(case(f"bench {option} {value}", lambda b, option=option, value=value: ["bench", "--model", b.model, option, value]) for option in ("--batch", "--repeats", "--frames", "--larger") for value in ("0", "-1", "1000000000", "99999999999999999999")),
        *(case(f"sheet --cell {value}", lambda b, value=value: ["sheet", "emotions", PORTRAIT, "--model", b.model, "--cell", value]) for value in ("0", "-5", "1000000000", "99999999999999999999")),
        *(case(f"sheet {option} {value}", lambda b, option=option, value=value: ["sheet", "bases", PORTRAIT, "--model", b.model, "--cell", "32", option, value], **either) for option in ("--columns", "--reach") for value in ("0", "1000000000", "1e38", "99999999999999999999")),
        *(case(f"animate {option} {value}", lambda b, option=option, value=value: b.animate(option, value), seconds=30.0) for option, value in (("--seed", "-1"), ("--seed", "9" * 30), ("--temperature", "1e300"), ("--silence-before", "1e300"), ("--silence-after", "99999"), ("--size", "999999999"), ("--size", "own:9" + "9" * 30), ("--size", "x"), ("--face", "9" * 30), ("--box", "nan,0,1,1"), ("--box", "0,0,1e300,1e300"), ("--box", "1e9,1e9,2e9,2e9"), ("--blink", "1e300"), ("--fps", "1e300"), ("--fps", "1e-300"), ("--expression", "happy:1e300"), ("--expression", "happy:nan"))),
        *(case(f"prepare {option} {value}", lambda b, option=option, value=value: ["prepare", DRIVER, "-o", "clips", option, value], seconds=60.0, endings=endings) for option, value, endings in (("--size", "0", ("typed",)), ("--size", "100000000", ("typed",)), ("--workers", "-3", ("ok", "typed")), ("--workers", "100000000", ("ok", "typed")), ("--test-share", "nan", ("typed",)), ("--seed", "-1", ("ok", "typed")))),
        *(case(f"convert --strength {value}", lambda b, value=value: ["convert", b.model, "-o", "new.safetensors", "--presets", b.store, "--measured", "--strength", value], seconds=30.0, **either) for value in ("nan", "1e300", "-1", "inf")),
    ]
    settings = [
        *(
            case(f"train {setting}", lambda b, setting=setting: b.train(setting), seconds=60.0, endings=endings)
            for endings, group_of_settings in (
                (("typed",), ("resolution=7", "resolution=100", "resolution=8", "resolution=0", "channels=5", "channels={}", "channels={4: 16}", "channels={16: 0, 8: 16, 4: 16}", "channels={a: b}", "channels={4: -1, 8: 16, 16: 16}", "betas=x", "betas=[1, 2]", "betas=[0.5, 1.5]", "betas=[-1, 0.9]", "betas=[nan, 0.9]", "betas=[0.5]", "seed=-1", "seed=1e30", "seed=x", "losses=5", "losses=[1]", "losses.l1=-1", "losses.l1=nan", "losses.nothing=1", "stage=x", "stage=mouth-pose", "lip=0", "pose=0", "pose=3", "expression=-1", "style=1", "style=30", "expression_hidden=0", "steps=0", "batch=0", "batch=1.5", "batch=x", "batch=null", "learning_rate=0", "learning_rate=-1", "learning_rate=x", "learning_rate=inf", "ema=2", "ema=nan", "precision=fp8", "train=x", "train=[5]", "train=[nothing.]", "checkpoint_every=0", "sample_every=-1", "init=[1]", "init=nowhere.safetensors", "sampling.near_frames_share=2", "sampling=x", "pixel_weights.mouth=-1", "vgg_file=nowhere.pth", "expression_measure=x", "data=[1]", "out=7", "augmentation=-1", "augmentation=nan", "learning_rate=1e30")),
                (("ok", "typed"), ("augmentation=1e30", "steps=1.0", "losses.l1=1e38", "seed=18446744073709551615", "lip=1", "pose=7", "expression=0", "expression=1", "style=37", "decay=yes", "precision=fp16", "batch=1", "pixel_weights.mouth=1e38", "sampling.near_frames_share=1", "sampling.contrast_share=1", "sampling.swapped_mouth_share=1", "fit_heads=true", "turn_expression_bank=true")),
            )
            for setting in group_of_settings
        ),
        *(
            case(f"train {stage} {setting}", lambda b, stage=stage, setting=setting: b.train(f"init={b.model}", "resolution=32", setting, stage=stage), seconds=60.0, **either)
            for stage, setting in (("audio-to-lip", "sequence_frames=1"), ("audio-to-lip", "sequence_frames=1000"), ("audio-to-lip", "network_width=1e9"), ("audio-to-lip", "lip_gain=1e38"), ("pose-flow", "windows.frames=1"), ("pose-flow", "windows.frames=1e6"), ("pose-flow", "windows.noise=1e38"), ("pose-flow", "new_flow.steps=1e6"), ("pose-flow", "new_flow.width=3"), ("mouth-pose", "batch=1"))
        ),
    ]
    return [*outputs, *permissions, *home, *texts, *content, *numbers, *settings, *_damaged_stores()]


def _damaged_stores() -> list[Case]:
    def remove(name: str) -> Callable[[dict[str, torch.Tensor]], object]:
        return lambda tensors: tensors.pop(name)

    def change(name: str, value: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[dict[str, torch.Tensor]], object]:
        return lambda tensors: tensors.update({name: value(tensors[name]).contiguous()})

    info = {
        "name": "anna",
        "person": "anna",
        "split": "train",
        "emotion": "happy",
        "level": "",
        "license": "",
        "speech": True,
    }
    damages: dict[str, dict[str, object]] = {
        "info missing": {"metadata": {"info": None}},
        "info is no JSON": {"metadata": {"info": "no"}},
        "info is null": {"metadata": {"info": "null"}},
        "info is a list": {"metadata": {"info": "[1]"}},
        "info lacks the person": {"metadata": {"info": json.dumps({**info, "person": None})}},
        "info has an unknown entry": {"metadata": {"info": json.dumps({**info, "what": 1})}},
        "info lacks entries": {"metadata": {"info": json.dumps({"name": "anna"})}},
        "name is a list": {"metadata": {"info": json.dumps({**info, "name": ["anna"]})}},
        "name leads away": {"metadata": {"info": json.dumps({**info, "name": "../../anna"})}},
        "info is nested deeply": {"metadata": {"info": "[" * 100_000}},
        "size is no number": {"metadata": {"size": "large"}},
        "size is 0": {"metadata": {"size": "0"}},
        "size is 1e9": {"metadata": {"size": "1000000000"}},
        "size is negative": {"metadata": {"size": "-256"}},
        "frames missing": {"tensors": remove("frames")},
        "offsets missing": {"tensors": remove("offsets")},
        "landmarks missing": {"tensors": remove("landmarks")},
        "offsets descending": {"tensors": change("offsets", lambda t: t.flip(0))},
        "offsets beyond the end": {"tensors": change("offsets", lambda t: t * 1000)},
        "offsets negative": {"tensors": change("offsets", lambda t: t - 10_000)},
        "offsets of floats": {"tensors": change("offsets", lambda t: t.double())},
        "offsets of two dimensions": {"tensors": change("offsets", lambda t: t[:, None])},
        "offsets empty": {"tensors": change("offsets", lambda t: t[:0])},
        "one offset": {"tensors": change("offsets", lambda t: t[:1])},
        "landmarks short": {"tensors": change("landmarks", lambda t: t[:3])},
        "landmarks of 67 points": {"tensors": change("landmarks", lambda t: t[:, :67])},
        "landmarks of NaN": {"tensors": change("landmarks", lambda t: t * float("nan"))},
        "landmarks huge": {"tensors": change("landmarks", lambda t: t * 1e30)},
        "landmarks as integers": {"tensors": change("landmarks", lambda t: t.long())},
        "frames of noise": {"tensors": change("frames", lambda t: torch.full_like(t, 7))},
        "frames as floats": {"tensors": change("frames", lambda t: t.float())},
        "frames empty": {"tensors": change("frames", lambda t: t[:0])},
        "mel of 79 bands": {"tensors": change("mel", lambda t: t[:, :79])},
        "mel empty": {"tensors": change("mel", lambda t: t[:0])},
        "mel of NaN": {"tensors": change("mel", lambda t: t * float("nan"))},
        "mel as integers": {"tensors": change("mel", lambda t: t.long())},
        "mel short": {"tensors": change("mel", lambda t: t[:2])},
    }
    cases = [
        Case("store", f"{name}, {verb}", lambda b, damage=damage, make=make: make(_clip(b, **damage)), ("typed", "ok") if "mel" in name or "away" in name else ("typed",), seconds=60.0)
        for name, damage in damages.items()
        for verb, make in {
            "train": lambda b: b.train(),
            "audio-to-lip": lambda b: b.train(f"init={b.model}", "resolution=32", stage="audio-to-lip"),
        }.items()
    ]
    reports = {
        "no JSON": "no",
        "a list": "[]",
        "null": "null",
        "clips is a list": '{"clips": [], "skipped": {}}',
        "clips of numbers": '{"clips": {"a": 1}, "skipped": {}}',
        "skipped is a number": '{"clips": {}, "skipped": 7}',
        "clip is a text": '{"clips": {"driver": ["x"]}, "skipped": {}}',
        "frames is a text": json.dumps({"clips": {"driver": [_facts(frames="many")]}, "skipped": {}}),
        "frames is huge": json.dumps({"clips": {"driver": [_facts(frames=10**400)]}, "skipped": {}}),
        "split is a list": json.dumps({"clips": {"driver": [_facts(split=["train"])]}, "skipped": {}}),
        "splits of two types": json.dumps({"clips": {"a": [_facts(split=1)], "b": [_facts(split="x")]}, "skipped": {}}),
        "person is a mapping": json.dumps({"clips": {"driver": [_facts(person={})]}, "skipped": {}}),
        "speech is a text": json.dumps({"clips": {"driver": [_facts(speech="yes")]}, "skipped": {}}),
        "name of surrogates": json.dumps(
            {"clips": {"driver": [_facts(name="\ud800")]}, "skipped": {"\ud800": "\udfff"}}
        ),
        "not UTF-8": b"\xff\xfe\x00",
    }
    return cases + [
        Case("store", f"report: {name}", lambda b, content=content: _report(b, content), ("ok", "typed"), seconds=90.0)
        for name, content in reports.items()
    ]


def _facts(**changes: object) -> dict[str, object]:
    return {
        "name": "driver", "person": "driver", "split": "train", "emotion": "", "level": "", "license": "",
        "speech": False, "frames": 30, "sound": False, "cropped": False, "size": 256, **changes,
    }


def _report(bench: Bench, content: str | bytes) -> list[str | Path]:
    (bench.folder / "clips").mkdir()
    _text(bench.folder / "clips" / "report.json", content)
    return ["prepare", DRIVER, "-o", "clips"]


def _header(path: Path, header: object) -> Path:
    text = json.dumps(header).encode()
    return _text(path, struct.pack("<Q", len(text)) + text)


def _recipe(bench: Bench, content: bytes) -> Path:
    folder = bench.folder / "recipe"
    folder.mkdir()
    _text(folder / "1.yaml", content)
    return folder


def _locked(path: Path, mode: int) -> Path:
    path.write_text("{}")
    path.chmod(mode)
    return path


def _copy(source: Path, target: Path) -> Path:
    shutil.copy(source, target)
    return target


def _billion_laughs() -> str:
    lines = ["a: &a [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    names = "abcdefghij"
    lines += [f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]" for old, new in itertools.pairwise(names)]
    return "\n".join(lines)


ESCAPE = "\x1b]0;owned\x07\x1b[31m\r\nhacked\u202e<b>"


def shown() -> list[Case]:
    """Names from files that would change a terminal or a page; the endings are looked at by what is printed."""
    group, either = "shown", {"endings": ("ok", "typed")}

    def case(name: str, arguments: Callable[[Bench], list[str | Path]], **options: object) -> Case:
        return Case(group, name, arguments, **{**either, **options})  # type: ignore[arg-type]

    return [
        case("preset's name, info", lambda b: ["info", _preset(b.folder / "p.json", name="\x1b[31mred")]),
        case("preset's name, animate", lambda b: b.animate("--expression", str(_preset(b.folder / "p.json", name="\x1b[31mred"))), seconds=30.0),
        case("emotions of a bundle, info", lambda b: ["info", _bundle(b, presets=json.dumps({ESCAPE: [0.0] * 10}))]),
        case("emotions of a bundle, animate", lambda b: ["animate", PORTRAIT, SPEECH, "--model", _bundle(b, presets=json.dumps({ESCAPE: [0.0] * 10})), "--expression", "hapy"]),
        case("licence of a bundle, info", lambda b: ["info", _bundle(b, license=ESCAPE, **{ESCAPE: ESCAPE})]),
        case("tensor's name, info", lambda b: ["info", files.sparse_safetensors(b.folder / "x.safetensors", {ESCAPE: (2,)}, {})]),
        case("notes of a motion, info", lambda b: ["info", files.sparse_safetensors(b.folder / "m.safetensors", {"lip": (3, 20)}, {"format": "edtalk-motion", "format_version": "1", "fps": "25", ESCAPE: ESCAPE})]),
        case("version of a motion, info", lambda b: ["info", files.sparse_safetensors(b.folder / "m.safetensors", {"lip": (3, 20)}, {"format": "edtalk-motion", "format_version": ESCAPE, "fps": "25"})]),
        case("name of a file, info", lambda b: ["info", _text(b.folder / "a\x1b[31m\nb.txt", "words")]),
        case("text of a file, info", lambda b: ["info", _text(b.folder / "a.pt", ESCAPE)]),
        case("name of a setting, train", lambda b: [*b.train(), "--config", _text(b.folder / "c.yaml", '"\\e[31mred": 1\n')]),
        case("names in a zip, info", lambda b: ["info", _zip_names(b.folder / "z.pt")]),
        case("person of a clip, prepare", lambda b: _report(b, json.dumps({"clips": {}, "skipped": {ESCAPE: ESCAPE}})), seconds=60.0),
    ]


def _zip_names(path: Path) -> Path:
    import zipfile

    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("\x1b[31mred", "x")
    return path


def is_clean(text: str) -> bool:
    """Whether printed text holds no control characters but ends of lines, and nothing that turns the direction."""
    import unicodedata

    return all(character == "\n" or unicodedata.category(character) not in ("Cc", "Cf", "Cs") for character in text)


def all_cases() -> list[Case]:
    """All groups."""
    return [*claims(), *sounds(), *clocks(), *endings(), *shown()]
