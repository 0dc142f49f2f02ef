"""Adapters of a running node to ComfyUI: device, memory, progress bar, Cancel, status text and previews."""

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
from ..edtalk_core.wording import cleaned, counted
from .language import translate
from .sockets import LoadedModel

if TYPE_CHECKING:
    from PIL import Image

logger = logging.getLogger("edtalk")

Preview: TypeAlias = "tuple[str, Image.Image, int | None]"
"""A preview as ComfyUI sends it: file format, picture, longest side in pixels or None."""

MEMORY_SHARE = 0.9
"""Largest share of the free memory that images may take."""
PREVIEW_SECONDS = 0.5
"""Least time between two previews: encoding one costs about as much as rendering a small frame."""
PREVIEW_ADDRESSEE = "edtalk-preview"
"""Display node id that live previews are sent to, for nodes that end with a video; see nodes/web/live_preview.js."""
NOTICE_EVENT = "edtalk.notice"
"""Type of the messages that nodes/web/edtalk.js shows in a corner of the editor."""
BAR_STEPS = 1000
"""Resolution of a progress bar over several stages."""
ESTIMATE_SECONDS = 1.0
"""Running time after which a node shows an estimate, and least time between two estimates."""


def on_device(model: LoadedModel, memory: int = 0) -> EDTalk:
    """Load the model onto ComfyUI's compute device and return it; ComfyUI offloads other models as necessary.

    `memory`: bytes that the computation itself will need.
    """
    # Without force_full_load, tensors of modules that are not torch's own layers would stay on the CPU.
    comfy.model_management.load_models_gpu([model.patcher], memory_required=memory, force_full_load=True)
    return model.edtalk


def show_status(text: str) -> None:
    """Show a sentence on the running node, in the editor's language. Recent editors drop it at the end of the run."""
    context = get_executing_context()
    server = getattr(PromptServer, "instance", None)
    if context is not None and server is not None and text:
        server.send_progress_text(cleaned(translate(text)), context.node_id)


def show_notice(text: str, severity: str) -> None:
    """Show a sentence in a corner of the editor for some seconds, even after the run; `severity`: "info" or "warn"."""
    context = get_executing_context()
    server = getattr(PromptServer, "instance", None)
    if context is not None and server is not None and server.client_id is not None:
        notice = {"node": context.node_id, "text": translate(text), "severity": severity}
        server.send_sync(NOTICE_EVENT, notice, server.client_id)


def warn(text: str | None) -> None:
    """Show a warning on the running node and in a notice, and log it; nothing if the text is None or empty."""
    if text:
        logger.warning("%s", text)
        show_status(f"⚠ {translate(text)}")
        show_notice(text, "warn")


def show_partial_file(path: Path, frames: int) -> None:
    """Show on the node and in a notice where the frames are that were written before it failed or was cancelled."""
    text = f"{counted(frames, 'frame')} kept in {path}"
    show_status(text)
    show_notice(text, "info")


def workflow_tags(cls: type[io.ComfyNode]) -> dict[str, str]:
    """Return the metadata that ComfyUI's own save nodes write: prompt and workflow as JSON.

    Empty under `--disable-metadata`. `cls` is the class as ComfyUI runs it, an output node.
    """
    if args.disable_metadata or cls.hidden is None:
        return {}
    tags = {"prompt": cls.hidden.prompt, **(cls.hidden.extra_pnginfo or {})}
    return {key: json.dumps(value) for key, value in tags.items() if value is not None}


def check_memory(frames: int, width: int, height: int) -> int:
    """Return the bytes that frames take as an IMAGE. Raises OutOfMemory, before any work, if they do not fit."""
    required = frames * width * height * 3 * 4
    free = comfy.model_management.get_free_memory(torch.device("cpu"))
    if required > MEMORY_SHARE * free:
        raise OutOfMemory(
            f"{counted(frames, 'frame')} of {width}x{height} would take {required / 1e9:.1f} GB of memory, and "
            f"{free / 1e9:.1f} GB are free. "
            "Render Video needs no more for an hour than for a second; or render a shorter part."
        )
    return required


