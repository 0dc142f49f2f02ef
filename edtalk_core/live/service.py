"""The preview service: frames of what the last run of a node left, on request, without running the graph.

It knows nothing of servers: a request is the parsed JSON of its body, an answer is bytes or JSON, and `Refusal` says
with which HTTP status and sentence a request is refused. Everything in a request is checked, and nothing in it or in an
answer names a place on the disk.
"""

from __future__ import annotations

import io
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from ..errors import EDTalkError
from ..motion.performances import MAX_CHARACTERS, MAX_SECONDS
from ..motion.presets import Preset
from ..rendering import Renderer
from .scenes import EditScene, PerformanceScene, Scene

MAX_BYTES = 1 << 29
"""Bytes that scenes may take in memory, their models included; the last one is kept whatever it takes."""
MAX_CLIENTS = 16
"""Editors of a node whose requests are numbered."""
MAX_ID_CHARACTERS = 200
MAX_NUMBER = 2**53
QUALITY = 95
"""Of JPEG with full colour: a PSNR of over 40 dB to the rendered frame."""

NOTHING_YET = "There is no face to show yet: run the graph once."
BUSY = "The graph is running: the face answers again when it is done."

Key = tuple[str, str]
"""The graph's id and the node's execution id."""


class Refusal(Exception):
    """A request that is not answered: an HTTP status and a sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True)
class Frame:
    """A rendered frame."""

    jpeg: bytes
    handles: str
    """Where the handles are in it: "x,y;x,y", from 0 to 1."""


@dataclass
class _Entry:
    scene: Scene
    newest: OrderedDict[str, int] = field(default_factory=OrderedDict)
    """Number of the newest request of each client."""


class LiveService:
    """Keeps the scenes of the last runs, within MAX_BYTES, and renders frames of them one at a time.

    `busy` tells whether the graph is running; then nothing is rendered. Methods may be called from any thread.
    """

    def __init__(self, busy: Callable[[], bool], limit: int = MAX_BYTES) -> None:
        self.evictions = 0
        """Scenes that were given up for newer ones."""
        self.dropped = 0
        """Requests that were not rendered because a newer one had come."""
        self._busy = busy
        self._limit = limit
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()
        self._lock = threading.Lock()
        """Of the entries."""
        self._rendering = threading.Lock()
        self._renderer: tuple[Scene, torch.device, Renderer] | None = None

    def leave(self, key: Key, scene: Scene) -> None:
        """Keep the scene of a node's run instead of that of its last run, and give up the oldest beyond the limit."""
        with self._lock:
            previous = self._entries.pop(key, None)
            self._entries[key] = _Entry(scene, previous.newest if previous is not None else OrderedDict())
            while len(self._entries) > 1 and self._bytes() > self._limit:
                self._entries.popitem(last=False)
                self.evictions += 1

    def scene(self, key: Key) -> Scene | None:
        """Return the scene that a node's last run left, or None."""
        with self._lock:
            entry = self._entries.get(key)
            return entry.scene if entry is not None else None

    def bytes_held(self) -> int:
        """Bytes that the scenes take in memory, each tensor counted once."""
        with self._lock:
            return self._bytes()

    def _bytes(self) -> int:
        scenes = [entry.scene for entry in self._entries.values()]
        storages = {
            tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
            for scene in scenes
            for tensor in scene.tensors()
        }
        return sum(storages.values()) + sum(scene.extra_bytes for scene in scenes)

    def describe(self, request: object) -> dict[str, Any]:
        """Answer what an editor needs to know of a node: {"graph", "node"} -> `Scene.description`."""
        return self._entry(_checked(request, {})).scene.description()

    def sound(self, request: object) -> bytes:
        """Answer the sound of a performance: {"graph", "node"} -> a WAV file."""
        scene = self._entry(_checked(request, {})).scene
        if not isinstance(scene, PerformanceScene) or scene.sound is None:
            raise Refusal(409, "No sound was plugged in when the graph ran.")
        return scene.sound

    def preset(self, request: object) -> Preset:
        """Answer the expression of an edit as a preset: {"graph", "node", "text", "name"}."""
        checked = _checked(request, {"text": _FRAME["text"], "name": (_is_file_name, "a word of at most 64 letters")})
        scene = self._entry(checked).scene
        if not isinstance(scene, EditScene):
            raise Refusal(400, "Only an edited face can be saved as a preset.")
        try:
            return scene.preset(checked["text"], checked["name"])
        except EDTalkError as error:
            raise Refusal(422, str(error)) from error

    def announce(self, request: object) -> None:
        """Note the number of a request for a frame as it arrives: those before it are out of date from now on."""
        checked = _checked(request, _FRAME)
        newest = self._entry(checked).newest
        with self._lock:
            client, number = checked["client"], checked["number"]
            newest[client] = max(number, newest.pop(client, 0))
            while len(newest) > MAX_CLIENTS:
                newest.popitem(last=False)

    def frame(self, request: object) -> Frame | None:
        """Answer a frame: {"graph", "node", "client", "number", "text", "seconds"}; None for one out of date.

        A client numbers its requests upwards; of those that wait, only the newest is rendered.
        """
        checked = _checked(request, _FRAME)
        entry = self._entry(checked)
        with self._rendering:
            if entry.newest.get(checked["client"], 0) > checked["number"]:
                self.dropped += 1
                return None
            self._refuse_while_busy()
            try:
                with torch.inference_mode():
                    return self._render(entry.scene, checked["text"], checked["seconds"])
            except EDTalkError as error:
                raise Refusal(422, str(error)) from error
            except RuntimeError:
                # A run that began meanwhile moves the model from device to device.
                self._refuse_while_busy()
                raise

    def _refuse_while_busy(self) -> None:
        if self._busy():
            self._renderer = None  # its memory is the run's
            raise Refusal(423, BUSY)

    def _render(self, scene: Scene, text: str, seconds: float) -> Frame:
        from PIL import Image

        motion = scene.motion(text, seconds)
        device = scene.model.device
        if self._renderer is None or self._renderer[0] is not scene or self._renderer[1] != device:
            self._renderer = None
            self._renderer = scene, device, Renderer(scene.model, scene.portrait, precision=scene.precision, batch=1)
        picture = next(self._renderer[2].pictures(motion))
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "JPEG", quality=QUALITY, subsampling=0)
        handles = ";".join(f"{x:.4f},{y:.4f}" for x, y in scene.positions(motion))
        return Frame(file.getvalue(), handles)

    def _entry(self, request: Mapping[str, Any]) -> _Entry:
        with self._lock:
            entry = self._entries.get((request["graph"], request["node"]))
        if entry is None:
            raise Refusal(409, NOTHING_YET)
        return entry


