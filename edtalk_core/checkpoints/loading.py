"""Loading of models from files or names."""

from __future__ import annotations

import logging
from pathlib import Path

import torch

from ..builtin_files import builtin_file
from ..errors import ArgumentError, UnsupportedCheckpoint
from ..model import EDTalk
from ..paths import expanded_home
from ..progress import Progress
from .bundle import merge
from .catalogue import FILES, MODELS, models_folder
from .download import check_hash, download
from .metadata import read_bases, read_fps, read_presets
from .reading import read_checkpoint

logger = logging.getLogger("edtalk")


def load_model(
    *paths: str | Path,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    progress: Progress | None = None,
) -> EDTalk:
    """Load a model from one or several files: `load_model("EDTalk.pt", "Audio2Lip.pt")`. Returned in evaluation mode.

    Each of `paths` is a file (.pt, .pth, .safetensors), relative to the working directory or the models folder, or a
    name: "demo" (the built-in weights), "edtalk" or "edtalk_lip_pose" (the published models with Audio2Lip, downloaded
    unless their files exist in the working directory or the models folder). `progress` is called with the downloaded
    and total bytes of a file.

    The model's parts (`audio_to_lip`, `pose_flow`), `presets`, `bases` and `fps` come from the files; the published
    model has eight expression presets. Weights are converted to `dtype` on `device`, those of parts to float32 at
    least, and are independent of the files afterwards.

    Raises UnsupportedCheckpoint (see `read_checkpoint`, `recognise`), DownloadError, and ArgumentError for no path, for
    two files with the same network, and for a device or dtype that cannot be used.
    """
    if not paths:
        raise ArgumentError('load_model needs a file or a name, such as "demo", "edtalk" or EDTalk.pt.')
    if not dtype.is_floating_point:
        raise ArgumentError(f"A model's dtype must be floating point, not {dtype}.")
    try:
        torch.zeros(1, device=device).cpu()  # devices without numbers, such as meta, fail here
    except Exception as error:  # missing drivers make torch raise almost anything
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ArgumentError(f"The device {str(device)!r} cannot be used here ({reason}); try cpu.") from error

    # Without duplicates: "edtalk" together with Audio2Lip.pt names the same file twice.
    files = {file.resolve(): file for path in paths for file in _locate(str(path), progress)}
    checkpoints = [read_checkpoint(file) for file in files.values()]
    for checkpoint in checkpoints:
        check_hash(checkpoint)
    tensors, metadata = merge(checkpoints)

    source = ", ".join(file.name for file in files.values())
    model = EDTalk.from_state_dict(tensors, source, device=device, dtype=dtype)
    model.presets = read_presets(metadata, model.sizes, source)
    model.bases = read_bases(metadata, model.sizes, source)
    model.fps = read_fps(metadata, source)
    return model


def local_files(name: str) -> list[Path]:
    """The files on this machine that `load_model` reads for a path or a name, without downloading any."""
    if name == "demo":
        return [builtin_file("demo.safetensors")]
    if name in MODELS:
        return [file for part in MODELS[name] for file in local_files(part)]
    return next(([path] for path in (expanded_home(name), models_folder() / name) if path.exists()), [])


def _locate(name: str, progress: Progress | None) -> list[Path]:
    """Find the files of a path or a name; missing published files are downloaded."""
    if name in MODELS:
        return [file for part in MODELS[name] for file in _locate(part, progress)]
    if files := local_files(name):
        return files
    if name in FILES:
        logger.info("%s is not on disk; downloading it", name)
        return [download(name, progress=progress)]
    raise UnsupportedCheckpoint(
        f"There is no file {name}, nor {models_folder() / name}. Names of built-in and published models: demo, "
        f"{', '.join(MODELS)}."
    )
