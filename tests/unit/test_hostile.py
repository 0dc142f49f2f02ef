"""Hostile, broken and huge inputs of the command: a sentence soon, in little memory, and no good file is changed.

Of the cases in `hostile_cases` those of seconds; `pytest --long` runs those of minutes, and
`python tools/measure_hostile.py` makes a table of all.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import signal_runs
from command_runs import Command, command
from hostile_cases import Case, all_cases, write_model, write_store
from hostile_runs import judge_in, verdict_text

pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read off /proc")

LONG = ("endings", "store", "clocks")
"""Groups of hundreds of runs, or of long ones."""


@pytest.fixture(scope="module")
def edtalk() -> Iterator[Command]:
    with command() as started:
        yield started


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good")
    write_store(folder / "store")
    write_model(folder / "model.safetensors")
    return folder


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=f"{case.group}: {case.name}") for case in all_cases() if not case.large]
)
def test_hostile_input(case: Case, edtalk: Command, good: Path, tmp_path: Path, pytestconfig: pytest.Config):
    if case.group in LONG and not pytestconfig.getoption("--long"):
        pytest.skip("only with --long")
    verdict, run = judge_in(tmp_path, case, edtalk, good)
    assert verdict == "right", verdict_text(verdict, run)


@pytest.fixture(scope="module")
def complete() -> dict[str, tuple[Path, float]]:
    """Folders of complete runs of the commands, with their seconds; filled as they are needed."""
    return {}


@pytest.mark.parametrize("signal_name", signal_runs.SIGNALS)
@pytest.mark.parametrize("name", signal_runs.WORKS)
def test_ended_by_a_signal(
    name: str,
    signal_name: str,
    complete: dict[str, tuple[Path, float]],
    edtalk: Command,
    good: Path,
    tmp_path_factory: pytest.TempPathFactory,
    pytestconfig: pytest.Config,
):
    work = signal_runs.WORKS[name]
    if name not in complete:
        folder = tmp_path_factory.mktemp(name)
        complete[name] = folder, signal_runs.complete_run(folder, work, edtalk, good)
    folder, seconds = complete[name]
    for after in np.random.default_rng().uniform(0, seconds, 10 if pytestconfig.getoption("--long") else 1):
        place = tmp_path_factory.mktemp("ended")
        earlier = folder if int(1000 * after) % 2 else None
        verdict, run = signal_runs.ended_run(place, work, signal_name, after, edtalk, good, earlier)
        assert verdict == "right", f"after {after:.3f} s: {verdict_text(verdict, run)}"