def _identifier(value: object) -> bool:
    return isinstance(value, str) and len(value) <= MAX_ID_CHARACTERS and value.isprintable()


def _is_file_name(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"\w[\w-]{0,63}", value) is not None


def _number(value: object, high: float) -> bool:
    return type(value) in (int, float) and 0 <= value <= high  # type: ignore[operator]


Check = Callable[[object], bool]
_KEY: dict[str, tuple[Check, str]] = {
    "graph": (_identifier, "the graph's id"),
    "node": (lambda value: _identifier(value) and bool(value), "the node's id"),
}
_FRAME: dict[str, tuple[Check, str]] = {
    "client": (lambda value: _identifier(value) and bool(value), "a name of the editor"),
    "number": (lambda value: type(value) is int and 0 <= value < MAX_NUMBER, "a whole number from 0"),
    "text": (lambda value: isinstance(value, str) and len(value) <= MAX_CHARACTERS, "text"),
    "seconds": (lambda value: _number(value, MAX_SECONDS), f"a number from 0 to {MAX_SECONDS:g}"),
}


def _checked(request: object, fields: Mapping[str, tuple[Check, str]]) -> dict[str, Any]:
    """Return a request whose fields are the expected ones, each of its type and size. Raises Refusal otherwise."""
    expected = {**_KEY, **fields}
    if not isinstance(request, dict) or request.keys() != expected.keys():
        raise Refusal(400, f"Expected an object of {', '.join(expected)}.")
    for name, (is_right, description) in expected.items():
        if not is_right(request[name]):
            raise Refusal(400, f"{name} must be {description}.")
    return request
