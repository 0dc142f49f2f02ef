"""A ComfyUI server, and a browser, for all tests of this folder that want them, for each ComfyUI and front end.

`comfyui` and `server` are there once for each ComfyUI; `editor` once for each front end and renderer. Tests marked
`any_renderer` run with one renderer of each front end.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from comfy_install import RENDERERS, ComfyInstall, NotInstalled, Target, comfy_places, targets
from comfy_server import Client, ComfyServer
from front_end import FrontEnd, open_front_end
from graphs import write_speech

ROOT = Path(__file__).resolve().parents[2]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test on all that it wants. One server or one browser is made only once for all tests that want the same."""
    if "editor" in metafunc.fixturenames:
        any_renderer = metafunc.definition.get_closest_marker("any_renderer") is not None
        choices = [
            (target, renderer) for target in targets() for renderer in (RENDERERS[:1] if any_renderer else RENDERERS)
        ]
        ids = [f"{target.label}-{renderer}" for target, renderer in choices]
        metafunc.parametrize(("server", "editor"), choices, indirect=True, ids=ids, scope="session")
    elif "server" in metafunc.fixturenames:
        own = targets()[: len(comfy_places())]
        ids = [target.place.label for target in own]
        metafunc.parametrize("server", own, indirect=True, ids=ids, scope="session")
    elif "comfyui" in metafunc.fixturenames:
        ids = [place.label for place in comfy_places()]
        metafunc.parametrize("comfyui", comfy_places(), indirect=True, ids=ids, scope="session")


@pytest.fixture(scope="session")
def comfyui(request: pytest.FixtureRequest) -> ComfyInstall:
    """A ComfyUI that is on this machine."""
    try:
        return request.param.find()
    except NotInstalled as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    """ComfyUI with the pack, and in its input folder portrait.jpg, speech.flac (7.2 s) and short.wav (2 s of it)."""
    target: Target = request.param
    try:
        install = target.place.find()
        running = ComfyServer(install, tmp_path_factory.mktemp("comfyui") / "base", target.front_end_root())
    except NotInstalled as missing:
        pytest.skip(str(missing))
    for example in ("portrait.jpg", "speech.flac"):
        shutil.copy(ROOT / "weights/examples" / example, running.base / "input")
    write_speech(running.base / "input/short.wav", 2.0)
    running.start()
    yield running
    running.stop()


@pytest.fixture
def client(server: ComfyServer) -> Iterator[Client]:
    """Somebody who uses the server's API."""
    somebody = Client(server)
    yield somebody
    somebody.close()


@pytest.fixture(scope="session")
def editor(request: pytest.FixtureRequest, server: ComfyServer) -> Iterator[FrontEnd]:
    """ComfyUI's editor in a browser."""
    with contextlib.ExitStack() as stack:
        try:
            page = stack.enter_context(open_front_end(server, request.param))
        except NotInstalled as missing:
            pytest.skip(str(missing))
        yield page
