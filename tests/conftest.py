"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with parity data, real faces and voices; tests that need it are skipped, loudly, without it."""
    folder = Path(os.environ.get("EDTALK_SHARED", ROOT.parent / "shared"))
    if not (folder / "parity").is_dir():
        pytest.skip(f"needs the shared test data, looked for in {folder} (set EDTALK_SHARED)")
    return folder
