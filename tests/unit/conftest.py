"""Drawn faces, a store of them, and the names of the published tensors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import drawn_faces
import numpy as np
import pytest


@pytest.fixture(scope="session")
def draw_landmarks() -> Callable[..., np.ndarray]:
    """The landmarks of a drawn face, see `drawn_faces.face_landmarks`."""
    return drawn_faces.face_landmarks


@pytest.fixture(scope="session")
def write_face_clip() -> Callable[..., Path]:
    """Write a prepared clip of a drawn face, see `drawn_faces.write_face_clip`."""
    return drawn_faces.write_face_clip


@pytest.fixture(scope="session")
def face_store(tmp_path_factory: pytest.TempPathFactory, write_face_clip: Callable[..., Path]) -> Path:
    """A folder of prepared clips of drawn faces: four to train on, two of them with an emotion, and two held out."""
    folder = tmp_path_factory.mktemp("store")
    for name, emotion in (("anna", "happy"), ("bert", "sad"), ("cleo", ""), ("dirk", "")):
        write_face_clip(folder, name, emotion=emotion)
    for name in ("eva", "finn"):
        write_face_clip(folder, name, split="holdout")
    return folder


@pytest.fixture(scope="session")
def manifest(shared: Path) -> dict[str, dict]:
    """Names and shapes of the tensors in each published file."""
    return json.loads((shared / "parity" / "manifest.json").read_text())