def describe(motion: Motion) -> str:
    """Summarise a motion in one line: tracks, frames, seconds, frame rate."""
    tracks = ", ".join(motion.tracks)
    if motion.frames == 1:
        return f"{tracks}: a single frame"
    return f"{tracks}: {motion.frames} frames, {motion.duration:.1f} s at {motion.fps:g} fps"


class Progress:
    """The node's progress bar as a progress callback of the library; Cancel stops the work by raising.

    Shows the time left, and the picture last passed to `show` as a preview. The status text stays on the node, so
    replace it with `conclude` when the work is done.

    `unit`: plural name of the unit that is shown, each `size` of the counted things. `ends_with_result`: the node ends
    with a picture or video of its own, which previews must not replace.
    """

    def __init__(self, unit: str = "frames", *, size: int = 1, ends_with_result: bool = False) -> None:
        self.unit = unit
        self.size = size
        self._estimate_shown = False
        self._ends_with_result = ends_with_result
        self._bar: comfy.utils.ProgressBar | None = None
        self._picture: np.ndarray | None = None
        self._started = self._previewed = self._last_estimate = time.monotonic()

    def show(self, picture: np.ndarray) -> None:
        """Set the picture (H,W,3) uint8 that the next update may show as a preview."""
        self._picture = picture

    def conclude(self, text: str) -> None:
        """Replace the time left by a summary of the result; nothing if the time left was never shown.

        Text makes a node larger, which is not worth it for work that took no time.
        """
        if self._estimate_shown:
            show_status(text)

    def __call__(self, done: int, total: int | None) -> None:
        """Report `done` of `total` (None: unknown). Raises InterruptProcessingException on Cancel."""
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
        if total and elapsed >= ESTIMATE_SECONDS and now - self._last_estimate >= ESTIMATE_SECONDS:
            self._last_estimate = now
            seconds_left = elapsed / max(done, 1) * (total - done)
            self._estimate_shown = True
            done, total = done // self.size, total // self.size
            show_status(f"{done} of {total} {self.unit}, {done / elapsed:.1f} a second, {_duration(seconds_left)} left")


class StagedProgress:
    """One progress bar over several stages, as a progress callback of the library; see `Progress`.

    `stages`: name -> (label on the node, usual share of the time), in order. Stages may be skipped. The time left is
    estimated from the pace of the current stage and, for later stages, from the time that the earlier ones took.
    """

    def __init__(self, stages: Mapping[str, tuple[str, float]]) -> None:
        self._stages = dict(stages)
        self._bar = comfy.utils.ProgressBar(BAR_STEPS)
        self._stage: str | None = None
        self._finished_share = 0.0
        self._started = self._stage_started = self._last_estimate = time.monotonic()

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        """Report `done` of `total` frames of a stage (None: unknown). Raises InterruptProcessingException on Cancel."""
        comfy.model_management.throw_exception_if_processing_interrupted()
        now = time.monotonic()
        if stage != self._stage:
            self._finished_share += self._stages[self._stage][1] if self._stage else 0
            self._stage, self._stage_started = stage, now
        label, share = self._stages[stage]
        fraction = done / total if total else 0.0
        order = list(self._stages)
        later_share = sum(self._stages[name][1] for name in order[order.index(stage) + 1 :])
        total_share = sum(usual_share for _, usual_share in self._stages.values())
        done_share = total_share - later_share - share * (1 - fraction)
        self._bar.update_absolute(round(BAR_STEPS * done_share / total_share))
        elapsed = now - self._started
        if fraction and elapsed >= ESTIMATE_SECONDS and now - self._last_estimate >= ESTIMATE_SECONDS:
            self._last_estimate = now
            stage_left = (now - self._stage_started) * (1 - fraction) / fraction
            seconds_left = stage_left + later_share * elapsed / (self._finished_share + share * fraction)
            show_status(f"{label}: {done} of {total} frames, {_duration(seconds_left)} left in all")


def _send_to_script(preview: Preview) -> bool:
    """Send a preview for nodes/web/live_preview.js to show on the running node; return whether the client accepts it.

    A preview sent for the node itself would replace the node's result in the editor, and be loaded as a video where the
    result is one.
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
