"""Motion and preset files in ComfyUI's folders: listing, finding and naming them."""

from __future__ import annotations

import os
from pathlib import Path

import folder_paths
from comfy_api.latest import io, ui

from ..edtalk_core.errors import ArgumentError, MotionError
from .model import MODELS_FOLDER

FROM_PATH = "from path"
"""The list's first entry, so that it is never empty: the file is named by the input `path`."""

OUTPUT, MODELS = " [output]", " [models]"
"""Suffixes of list entries for files outside ComfyUI's input folder; [output] is ComfyUI's own convention."""


def list_files(folder: str, extensions: set[str]) -> list[str]:
    """List FROM_PATH, then files of the input folder, of output/`folder` and of models/edtalk/`folder`.

    The input folder is listed without its subfolders, as ComfyUI's own loaders do; the others with theirs.
    """
    inputs = folder_paths.get_input_directory()
    names = sorted(
        name
        for name in (os.listdir(inputs) if os.path.isdir(inputs) else [])
        if Path(name).suffix.lower() in extensions and os.path.isfile(os.path.join(inputs, name))
    )
    for root, suffix in [(folder_paths.get_output_directory(), OUTPUT), *((root, MODELS) for root in _model_folders())]:
        subfolder = Path(root, folder)
        paths = sorted(path for path in subfolder.rglob("*") if path.suffix.lower() in extensions and path.is_file())
        names += [path.relative_to(root).as_posix() + suffix for path in paths]
    return list(dict.fromkeys([FROM_PATH, *names]))


def check_listed(name: str | None, kind: str) -> bool | str:
    """Return True if the file of a list entry exists, else an error message; for `validate_inputs`. None is a link.

    By default ComfyUI compares with its list, and answers a workflow from another machine with "value not in list".
    """
    # A prompt may hold anything, such as a name that is not a string.
    if name is None or name == FROM_PATH or (isinstance(name, str) and _find_listed(name) is not None):
        return True
    return _missing_file_message(name, kind)


def _find_listed(name: str) -> Path | None:
    if name.endswith(MODELS):
        candidates = [Path(root, name.removesuffix(MODELS)) for root in _model_folders()]
    else:
        candidates = [Path(folder_paths.get_annotated_filepath(name))]
    return next((path for path in candidates if path.is_file()), None)


def find_file(name: str, path: str, kind: str) -> Path:
    """Return the path of a list entry's file, or of `path` where the entry is FROM_PATH.

    A relative path is searched below ComfyUI's output and input folders. `kind` names the file in messages, such as
    "motion file". Raises ArgumentError when no file is chosen, MotionError when it does not exist.
    """
    if name != FROM_PATH:
        file = _find_listed(name)
        if file is None:
            raise MotionError(_missing_file_message(name, kind))
        return file
    typed_path = path.strip().strip('"')
    if not typed_path:
        raise ArgumentError(f'Choose a {kind}, or give the path of one where "{FROM_PATH}" is chosen.')
    roots = [folder_paths.get_output_directory(), folder_paths.get_input_directory()]
    candidates = [Path(root, os.path.expanduser(typed_path)) for root in roots]  # an absolute path replaces the root
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    locations = " or ".join(dict.fromkeys(map(str, candidates)))
    raise MotionError(f"There is no {kind} {locations}; check the path.")


def _missing_file_message(name: str, kind: str) -> str:
    return (
        f"The {kind} {name!r} is not on this machine. Put it into ComfyUI's input folder and choose it again, or "
        "choose another."
    )


def fingerprint(name: str, path: str | None) -> str:
    """Return a text that changes when the file does. A path that comes over a link is None."""
    if name == FROM_PATH and path is None:
        return name
    try:
        file = find_file(name, path or "", "file")
        return f"{file} {file.stat().st_mtime_ns}"
    except (ArgumentError, MotionError, OSError):
        return f"{name} {path}"


LONGEST_NAME = 200
"""Bytes of a file's name: file systems take 255, and the name of an unfinished file is longer than the final one."""


def next_file(prefix: str, extension: str, size: tuple[int, int] = (0, 0)) -> tuple[Path, ui.SavedResult]:
    """Return the next free numbered file of a prefix below the output folder, and its entry for the node's `ui` output.

    `size`: values of %width% and %height% in the prefix. Raises ArgumentError for a prefix outside the output folder or
    with a NUL character or a name that is too long for a file.
    """
    output = folder_paths.get_output_directory()
    try:
        if "\0" in prefix:
            raise ValueError("file names cannot have a NUL character")  # ComfyUI does not always notice
        folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(prefix, output, *size)
    except Exception as error:  # ComfyUI raises no narrower class
        raise ArgumentError(
            f"Nothing can be saved as {prefix!r}: give a name, or folders and a name, below ComfyUI's output folder "
            f"{output}."
        ) from error
    file = f"{name}_{counter:05}_.{extension}"
    if len(os.fsencode(file)) > LONGEST_NAME:
        raise ArgumentError(
            f"The file name {name[:20]}... is too long: shorten the filename_prefix to {LONGEST_NAME - 20} characters."
        )
    return Path(folder, file), ui.SavedResult(file, subfolder, io.FolderType.output)


def _model_folders() -> list[str]:
    return folder_paths.get_folder_paths(MODELS_FOLDER)
