"""Random prompts with the pack's nodes: most are plausible, some have mistakes.

Links connect matching types, as the editor ensures, and lengths are short, so that a graph takes about a second. Values
are within their ranges or at the limits; graphs with mistakes also have values out of range and missing inputs. Media
may be silent, a few milliseconds long, a single pixel, without a face, or broken.
"""

from __future__ import annotations

import random
import wave
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from graphs import Prompt, node, write_speech

PACK_PREFIX = "EDTalk"

Link = list[Any]

WIDGETS = ("COMBO", "INT", "FLOAT", "STRING", "BOOLEAN")
"""Types of inputs that are not sockets."""

WRONG_GRAPH = 0.3
"""Probability of a graph with mistakes."""
WRONG_VALUE, WRONG_LINK, MISSING = 0.05, 0.05, 0.03
"""Probabilities, per input of such a graph, of a value out of range, a link of another type, and a missing value."""
DEFAULT, EDGE = 0.3, 0.1
"""Probabilities that a number or choice is the default, and that a number is a limit of its range."""
OPTIONAL_LINK = 0.4
REUSED_NODE = 0.6
"""Probability of linking an existing output instead of adding a node."""
DEPTH = 7
"""Maximum depth of a chain of nodes, unless required sockets need more."""

USUAL = 0.75
"""Probability of the first of several media or texts, which is valid for most nodes."""
PICTURES = ("portrait.jpg", "noise.png", "dot.png", "alpha.png", "wide.png", "grey.png")
SOUNDS = ("speech_half.wav", "silent.wav", "blink.wav", "stereo.wav", "empty.wav", "broken.wav")
VIDEOS = ("face.mp4", "face_silent.mp4", "one_frame.mp4", "odd.mkv", "broken.mp4")
MOTION, PRESET = "nod.safetensors", "smile.json"

LARGEST = {
    "cell": 64,
    "columns": 3,
    "crossfade": 1.0,
    "end": 2.0,
    "face": 0,
    "batch_index": 0,
    "fps": 30.0,
    "frame": 5,
    "frames": 5,
    "height": 400,
    "seconds": 1.0,
    "silence_after": 0.2,
    "silence_before": 0.2,
    "start": 1.0,
    "width": 400,
}
"""Input name -> limit that keeps the run time short, where the range allows more."""
TEXTS = {
    "about": ("", "a smile"),
    "box": ("", "60 60 200 200", "0 0 1 1", "-20 -20 600 600", "1 2 3", "a b c d"),
    "curve": ("", "0:00 0\n0:01 1", "0:00 0.5 ease-in-out", "nonsense"),
    "emotions": ("", "happy, sad", "no such"),
    "filename_prefix": ("edtalk/random", "random", "%width%x%height%", "", "../outside", "a" * 300),
    "name": ("", "happy", "no such"),
    "offsets": ("", "lip 0 0.5", "pose yaw 0.2", "nonsense"),
    "path": ("", "gone.json", "motion", "/", "portrait.jpg"),
    "strengths": ("0.5, 1, 1.5", "1", "", "x"),
    "text": ("0:00 own\n0:01 happy:0.8", "0:00 happy", "", "0:00 no such", "happy 0:00", "0:05 sad\n0:01 happy"),
}
"""Input name -> valid and invalid texts for it."""
WRONG = (None, "", "text", "ü\u0000\n", True, -1, 10**30, 0.5, float("nan"), float("inf"), -float("inf"), [], [1], {})
"""Arbitrary values, as in a prompt written by a faulty program."""


