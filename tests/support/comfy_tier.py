"""tests/comfy, run where it can be: in the Python of each ComfyUI, with that ComfyUI first on the path.

The process that runs the other tests may be another Python, has the core imported under its own name, and must not
have ComfyUI's `nodes.py` on its path. So it collects each file of tests/comfy as one test for each ComfyUI, and all of
them run together in one process of ComfyUI's Python, which starts when the first of them does.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from comfy_install import ComfyPlace, NotThere, comfy_places, comfy_pytest

MARK = "EDTALK_INSIDE_COMFYUI"
"""Set in the environment of the process that runs tests/comfy."""
OUTCOMES = {"failure": "failed", "error": "failed", "skipped": "skipped"}
"""By the tags of a JUnit report; a test without one of them passed."""


def inside() -> bool:
    """Whether this is the process that runs in ComfyUI's Python."""
    return MARK in os.environ


@dataclass
class FileResult:
    """What became of the tests of one file."""

    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    skips: list[str] = field(default_factory=list)


class ComfyTierFailed(Exception):
    """Tests in ComfyUI's Python failed; the message is their report."""


class ComfyFile(pytest.File):
    """A file of tests/comfy, as the other process sees it."""

    def collect(self) -> Iterator[pytest.Item]:
        """One test for the whole file in each ComfyUI."""
        for place in comfy_places():
            yield ComfyFileTest.from_parent(self, name=f"in ComfyUI's Python[{place.label}]", place=place)


class ComfyFileTest(pytest.Item):
    """Passes when all tests of the file did, in the Python of a ComfyUI."""

    def __init__(self, *, place: ComfyPlace, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.place = place

    def runtest(self) -> None:
        """Look up the file's result; the first look runs all files in that ComfyUI."""
        try:
            install = comfy_pytest(self.place)
        except NotThere as missing:
            pytest.skip(str(missing))
        all_results = self.session.stash.setdefault(RESULTS, {})
        if self.place not in all_results:
            tests = [item for item in self.session.items if isinstance(item, ComfyFileTest)]
            files = [test.path for test in tests if test.place == self.place]
            try:
                all_results[self.place] = run_files(files, install.checkout, install.python, self.config.rootpath)
            except ComfyTierFailed as failed:
                all_results[self.place] = failed
        results = all_results[self.place]
        if isinstance(results, ComfyTierFailed):
            raise results
        result = results.get(self.path.stem, FileResult())
        counted = ", ".join(f"{number} {outcome}" for outcome, number in sorted(result.outcomes.items()))
        self.add_report_section("call", "stdout", "\n".join([counted, *result.skips]))
        if result.failures:
            raise ComfyTierFailed("\n\n".join([f"{counted} in {install.python}", *result.failures]))
        if set(result.outcomes) == {"skipped"}:
            pytest.skip("; ".join(dict.fromkeys(result.skips)))
        if not result.outcomes:
            raise ComfyTierFailed(f"No test of {self.path.name} was run in {install.python}.")

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The report of the process, without the traceback of this one."""
        return str(excinfo.value) if excinfo.errisinstance(ComfyTierFailed) else super().repr_failure(excinfo)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Named by the file."""
        return self.path, 0, f"{self.path.name} {self.name}"


RESULTS = pytest.StashKey["dict[ComfyPlace, dict[str, FileResult] | ComfyTierFailed]"]()


def run_files(files: list[Path], comfyui: Path, python: Path, root: Path) -> dict[str, FileResult]:
    """Run test files in ComfyUI's Python; the results by the files' stems. ComfyTierFailed when pytest itself fails."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [
            *(python, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *("-c", root / "pyproject.toml", "--rootdir", root),
            *(f"--junitxml={report}", "-o", "junit_family=xunit1"),
            *files,
        ]
        # python -m pytest puts the current folder on the path. ComfyUI's belongs there; the repository's would hide it.
        ended = subprocess.run(
            command, cwd=comfyui, env=os.environ | {MARK: "1"}, capture_output=True, text=True, check=False
        )
        if ended.returncode not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) or not report.is_file():
            raise ComfyTierFailed(f"pytest in {python} ended with {ended.returncode}:\n{ended.stdout}\n{ended.stderr}")
        cases = list(ElementTree.parse(report).iter("testcase"))
    results: dict[str, FileResult] = {}
    for case in cases:
        result = results.setdefault(Path(case.get("file", "")).stem, FileResult())
        told = next((child for child in case if child.tag in OUTCOMES), None)
        outcome = OUTCOMES[told.tag] if told is not None else "passed"
        result.outcomes[outcome] += 1
        if told is not None and outcome == "failed":
            result.failures.append(f"{case.get('name')}\n{told.text}")
        elif told is not None:
            result.skips.append(told.get("message", ""))
    return results
