"""Motion and preset files in ComfyUI's folders: listing, finding and naming them.

A workflow may be a stranger's, and the server may be another's: what a node reads lies below ComfyUI's input, output,
temp or models/edtalk folders, or below a folder that the server's owner names in EXTRA_FOLDERS, after links are
resolved; what it writes lies below the output folder. Of any other place nothing is told, not even whether a file is
there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

import folder_paths
from comfy_api.latest import io, ui

from ..edtalk_core.emotion.text import BUILT_IN
from ..edtalk_core.errors import ArgumentError, MotionError
from .model import MODELS_FOLDER

FROM_PATH = "from path"
"""The list's first entry, so that it is never empty: the file is named by the input `path`."""

OUTPUT, MODELS = " [output]", " [models]"
"""Suffixes of list entries for files outside ComfyUI's input folder; [output] is ComfyUI's own convention."""


EXTRA_FOLDERS = "EDTALK_EXTRA_FOLDERS"
"""Environment variable of the server: further folders to read from, separated as in PATH. / allows every file."""


def list_files(folder: str, extensions: set[str]) -> list[str]:
    """List FROM_PATH, then files of the input folder, of output/`folder` and of models/edtalk/`folder`.

    The input folder is listed without its subfolders, as ComfyUI's own loaders do; the others with theirs.
    """
    inputs = folder_paths.get_input_directory()
    names = sorted(
        name
        for name in (os.listdir(inputs) if os.path.isdir(inputs) else [])
        if Path(name).suffix.lower() in extensions and _readable_file(os.path.join(inputs, name))
    )
    for root, suffix in [(folder_paths.get_output_directory(), OUTPUT), *((root, MODELS) for root in _model_folders())]:
        subfolder = Path(root, folder)
        paths = sorted(
            path for path in subfolder.rglob("*") if path.suffix.lower() in extensions and _readable_file(path)
        )
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
        roots: Iterable[str] = _model_folders()
        name = name.removesuffix(MODELS)
    else:
        name, folder = folder_paths.annotated_filepath(name)
        roots = [folder or folder_paths.get_input_directory()]
    # The rest is a name below a folder, and no absolute path, which would replace the folder.
    candidates = (_readable_file(os.path.join(root, name)) for root in roots if not os.path.isabs(name))
    return next(filter(None, candidates), None)


def find_file(name: str, path: str, kind: str) -> Path:
    """Return the path of a list entry's file, or of `path` where the entry is FROM_PATH, without links.

    A relative path is searched below ComfyUI's output and input folders. `kind` names the file in messages, such as
    "motion file". Raises ArgumentError when no file is chosen or `path` is not below a folder that may be read,
    MotionError when the file does not exist.
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
    # The home of another user is not looked up: that would tell who has an account.
    own_home = typed_path.startswith(("~/", "~" + os.sep))
    # An absolute path replaces the root.
    candidates = [os.path.join(root, os.path.expanduser(typed_path) if own_home else typed_path) for root in roots]
    for candidate in candidates:
        file = _readable_file(candidate)
        if file is not None:
            return file
    allowed = [candidate for candidate in candidates if _resolved(candidate, _readable_folders()) is not None]
    if not allowed:
        raise ArgumentError(
            f"The {kind} {typed_path!r} is outside ComfyUI's input, output, temp and models/{MODELS_FOLDER} folders, "
            f"so it is not looked for. Copy it into one of them, or let the server's owner name its folder in the "
            f"environment variable {EXTRA_FOLDERS}."
        )
    locations = " or ".join(dict.fromkeys(allowed))
    raise MotionError(f"There is no {kind} {locations}; check the path.")


def find_text_model(name: str) -> str:
    """Return a text model by its name in a node: "built-in", a file or folder that may be read, or an id of Hugging
    Face such as owner/model.

    A relative path is searched below models/edtalk. Raises ArgumentError for anything else.
    """
    name = name.strip().strip('"')
    return BUILT_IN if name in ("", BUILT_IN) else find_hugging_face_model(name, "text model", f", or {BUILT_IN}")


def find_hugging_face_model(name: str, kind: str, otherwise: str = "") -> str:
    """Return a model by its name in a node: a file or folder that may be read, or an id of Hugging Face.

    A relative path is searched below models/edtalk. `kind` is the model in messages, `otherwise` what else is valid.
    Raises ArgumentError for anything else.
    """
    name = name.strip().strip('"')
    for root in _model_folders():
        path = _resolved(os.path.join(root, name), _readable_folders())  # an absolute path replaces the root
        if path is not None and path.exists():
            return str(path)
    if re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", name):
        return name
    raise ArgumentError(
        f"There is no {kind} {name!r}: give the name of a folder in ComfyUI's models/{MODELS_FOLDER}, or an id of "
        f"Hugging Face such as owner/model{otherwise}."
    )


def _readable_folders() -> list[str]:
    """Folders whose files a workflow may read."""
    extra = os.environ.get(EXTRA_FOLDERS, "").split(os.pathsep)
    return [
        folder_paths.get_input_directory(),
        folder_paths.get_output_directory(),
        folder_paths.get_temp_directory(),
        *_model_folders(),
        *(os.path.expanduser(folder) for folder in extra if folder.strip()),
    ]


def _readable_file(path: str | Path) -> Path | None:
    """Return an existing file without links if it may be read, else None."""
    resolved = _resolved(path, _readable_folders())
    return resolved if resolved is not None and os.path.isfile(resolved) else None


def _resolved(path: str | Path, folders: Iterable[str]) -> Path | None:
    """Return a path without links if it is below one of the folders, else None.

    The path as it is written is compared first, so that a place outside is not even touched: on Windows, looking at a
    network path sends the user's credentials there.
    """
    written = Path(os.path.abspath(path))
    roots = {os.path.realpath(folder): os.path.abspath(folder) for folder in folders}
    if not any(written.is_relative_to(root) for pair in roots.items() for root in pair):
        return None
    try:
        resolved = Path(os.path.realpath(written))
    except (OSError, ValueError):  # a name that no file system takes, so no link either
        return written
    return resolved if any(resolved.is_relative_to(root) for root in roots) else None


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
        if _resolved(os.path.join(output, prefix), [output]) is None:
            raise ValueError("links may lead out of the folder")  # which ComfyUI does not notice, and makes folders
        folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(prefix, output, *size)
        if _resolved(folder, [output]) is None:
            raise ValueError("links may lead out of the folder")  # by the date, say, in place of %year%
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
