"""What a running node shares with ComfyUI: the device, the progress bar, Cancel, and words for the artist."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable

import comfy.model_management
import comfy.utils
import numpy as np
import torch
from comfy.cli_args import args
from comfy_api.latest import io
from comfy_execution.utils import get_executing_context
from server import PromptServer

from ..edtalk_core.errors import OutOfMemory
from ..edtalk_core.model import EDTalk
from .sockets import LoadedModel

logger = logging.getLogger("edtalk")

MEMORY_SHARE = 0.9
"""Of the free memory that images may take."""
PREVIEW_SECONDS = 0.5
"""Between two previews: an encoded picture costs about as much as a small frame."""
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
        server.send_progress_text(text, context.node_id)


def warn(text: str | None) -> None:
    """Say what went less well than it should, on the node and in the log. Nothing to say: None or empty."""
    if text:
        logger.warning("%s", text)
        tell(f"⚠ {text}")


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
            f"{frames} frames of {width}x{height} take {needed / 1e9:.1f} GB of memory; {free / 1e9:.1f} GB are free. "
            "Render Video needs no more for an hour than for a second; or render a shorter part."
        )
    return needed


class Progress:
    """The node's progress bar, as the callback that the library wants; Cancel stops the work by raising.

    It says how long the rest will take, and shows a picture now and then if `show` has been given one. `unit`: what is
    counted.
    """

    def __init__(self, unit: str = "frames", notice: Callable[[str], None] = tell) -> None:
        self.unit = unit
        self._notice = notice
        self._bar: comfy.utils.ProgressBar | None = None
        self._picture: np.ndarray | None = None
        self._started = self._previewed = self._told = time.monotonic()

    def show(self, picture: np.ndarray) -> None:
        """A picture (H,W,3) uint8 that the next update may show."""
        self._picture = picture

    def __call__(self, done: int, total: int | None) -> None:
        """Tell that `done` of `total` are done (None: nobody knows). Raises InterruptProcessingException on Cancel."""
        comfy.model_management.throw_exception_if_processing_interrupted()
        now = time.monotonic()
        preview = None
        if self._picture is not None and now - self._previewed >= PREVIEW_SECONDS:
            from PIL import Image

            preview = ("JPEG", Image.fromarray(self._picture), None)
            self._previewed = now
        if self._bar is None:
            self._bar = comfy.utils.ProgressBar(total or done)
        self._bar.update_absolute(done, total or done, preview)
        elapsed = now - self._started
        if total and elapsed >= ESTIMATE_SECONDS and now - self._told >= ESTIMATE_SECONDS:
            self._told = now
            left = elapsed / max(done, 1) * (total - done)
            self._notice(f"{done} of {total} {self.unit}, {done / elapsed:.1f} a second, {_duration(left)} left")


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
