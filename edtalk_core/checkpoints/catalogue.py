"""Catalogue of the published files: contents, repositories, licence, and the local models folder."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from ..errors import ArgumentError
from ..paths import expanded_home

LICENSE = (
    "Published by the authors of EDTalk in the repository tanshuai0219/EDTalk under Apache-2.0, but derived from LIA "
    "(CC BY-NC 4.0) and Wav2Lip (non-commercial use): not cleared for commercial use."
)
"""Licence of the published weights, as far as it is known."""

REPOSITORIES = ("tanshuai0219/EDTalk", "tanhshuai0219/EDTalk")
"""Hugging Face repositories to try, in this order: from the author's answers, and from the README."""

REPOSITORY_VARIABLE = "EDTALK_HUB_REPO"
"""Environment variable for another repository, `owner/name`. (HF_ENDPOINT sets another host.)"""

FOLDERS = ("ckpts/", "")
"""Folders of a repository to search for the files."""


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
"""Names of published models for `load_model` -> their files."""


def published_files(name: str) -> tuple[str, ...]:
    """Files of a model ("edtalk"), or the file of that name ("EDTalk.pt"). Raises ArgumentError for other names."""
    if name in FILES:
        return (name,)
    if name not in MODELS:
        raise ArgumentError(f"There is no published file {name!r}; available are {', '.join((*MODELS, *FILES))}.")
    return MODELS[name]


def repositories(repository: str | None = None) -> tuple[str, ...]:
    """Repositories to download from: `repository`, else $EDTALK_HUB_REPO, else the published ones.

    Raises ArgumentError unless the name is of the form `owner/name`.
    """
    name = repository or os.environ.get(REPOSITORY_VARIABLE)
    if not name:
        return REPOSITORIES
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        raise ArgumentError(f"A Hugging Face repository is named owner/name; {name!r} is not ({REPOSITORY_VARIABLE}).")
    return (name,)


def models_folder() -> Path:
    """Folder for downloaded files: $EDTALK_HOME, else `edtalk` in the platform's user cache folder."""
    home = os.environ.get("EDTALK_HOME")
    if home:
        return expanded_home(home)
    if sys.platform == "win32":
        cache = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        cache = "~/Library/Caches"
    else:
        cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return expanded_home(cache) / "edtalk"
