"""What a running node shares with ComfyUI: the device, the progress bar, Cancel, and words for the artist."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import comfy.model_management
import comfy.utils
import numpy as np
import torch
from comfy.cli_args import args
from comfy_api import feature_flags
from comfy_api.latest import io
from comfy_execution.progress import get_progress_state
from comfy_execution.utils import get_executing_context
from protocol import BinaryEventTypes
from server import PromptServer

from ..edtalk_core.errors import OutOfMemory
from ..edtalk_core.model import EDTalk
from ..edtalk_core.motion.motion import Motion
from ..edtalk_core.wording import counted
from .language import translated
from .sockets import LoadedModel

if TYPE_CHECKING:
    from PIL import Image

logger = logging.getLogger("edtalk")

Preview: TypeAlias = "tuple[str, Image.Image, int | None]"
"""As ComfyUI sends it: file format, picture, longest side in pixels or None."""

MEMORY_SHARE = 0.9
"""Of the free memory that images may take."""
PREVIEW_SECONDS = 0.5
"""Between two previews: an encoded picture costs about as much as a small frame."""
PREVIEW_ADDRESSEE = "edtalk-preview"
"""The node that previews of a node with a result of its own are sent for; see nodes/web/live_preview.js."""
BAR_STEPS = 1000
"""Of a bar over several stages."""
ESTIMATE_SECONDS = 1.0
"""How long a node must have run before it says how long it will take."""


def on_device(model: LoadedModel, memory: int = 0) -> EDTalk:
    """The model on the device that ComfyUI computes on, other models moved out of its way as need be.

    `memory`: bytes that the computation itself will need.
    """
    # Without force_full_load the tensors of our modules that are no layers of torch's own stay behind on the CPU.
    comfy.model_management.load_models_gpu([model.patcher], memory_required=memory, force_full_load=True)
    return model.edtalk


def tell(text: str) -> None:
    """Show a sentence on the node that runs."""
    context = get_executing_context()
    server = getattr(PromptServer, "instance", None)
    if context is not None and server is not None and text:
        server.send_progress_text(translated(text), context.node_id)


def warn(text: str | None) -> None:
    """Say what went less well than it should, on the node and in the log. Nothing to say: None or empty."""
    if text:
        logger.warning("%s", text)
        tell(f"⚠ {translated(text)}")


def tell_partial(path: Path, frames: int) -> None:
    """Show on the node where the frames lie that were done before it failed or was cancelled."""
    tell(f"{counted(frames, 'frame')} kept in {path}")


def workflow_tags(cls: type[io.ComfyNode]) -> dict[str, str]:
    """What core's savers put into a file: the prompt and the workflow as JSON; nothing if ComfyUI was told not to.

    `cls` is the class as ComfyUI runs it, an output node.
    """
    if args.disable_metadata or cls.hidden is None:
        return {}
    tags = {"prompt": cls.hidden.prompt, **(cls.hidden.extra_pnginfo or {})}
    return {key: json.dumps(value) for key, value in tags.items() if value is not None}


def check_memory(frames: int, width: int, height: int) -> int:
    """Bytes that so many frames take as an IMAGE. OutOfMemory, before any work is done, when there are not as many."""
    needed = frames * width * height * 3 * 4
    free = comfy.model_management.get_free_memory(torch.device("cpu"))
    if needed > MEMORY_SHARE * free:
        raise OutOfMemory(
            f"{counted(frames, 'frame')} of {width}x{height} would take {needed / 1e9:.1f} GB of memory, and "
            f"{free / 1e9:.1f} GB are free. "
            "Render Video needs no more for an hour than for a second; or render a shorter part."
        )
    return needed


def describe(motion: Motion) -> str:
    """A motion in a line for the artist."""
    tracks = ", ".join(motion.tracks)
    if motion.frames == 1:
        return f"{tracks}: a single frame"
    return f"{tracks}: {motion.frames} frames, {motion.duration:.1f} s at {motion.fps:g} fps"


class Progress:
    """The node's progress bar, as the callback that the library wants; Cancel stops the work by raising.

    It says how long the rest will take, and shows a picture now and then if `show` has been given one. What it says
    stays on the node, so `conclude` must follow.

    `unit`: what is shown of the count, in the plural, each of them `size` of what is counted. `ends_with_result`: the
    node shows a picture or video of its own in the end.
    """

    def __init__(self, unit: str = "frames", *, size: int = 1, ends_with_result: bool = False) -> None:
        self.unit = unit
        self.size = size
        self._has_told = False
        self._ends_with_result = ends_with_result
        self._bar: comfy.utils.ProgressBar | None = None
        self._picture: np.ndarray | None = None
        self._started = self._previewed = self._told = time.monotonic()

    def show(self, picture: np.ndarray) -> None:
        """A picture (H,W,3) uint8 that the next update may show."""
        self._picture = picture

    def conclude(self, text: str) -> None:
        """Say what came of the work, in the place of how long it takes; nothing if that was never said.

        A sentence makes a node larger, which is not worth it for what took no time.
        """
        if self._has_told:
            tell(text)

    def __call__(self, done: int, total: int | None) -> None:
        """Tell that `done` of `total` are done (None: nobody knows). Raises InterruptProcessingException on Cancel."""
        comfy.model_management.throw_exception_if_processing_interrupted()
        now = time.monotonic()
        preview = None
        if self._picture is not None and now - self._previewed >= PREVIEW_SECONDS:
            from PIL import Image

            preview = ("JPEG", Image.fromarray(self._picture), None)
            self._previewed = now
            if self._ends_with_result and _send_to_script(preview):
                preview = None
        if self._bar is None:
            self._bar = comfy.utils.ProgressBar(total or done)
        self._bar.update_absolute(done, total or done, preview)
        elapsed = now - self._started
        if total and elapsed >= ESTIMATE_SECONDS and now - self._told >= ESTIMATE_SECONDS:
            self._told = now
            left = elapsed / max(done, 1) * (total - done)
            self._has_told = True
            done, total = done // self.size, total // self.size
            tell(f"{done} of {total} {self.unit}, {done / elapsed:.1f} a second, {_duration(left)} left")


class StagedProgress:
    """One progress bar over the stages of some work, as the callback that the library wants; else as `Progress`.

    `stages`: by name, in their order, what the artist reads of each, and the share of the time that it usually takes.
    A stage may be left out. How long the rest takes is judged by the pace of the stage and, for the stages to come, by
    the time that the earlier ones took.
    """

    def __init__(self, stages: Mapping[str, tuple[str, float]]) -> None:
        self._stages = dict(stages)
        self._bar = comfy.utils.ProgressBar(BAR_STEPS)
        self._stage: str | None = None
        self._passed = 0.0
        self._started = self._stage_started = self._told = time.monotonic()

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        """Tell that `done` of `total` frames are done in a stage. Raises InterruptProcessingException on Cancel."""
        comfy.model_management.throw_exception_if_processing_interrupted()
        now = time.monotonic()
        if stage != self._stage:
            self._passed += self._stages[self._stage][1] if self._stage else 0
            self._stage, self._stage_started = stage, now
        label, share = self._stages[stage]
        fraction = done / total if total else 0.0
        order = list(self._stages)
        ahead = sum(self._stages[name][1] for name in order[order.index(stage) + 1 :])
        whole = sum(usual for _, usual in self._stages.values())
        self._bar.update_absolute(round(BAR_STEPS * (whole - ahead - share * (1 - fraction)) / whole))
        elapsed = now - self._started
        if fraction and elapsed >= ESTIMATE_SECONDS and now - self._told >= ESTIMATE_SECONDS:
            self._told = now
            in_stage = (now - self._stage_started) * (1 - fraction) / fraction
            left = in_stage + ahead * elapsed / (self._passed + share * fraction)
            tell(f"{label}: {done} of {total} frames, {_duration(left)} left in all")


def _send_to_script(preview: Preview) -> bool:
    """Send a preview that nodes/web/live_preview.js shows on the running node; whether the client can take it.

    The editor would go on showing the last preview that it got for the node itself in place of the node's result, and
    load it as a video where the result is one.
    """
    context = get_executing_context()
    server = getattr(PromptServer, "instance", None)
    if context is None or server is None:
        return False
    if not feature_flags.supports_feature(server.sockets_metadata, server.client_id, "supports_preview_metadata"):
        return False
    node = get_progress_state().dynprompt.get_display_node_id(context.node_id)
    metadata = {
        "node_id": node,
        "prompt_id": context.prompt_id,
        "display_node_id": PREVIEW_ADDRESSEE,
        "parent_node_id": None,
        "real_node_id": context.node_id,
    }
    server.send_sync(BinaryEventTypes.PREVIEW_IMAGE_WITH_METADATA, (preview, metadata), server.client_id)
    return True


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
