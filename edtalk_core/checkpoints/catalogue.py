"""The published files: what they are, where they are said to lie, and what their licence is known to be."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from ..errors import ArgumentError

LICENSE = (
    "Published by the authors of EDTalk in the repository tanshuai0219/EDTalk under Apache-2.0, but derived from LIA "
    "(CC BY-NC 4.0) and Wav2Lip (non-commercial use): not cleared for commercial use."
)
"""What is known about the licence of the published weights."""

REPOSITORIES = ("tanshuai0219/EDTalk", "tanhshuai0219/EDTalk")
"""Hugging Face repositories to try, in this order: the author's answers name the first, the README the second."""

REPOSITORY_VARIABLE = "EDTALK_HUB_REPO"
"""Environment variable that names another repository, `owner/name`; HF_ENDPOINT names another host."""

FOLDERS = ("ckpts/", "")
"""Folders of a repository in which the files are looked for."""


@dataclass(frozen=True)
class PublishedFile:
    """A file that the authors published."""

    name: str
    about: str


FILES = {
    file.name: file
    for file in (
        PublishedFile("EDTalk.pt", "the whole model: lip, pose and expression (trained on MEAD and HDTF)"),
        PublishedFile("EDTalk_lip_pose.pt", "the model of lip and pose, without expression (trained on HDTF)"),
        PublishedFile("Audio2Lip.pt", "speech to lip weights, for either model"),
    )
}
"""Published files by name."""

MODELS = {"edtalk": ("EDTalk.pt", "Audio2Lip.pt"), "edtalk_lip_pose": ("EDTalk_lip_pose.pt", "Audio2Lip.pt")}
"""Published models by the name that `load_model` takes: the files each is made of."""


def published_files(name: str) -> tuple[str, ...]:
    """File names behind the name of a model ("edtalk") or of a file ("EDTalk.pt"). ArgumentError for another name."""
    if name in FILES:
        return (name,)
    if name not in MODELS:
        raise ArgumentError(f"There is no published file {name!r}; there are {', '.join((*MODELS, *FILES))}.")
    return MODELS[name]


def repositories(repository: str | None = None) -> tuple[str, ...]:
    """Where to look: `repository` if given, else $EDTALK_HUB_REPO, else the published ones.

    Raises ArgumentError unless the name is of the form `owner/name`.
    """
    chosen = repository or os.environ.get(REPOSITORY_VARIABLE)
    if not chosen:
        return REPOSITORIES
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", chosen):
        raise ArgumentError(
            f"A Hugging Face repository is named owner/name; {chosen!r} is not ({REPOSITORY_VARIABLE})."
        )
    return (chosen,)


def models_folder() -> Path:
    """Where downloaded files are kept: $EDTALK_HOME, else `edtalk` in the user's cache folder of the platform."""
    home = os.environ.get("EDTALK_HOME")
    if home:
        return Path(home).expanduser()
    if sys.platform == "win32":
        cache = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        cache = "~/Library/Caches"
    else:
        cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "edtalk"
