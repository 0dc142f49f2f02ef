"""Files of the networks that metrics of the paper need and that do not ship: from a folder, or fetched when wanted."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

from ..errors import ArgumentError, DownloadError

logger = logging.getLogger("edtalk")


@dataclass(frozen=True)
class BackboneFile:
    """A published file of weights."""

    name: str
    """Name of the file in the folder."""
    url: str
    """Folder that it is published in."""
    sha256: str = ""
    """Start of its SHA-256, where the publisher states it."""


ALEXNET = BackboneFile("alexnet-owt-7be5be79.pth", "https://download.pytorch.org/models/", "7be5be79")
INCEPTION = BackboneFile(
    "weights-inception-2015-12-05-6726825d.pth",
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/",
    "6726825d",
)
SYNCNET = BackboneFile("syncnet_v2.model", "http://www.robots.ox.ac.uk/~vgg/software/lipsync/data/")
_FACE_API = "https://cdn.jsdelivr.net/npm/face-api.js@0.22.2/weights/"
FACE_API = (
    BackboneFile("face_expression_model-weights_manifest.json", _FACE_API),
    BackboneFile("face_expression_model-shard1", _FACE_API),
)
FILES = (ALEXNET, INCEPTION, SYNCNET, *FACE_API)
"""All files, for a folder that is filled by hand."""


@dataclass(frozen=True)
class Backbones:
    """Where the files are.

    folder: the folder; None: there are none. fetch: download what is missing in it. mirror: a URL to download from
    instead of the publishers'.
    """

    folder: Path | None = None
    fetch: bool = False
    mirror: str = ""

    def path(self, file: BackboneFile) -> Path | None:
        """Path of a file, which is downloaded if it is missing and `fetch` is set; None if it cannot be had.

        A failed download is a warning: the metric is then left out, and its stand-in is measured.
        """
        if self.folder is None:
            return None
        path = self.folder / file.name
        if path.is_file():
            return path
        if not self.fetch:
            return None
        try:
            download_backbone(file, path, self.mirror)
        except DownloadError as error:
            logger.warning("%s", error)
            return None
        return path

    def require(self, file: BackboneFile) -> Path:
        """Path of a file. Raises ArgumentError when it cannot be had."""
        path = self.path(file)
        if path is None:
            raise ArgumentError(f"The network {file.name} is needed: put it into a folder and give --backbones FOLDER.")
        return path


def download_backbone(file: BackboneFile, path: Path, mirror: str = "") -> None:
    """Download a file to `path`, complete or not at all. Raises DownloadError, naming the URL and the folder."""
    import torch.hub

    url = (mirror.rstrip("/") + "/" if mirror else file.url) + file.name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), file.sha256 or None, progress=False)
    except (OSError, URLError, RuntimeError) as error:  # RuntimeError: another hash
        raise DownloadError(
            f"{file.name} could not be downloaded from {url} ({' '.join(str(error).split())}); put it into "
            f"{path.parent} by hand."
        ) from error
