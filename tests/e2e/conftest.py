"""One ComfyUI server, and one browser, for all tests of this folder that want them."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from comfy_install import NotThere, find_comfyui
from comfy_server import Client, ComfyServer
from front_end import FrontEnd, open_front_end
from graphs import write_speech

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    """ComfyUI with the pack, and in its input folder portrait.jpg, speech.flac (7.2 s) and short.wav (2 s of it)."""
    try:
        install = find_comfyui()
        comfyui = ComfyServer(install, tmp_path_factory.mktemp("comfyui") / "base")
    except NotThere as missing:
        pytest.skip(str(missing))
    for example in ("portrait.jpg", "speech.flac"):
        shutil.copy(ROOT / "weights/examples" / example, comfyui.base / "input")
    shutil.copy(install.checkout / "input/example.png", comfyui.base / "input")  # every ComfyUI has it
    write_speech(comfyui.base / "input/short.wav", 2.0)
    comfyui.start()
    yield comfyui
    comfyui.stop()


@pytest.fixture
def client(server: ComfyServer) -> Iterator[Client]:
    """Somebody who uses the server's API."""
    somebody = Client(server)
    yield somebody
    somebody.close()


@pytest.fixture(scope="session")
def editor(server: ComfyServer) -> Iterator[FrontEnd]:
    """ComfyUI's editor in a browser."""
    with contextlib.ExitStack() as stack:
        try:
            page = stack.enter_context(open_front_end(server))
        except NotThere as missing:
            pytest.skip(str(missing))
        yield page