def write_media(folder: Path) -> None:
    """Write the input files of random graphs next to portrait.jpg: media, a motion and a preset."""
    import torch
    from PIL import Image

    from edtalk_core.media.audio import read_audio
    from edtalk_core.media.video_writer import VideoWriter
    from edtalk_core.motion.files import save_motion
    from edtalk_core.motion.motion import Motion
    from edtalk_core.motion.presets import Preset, save_preset

    torch.manual_seed(0)
    save_motion(Motion(fps=25.0, lip=torch.randn(8, 20), pose=torch.randn(8, 6)), folder / MOTION)
    save_preset(Preset("smile", tuple(torch.randn(10).tolist())), folder / PRESET)

    noise = np.random.default_rng(0)
    for name, size in (("noise.png", (64, 64, 3)), ("dot.png", (1, 1, 3)), ("wide.png", (8, 900, 3))):
        Image.fromarray(noise.integers(0, 256, size, np.uint8)).save(folder / name)
    face = Image.open(folder / "portrait.jpg").convert("RGB").resize((256, 256))
    face.convert("L").save(folder / "grey.png")
    face.convert("RGBA").save(folder / "alpha.png")

    write_speech(folder / "speech_half.wav", 0.5)
    write_speech(folder / "blink.wav", 0.01)
    for name, channels, samples in (
        ("silent.wav", 1, np.zeros(8000)),
        ("stereo.wav", 2, noise.uniform(-0.5, 0.5, 2 * 6615)),
        ("empty.wav", 1, np.zeros(0)),
    ):
        with wave.open(str(folder / name), "wb") as file:
            file.setparams((channels, 2, 22050, 0, "NONE", ""))
            file.writeframes((samples * 32767).astype("<i2").tobytes())
    for name in ("broken.wav", "broken.mp4"):
        (folder / name).write_bytes(bytes(range(256)) * 8)

    picture = np.asarray(face)
    speech = read_audio(folder / "speech_half.wav")
    for name, fps, frame, number, sound in (
        ("face.mp4", 25, picture, 6, speech),
        ("face_silent.mp4", 30, picture, 4, None),
        ("one_frame.mp4", 25, picture, 1, None),
        ("odd.mkv", Fraction(30000, 1001), noise.integers(0, 256, (47, 33, 3), np.uint8), 3, None),
    ):
        with VideoWriter(folder / name, fps, (frame.shape[1], frame.shape[0]), sound) as writer:
            for _ in range(number):
                writer.write(frame)


