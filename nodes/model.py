"""Load Model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import comfy.model_management
import folder_paths
import torch
from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io

from ..edtalk_core.checkpoints.catalogue import MODELS, models_folder
from ..edtalk_core.checkpoints.download import download
from ..edtalk_core.checkpoints.loading import load_model
from ..edtalk_core.errors import UnsupportedCheckpoint
from ..edtalk_core.model import EDTalk
from .execution import Progress, show_status
from .schema import advanced, search_words
from .sockets import LoadedModel, ModelSocket

MODELS_FOLDER = "edtalk"
MODEL_EXTENSIONS = {".safetensors", ".pt", ".pth"}

DEMO = "demo (built in)"
PUBLISHED = {"EDTalk (lip, pose, expression)": "edtalk", "EDTalk lip+pose": "edtalk_lip_pose"}
"""Entries of the list that do not depend on files on disk: a shared workflow must load before the download."""
AUDIO_TO_LIP_FILE = "Audio2Lip.pt"


class ModelHolder(torch.nn.Module):
    """The module that ComfyUI's ModelPatcher manages: it sets `device`, a read-only property of EDTalk itself."""

    def __init__(self, edtalk: EDTalk) -> None:
        super().__init__()
        self.edtalk = edtalk


class LoadModel(io.ComfyNode):
    """Load a built-in, published or own model."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        published_files = {file for files in MODELS.values() for file in files}
        all_files = folder_paths.get_filename_list(MODELS_FOLDER)
        own_files = [name for name in all_files if Path(name).name not in published_files]
        return io.Schema(
            node_id="EDTalkLoadModel",
            display_name="EDTalk Load Model",
            **search_words("talking head model, talking head, checkpoint, weights", "说话头像, 加载模型, 模型权重"),
            category="EDTalk",
            description="Loads an EDTalk model: the built-in demo model, a published one (fetched when it is used for "
            "the first time), or a file from models/edtalk.",
            inputs=[
                io.Combo.Input(
                    "model",
                    options=[DEMO, *PUBLISHED, *own_files],
                    default=DEMO,
                    tooltip="demo: small, comes with the pack, non-commercial. EDTalk: the published weights, about "
                    "1 GB, fetched into models/edtalk on first use (not cleared for commercial use). Others: files of "
                    "yours in models/edtalk.",
                ),
                advanced(
                    io.Combo.Input(
                        "precision",
                        options=["auto", "fp32", "bf16", "fp16"],
                        default="auto",
                        tooltip="The number format that frames are computed in. auto: by what your device can do, the "
                        "same on every run; the log says what and why. fp32: exact, slower; for frames that "
                        "come out black or blotchy.",
                    )
                ),
            ],
            outputs=[
                ModelSocket.Output("edtalk_model", display_name="model", tooltip="The model, managed by ComfyUI.")
            ],
        )

    @classmethod
    def execute(cls, model: str, precision: str) -> io.NodeOutput:
        files = _files(model)
        edtalk = load_model(*files)
        audio_to_lip_file = folder_paths.get_full_path(MODELS_FOLDER, AUDIO_TO_LIP_FILE)
        if edtalk.audio_to_lip is None and audio_to_lip_file is not None:
            edtalk = load_model(*files, audio_to_lip_file)
        patcher = ModelPatcher(
            ModelHolder(edtalk),
            load_device=comfy.model_management.get_torch_device(),
            offload_device=comfy.model_management.unet_offload_device(),
        )
        return io.NodeOutput(LoadedModel(patcher, model, precision))

    @classmethod
    def validate_inputs(cls, model: str | None = None) -> bool | str:
        """Accept any existing file: the list in a shared workflow is another machine's. None is a link."""
        if model is None or model in (DEMO, *PUBLISHED) or _own_file(model) is not None:
            return True
        return _missing_model_message(model)

    @classmethod
    def fingerprint_inputs(cls, model: str, **_: Any) -> str:
        """Change when an own model file does, so that it is loaded again."""
        path = _own_file(model)
        return f"{model} {path.stat().st_mtime_ns}" if path else model


def _files(model: str) -> list[Path | str]:
    """Return the files of a list entry, downloading published ones as necessary."""
    if model == DEMO:
        return ["demo"]
    if model in PUBLISHED:
        return [_published_file(name) for name in MODELS[PUBLISHED[model]]]
    path = _own_file(model)
    if path is None:
        raise UnsupportedCheckpoint(_missing_model_message(model))
    return [path]


def _own_file(model: str) -> Path | None:
    """Return an own file in models/edtalk, or None. A prompt may hold anything, such as a name that is not a string."""
    path = folder_paths.get_full_path(MODELS_FOLDER, model) if isinstance(model, str) else None
    return Path(path) if path is not None else None


def _missing_model_message(model: str) -> str:
    folders = ", ".join(folder_paths.get_folder_paths(MODELS_FOLDER))
    return f"The model {model} is not on this machine; put the file into {folders}, or choose another."


def _published_file(name: str) -> Path:
    """Find a published file in ComfyUI's folders or the library's own, or download it into ComfyUI's."""
    for path in (folder_paths.get_full_path(MODELS_FOLDER, name), models_folder() / name):
        if path is not None and Path(path).is_file():
            return Path(path)
    show_status(f"Fetching {name} ...")
    path = download(name, folder_paths.get_folder_paths(MODELS_FOLDER)[0], progress=Progress("MB", size=1_000_000))
    show_status(f"Fetched {name}")
    return path
