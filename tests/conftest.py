"""Shared fixtures, options, and the three tiers of tests: unit, comfy (in ComfyUI's Python) and e2e (its server)."""

from __future__ import annotations

import importlib
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import comfy_tier
import pytest

ROOT = Path(__file__).resolve().parents[1]
TIERS = ("unit", "comfy", "e2e")
CORE = "comfyui_edtalk.edtalk_core" if comfy_tier.inside() else "edtalk_core"
"""The library's name in this process: it must not be imported under two names."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the tests against ComfyUI."""
    group = parser.getgroup("edtalk")
    group.addoption(
        "--snapshot",
        action="store_true",
        help="write the nodes' inputs and outputs into tests/data/object_info.json, unless that breaks saved workflows",
    )
    group.addoption("--long", action="store_true", help="also run tests of several minutes: ten minutes of video")
    group.addoption(
        "--fuzz", type=float, default=20, metavar="SECONDS", help="time for each reader of random files (default 20)"
    )
    group.addoption(
        "--graphs", type=int, default=40, metavar="N", help="number of random graphs for ComfyUI's servers (default 40)"
    )


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect files of tests/comfy for another process, except in that process."""
    if module_path.parent == ROOT / "tests" / "comfy" and not comfy_tier.inside():
        return comfy_tier.ComfyFile.from_parent(parent, path=module_path)
    return None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order tests by tier, then by ComfyUI, front end and renderer.

    So the browser's event loop does not interfere with tests that have their own, and only one server and one browser
    run at a time.
    """

    def sort_key(item: pytest.Item) -> tuple[int, str, str]:
        folder = item.path.relative_to(ROOT / "tests").parts[0] if item.path.is_relative_to(ROOT / "tests") else ""
        parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        target = parameters.get("server")
        return (
            TIERS.index(folder) if folder in TIERS else 0,
            target.label if target is not None else "",
            parameters.get("editor", ""),
        )

    items.sort(key=sort_key)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
    """Summarise measurements of tests, and the skipped tests against ComfyUI with reasons."""
    yield
    for report in (*terminalreporter.stats.get("passed", []), *terminalreporter.stats.get("failed", [])):
        for name, value in report.user_properties:
            terminalreporter.line(f"{report.nodeid}: {name}: {value}")
    reasons: Counter[str] = Counter()
    for report in terminalreporter.stats.get("skipped", []):
        if report.nodeid.startswith(("tests/comfy", "tests/e2e")) and isinstance(report.longrepr, tuple):
            reasons[report.longrepr[2].removeprefix("Skipped: ")] += 1
    if reasons:
        terminalreporter.section("NOT TESTED against ComfyUI", yellow=True, bold=True)
        for reason, number in reasons.items():
            terminalreporter.line(f"{number} skipped: {reason}")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with parity data, real faces and voices; tests that need it are skipped without it."""
    folder = Path(os.environ.get("EDTALK_SHARED", ROOT.parent / "shared"))
    if not (folder / "parity").is_dir():
        pytest.skip(f"needs the shared test data, looked for in {folder} (set EDTALK_SHARED)")
    return folder


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of a real, untrained model of 32 px with its audio-to-lip network and the eight emotions."""
    import torch

    bundle, model, presets, audio_to_lip, sizes = (
        importlib.import_module(f"{CORE}.{name}")
        for name in ("checkpoints.bundle", "model", "motion.presets", "networks.audio_to_lip", "networks.sizes")
    )
    torch.manual_seed(0)
    tiny = model.EDTalk(
        sizes.ModelSizes(resolution=32, style=40, channels={4: 8, 8: 8, 16: 8, 32: 8}, expression_hidden=8)
    ).eval()
    tiny.audio_to_lip = audio_to_lip.AudioToLip(widths=(4,) * 13).eval()
    tiny.presets = {emotion: tuple(torch.randn(10).tolist()) for emotion in presets.EMOTIONS}
    return bundle.write_bundle(tmp_path_factory.mktemp("tiny") / "tiny.safetensors", tiny)