@dataclass
class RandomGraph:
    """A prompt that is built backwards from its final node.

    `info`: the server's /object_info. `models`: model names, the usual one first. `wrong`: whether the graph has
    mistakes.
    """

    info: dict[str, Any]
    models: tuple[str, ...]
    random: random.Random
    wrong: bool
    prompt: Prompt = field(default_factory=dict)
    _outputs: list[tuple[str, Link]] = field(default_factory=list)
    """Type and link of each existing output."""

    def grow(self) -> Prompt:
        """Add a node of the pack, its inputs, and a node that shows one of its outputs."""
        ours = sorted(name for name in self.info if name.startswith(PACK_PREFIX))
        kind = self.random.choice(ours)
        name = self._add(kind, 0)
        outputs = self.info[kind]["output"]
        output = self.random.randrange(len(outputs))
        if not self.info[kind]["output_node"] or self.random.random() < 0.2:
            self._show(outputs[output], [name, output])
        return self.prompt

    def _show(self, kind: str, link: Link) -> None:
        sink = {
            "IMAGE": lambda: node("PreviewImage", images=link),
            "AUDIO": lambda: node("SaveAudio", audio=link, filename_prefix="random/sound"),
            "VIDEO": lambda: node("SaveVideo", video=link, filename_prefix="random/video", format="auto", codec="auto"),
        }.get(kind, lambda: node("PreviewAny", source=link))
        self._insert(sink())

    def _insert(self, new_node: dict[str, Any]) -> str:
        name = str(len(self.prompt) + 1)
        self.prompt[name] = new_node
        return name

    def _add(self, kind: str, depth: int) -> str:
        """Add a node of the pack with random inputs; returns its name."""
        inputs: dict[str, Any] = {}
        for group in ("required", "optional"):
            for name, (type_, details) in self._inputs(kind, group):
                chance = self.random.random() if self.wrong else 1.0
                if chance < MISSING:
                    continue
                if type_ in WIDGETS and chance < MISSING + WRONG_VALUE:
                    inputs[name] = self._wrong(details)
                elif type_ in WIDGETS:
                    inputs[name] = self._value(kind, name, type_, details)
                elif group == "required" or (self.random.random() < OPTIONAL_LINK and depth < DEPTH):
                    link = self._link(type_, depth + 1)
                    inputs |= {name: link} if link is not None else {}
        if kind == "EDTalkWeightsFromVideo" and len({"video", "images"} & set(inputs)) != 1 and not self.wrong:
            inputs.pop("images", None)
            inputs["video"] = self._link("VIDEO", DEPTH)
        if kind.startswith(PACK_PREFIX + "Render") and self.random.random() < 0.5:
            inputs["length"] = "frames"
        name = self._insert(node(kind, **inputs))
        self._outputs += [(type_, [name, number]) for number, type_ in enumerate(self.info[kind]["output"])]
        return name

    def _inputs(self, kind: str, group: str) -> list[tuple[str, tuple[str, dict[str, Any]]]]:
        spec = self.info[kind]["input"].get(group, {})
        inputs = []
        for name, definition in spec.items():
            type_, details = (*definition, {})[:2]
            if isinstance(type_, list):  # V1 nodes have the options as the type
                type_, details = "COMBO", details | {"options": type_}
            inputs.append((name, (type_, details)))
        return inputs

    def _usual(self, choices: Sequence[Any]) -> Any:
        """One of the choices, most often the first."""
        return choices[0] if self.random.random() < USUAL else self.random.choice(choices)

    def _value(self, kind: str, name: str, type_: str, details: dict[str, Any]) -> Any:
        """A valid value."""
        if name == "model":
            return self._usual(self.models)
        if name == "file":
            return self._usual((PRESET if kind == "EDTalkLoadPreset" else MOTION, *details["options"]))
        if type_ == "COMBO":
            options = details["options"]
            default = details.get("default", options[0])
            return default if self.random.random() < DEFAULT else self.random.choice(options)
        if type_ == "BOOLEAN":
            return self.random.random() < 0.5
        if type_ == "STRING":
            return self._usual(TEXTS.get(name, ("",)))
        least, most = details["min"], details["max"]
        most = min(most, LARGEST.get(name, most))
        least = max(least, -LARGEST.get(name, -least))
        if self.random.random() < DEFAULT:
            return max(least, min(most, details["default"]))
        if self.random.random() < EDGE:
            return self.random.choice((least, most))
        if type_ == "INT":
            return self.random.randint(least, most)
        return round(self.random.uniform(least, most), self.random.choice((0, 2, 6)))

    def _wrong(self, details: dict[str, Any]) -> Any:
        beyond = [details["min"] - 1, details["max"] + 1] if "max" in details else []
        return self.random.choice([*beyond, *WRONG])

    def _link(self, type_: str, depth: int) -> Link | None:
        """An output of a type, of an existing or a new node; None if no node has such an output."""
        types = set(type_.split(","))
        if self.wrong and self._outputs and self.random.random() < WRONG_LINK:
            return self.random.choice(self._outputs)[1]
        existing = [link for kind, link in self._outputs if kind in types]
        if existing and (depth >= DEPTH or self.random.random() < REUSED_NODE):
            return self.random.choice(existing)
        sources = self._sources(types)
        makers = [
            (kind, number)
            for kind, info in sorted(self.info.items())
            if kind.startswith(PACK_PREFIX) and kind != "EDTalkExampleInputs"
            for number, output in enumerate(info["output"])
            if output in types
        ]
        if depth >= DEPTH and "EDTALK_MOTION" in types:
            makers = [("EDTalkExpressionPreset", 0), ("EDTalkSamplePose", 0)]
        if sources and (not makers or depth >= DEPTH or self.random.random() < 0.7):
            return self.random.choice(sources)()
        if not makers:
            return None
        kind, number = self.random.choice(makers)
        return [self._add(kind, depth), number]

    def _sources(self, types: set[str]) -> list[Callable[[], Link]]:
        """Functions that add a core node with an output of one of the types."""
        sources: list[Callable[[], Link]] = []
        choose, usual = self.random.choice, self._usual

        def core(kind: str, output: int = 0, **inputs: Any) -> Link:
            return [self._insert(node(kind, **inputs)), output]

        def parts(output: int) -> Link:
            return core("GetVideoComponents", output, video=core("LoadVideo", file=usual(VIDEOS)))

        if "IMAGE" in types:
            batch = {"width": choose((16, 64)), "height": choose((16, 40)), "batch_size": choose((1, 3)), "color": 127}
            sources += [lambda: core("LoadImage", image=usual(PICTURES))] * 4
            sources += [lambda: parts(0), lambda: core("EmptyImage", **batch)]
        if "MASK" in types:
            masks = (1.0, 0.0)
            sources += [lambda: core("SolidMask", value=usual(masks), width=64, height=64)] * 4
            sources += [lambda: core("LoadImage", 1, image=usual(PICTURES))]
        if "AUDIO" in types:
            sources += [lambda: core("LoadAudio", audio=usual(SOUNDS))] * 4 + [lambda: parts(1)]
            sources += [lambda: core("EmptyAudio", duration=0.2, sample_rate=8000, channels=1)]
        if "VIDEO" in types:
            sources += [lambda: core("LoadVideo", file=usual(VIDEOS))] * 3
            sources += [
                lambda: core("CreateVideo", images=core("LoadImage", image=usual(PICTURES)), fps=choose((1, 25)))
            ]
        return sources


def random_prompt(info: dict[str, Any], models: tuple[str, ...], seed: int) -> Prompt:
    """The prompt of a seed, reproducible for the same nodes and choices."""
    chance = random.Random(seed)
    return RandomGraph(info, models, chance, wrong=chance.random() < WRONG_GRAPH).grow()
