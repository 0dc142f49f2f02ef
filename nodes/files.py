"""Motions and presets in ComfyUI's folders: which there are, where one lies, and what the next is called."""

from __future__ import annotations

import os
from pathlib import Path

import folder_paths
from comfy_api.latest import io, ui

from ..edtalk_core.errors import ArgumentError, MotionError
from .model import MODELS_FOLDER

FROM_PATH = "from path"
"""The entry of the list that is always there, so that it is never empty: the file is told by its path."""

OUTPUT, MODELS = " [output]", " [models]"
"""What the names of files end in that do not lie in ComfyUI's input folder; [output] is core's own convention."""


def list_files(folder: str, extensions: set[str]) -> list[str]:
    """What can be chosen: FROM_PATH, then files of the input folder, of output/`folder` and of models/edtalk/`folder`.

    The input folder itself is listed, as core's loaders do; the others with what is below them.
    """
    inputs = folder_paths.get_input_directory()
    names = sorted(
        name
        for name in (os.listdir(inputs) if os.path.isdir(inputs) else [])
        if Path(name).suffix.lower() in extensions and os.path.isfile(os.path.join(inputs, name))
    )
    for root, ending in [(folder_paths.get_output_directory(), OUTPUT), *((root, MODELS) for root in _model_folders())]:
        below = Path(root, folder)
        found = sorted(path for path in below.rglob("*") if path.suffix.lower() in extensions and path.is_file())
        names += [path.relative_to(root).as_posix() + ending for path in found]
    return list(dict.fromkeys([FROM_PATH, *names]))


def check_listed(name: str | None, what: str) -> bool | str:
    """For `validate_inputs`: whether the file of an entry of the list is there, else what to say. None is a link.

    ComfyUI would only look it up in the list, and tell an artist who was sent a workflow that a "value is not in list".
    """
    # Prompts may hold anything, names that are no texts as well.
    if name is None or name == FROM_PATH or (isinstance(name, str) and _find_listed(name) is not None):
        return True
    return _missing(name, what)


def _find_listed(name: str) -> Path | None:
    if name.endswith(MODELS):
        candidates = [Path(root, name.removesuffix(MODELS)) for root in _model_folders()]
    else:
        candidates = [Path(folder_paths.get_annotated_filepath(name))]
    return next((path for path in candidates if path.is_file()), None)


def find_file(name: str, path: str, what: str) -> Path:
    """The file that was chosen, or typed as a path where FROM_PATH was chosen.

    A relative path is one below ComfyUI's output or input folder. `what` is wanted, for messages: "motion file". Raises
    ArgumentError when nothing was chosen, MotionError when it is not there.
    """
    if name != FROM_PATH:
        found = _find_listed(name)
        if found is None:
            raise MotionError(_missing(name, what))
        return found
    typed = path.strip().strip('"')
    if not typed:
        raise ArgumentError(f'Choose a {what}, or give the path of one where "{FROM_PATH}" is chosen.')
    roots = [folder_paths.get_output_directory(), folder_paths.get_input_directory()]
    candidates = [Path(root, os.path.expanduser(typed)) for root in roots]  # an absolute path replaces the root
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    looked_for = " or ".join(dict.fromkeys(map(str, candidates)))
    raise MotionError(f"There is no {what} {looked_for}; check the path.")


def _missing(name: str, what: str) -> str:
    return (
        f"The {what} {name!r} is not on this machine. Put it into ComfyUI's input folder and choose it again, or "
        "choose another."
    )


def fingerprint(name: str, path: str | None) -> str:
    """Changes when the file does. A path that is plugged in is None."""
    if name == FROM_PATH and path is None:
        return name
    try:
        found = find_file(name, path or "", "file")
        return f"{found} {found.stat().st_mtime_ns}"
    except (ArgumentError, MotionError, OSError):
        return f"{name} {path}"


def next_file(prefix: str, extension: str, size: tuple[int, int] = (0, 0)) -> tuple[Path, ui.SavedResult]:
    """The next free file of this name below the output folder, and what the server tells of it once it is written.

    `size`: what %width% and %height% in the name stand for. Raises ArgumentError for a name that leads out of the
    output folder, or that no file can have.
    """
    output = folder_paths.get_output_directory()
    try:
        folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(prefix, output, *size)
    except Exception as refused:  # ComfyUI raises no narrower one
        raise ArgumentError(
            f"Nothing can be saved as {prefix!r}: give a name, or folders and a name, below ComfyUI's output folder "
            f"{output}."
        ) from refused
    file = f"{name}_{counter:05}_.{extension}"
    return Path(folder, file), ui.SavedResult(file, subfolder, io.FolderType.output)


def _model_folders() -> list[str]:
    return folder_paths.get_folder_paths(MODELS_FOLDER)
