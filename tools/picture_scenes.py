"""Graphs of EDTalk nodes that are run in a ComfyUI server for the pictures of the help pages."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests/support"))

from comfy_server import Client, ComfyServer, Run
from picture_layout import WIDTH

from edtalk_core.media.audio import read_audio

ANIMATION_FPS = 12.5
"""Frames a second of pictures that move."""

Picture = Image.Image
Link = list[Any]
"""An output of a node, as a prompt names it: the node's name and the output's number."""


class Node:
    """A node of a graph; `node[1]` is its second output, to be plugged in."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __getitem__(self, output: int) -> Link:
        return [self.name, output]


class Graph:
    """A prompt that grows; what is not given of a node's widgets is at its default, as in the editor."""

    def __init__(self, object_info: dict[str, Any]) -> None:
        self._object_info = object_info
        self.prompt: dict[str, dict[str, Any]] = {}

    def add(self, kind: str, **inputs: Any) -> Node:
        """A node with inputs: values, or outputs of other nodes."""
        spec = self._object_info[kind]["input"]
        defaults = {
            name: details["default"]
            for group in ("required", "optional")
            for name, (_, details) in ((name, (*one, {})[:2]) for name, one in spec.get(group, {}).items())
            if "default" in details
        }
        node = Node(str(len(self.prompt) + 1))
        self.prompt[node.name] = {"class_type": kind, "inputs": defaults | inputs}
        return node


class Studio:
    """A server, and what pictures need of it."""

    def __init__(self, server: ComfyServer, client: Client) -> None:
        self._server = server
        self._client = client
        self._object_info = server.get("/object_info")

    def graph(self) -> Graph:
        """An empty one."""
        return Graph(self._object_info)

    def run(self, graph: Graph) -> Run:
        """Run it. RuntimeError when it fails."""
        run = self._client.run(graph.prompt, seconds=1800)
        if run.status != "success":
            raise RuntimeError(json.dumps(run.error, indent=1)[:4000])
        return run

    def file(self, shown: dict[str, str]) -> Path:
        """The file that an output describes."""
        return self._server.file(shown)

    def look(self, graph: Graph, *links: Link) -> list[list[Picture]]:
        """Run a graph and give the IMAGEs at these links, each as a list of pictures."""
        previews = [graph.add("PreviewImage", images=link) for link in links]
        run = self.run(graph)
        return [
            [Image.open(self.file(shown)).convert("RGB") for shown in run.outputs[preview.name]["images"]]
            for preview in previews
        ]

    def listen(self, graph: Graph, link: Link) -> tuple[np.ndarray, int]:
        """Run a graph and give the AUDIO at a link: samples (N,) and their rate."""
        saved = graph.add("SaveAudio", audio=link, filename_prefix="audio/help")
        run = self.run(graph)
        sound = read_audio(self.file(run.outputs[saved.name]["audio"][0]))
        return sound.samples.mean(axis=0), sound.sample_rate


class Scene:
    """The nodes that most pictures begin with."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.examples = graph.add("EDTalkExampleInputs")
        self.astronaut, self.speech, self.driver, self.man = (self.examples[output] for output in range(4))
        self.model = graph.add("EDTalkLoadModel")[0]

    def portrait(self, image: Link | None = None, **inputs: Any) -> Node:
        """Load Portrait, of the generated man unless told otherwise."""
        return self.graph.add("EDTalkLoadPortrait", model=self.model, image=image or self.man, **inputs)

    def heard(self, **inputs: Any) -> Node:
        """Encode Audio of the speech."""
        return self.graph.add("EDTalkEncodeAudio", audio=self.speech, **inputs)

    def lips(self, heard: Node) -> Link:
        """The lips that say it."""
        return self.graph.add("EDTalkLipFromAudio", model=self.model, features=heard[0])[0]

    def acted(self) -> Node:
        """Weights from Video of the driver."""
        return self.graph.add("EDTalkWeightsFromVideo", model=self.model, video=self.driver)

    def emotion(self, portrait: Link, name: str, strength: float = 1.0) -> Link:
        """Expression Preset."""
        return self.graph.add("EDTalkExpressionPreset", portrait=portrait, emotion=name, strength=strength)[0]

    def frames(self, portrait: Link, fps: float = ANIMATION_FPS, count: int = 0, **inputs: Any) -> Link:
        """Render Frames; so many, or as long as the motion is."""
        if count:
            inputs |= {"length": "frames", "frames": count}
        return self.graph.add("EDTalkRenderFrames", portrait=portrait, fps=fps, **inputs)[0]

    def plot(self, motion: Link, width: int = WIDTH, height: int = 300, **inputs: Any) -> Link:
        """Plot Motion."""
        return self.graph.add("EDTalkPlotMotion", motion=motion, width=width, height=height, **inputs)[0]
