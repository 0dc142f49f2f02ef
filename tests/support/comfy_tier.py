"""Running of tests/comfy in the Python of each ComfyUI, with that ComfyUI first on the path.

The main test process may use another Python, imports the core under its own name, and must not have ComfyUI's
`nodes.py` on its path. So each file of tests/comfy is collected as one test per ComfyUI, and all of them run together
in one process of ComfyUI's Python, started by the first of them.
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
from comfy_install import ComfyPlace, NotInstalled, comfy_places, comfy_pytest

MARK = "EDTALK_INSIDE_COMFYUI"
"""Set in the environment of the process that runs tests/comfy."""
OUTCOMES = {"failure": "failed", "error": "failed", "skipped": "skipped"}
"""Tag in a JUnit report -> outcome; a test without any of these tags passed."""


def inside() -> bool:
    """Whether this process runs in ComfyUI's Python."""
    return MARK in os.environ


@dataclass
class FileResult:
    """Results of the tests of one file."""

    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    skips: list[str] = field(default_factory=list)


class ComfyTierFailed(Exception):
    """Tests in ComfyUI's Python failed; the message is the report."""


class ComfyFile(pytest.File):
    """A file of tests/comfy in the main test process."""

    def collect(self) -> Iterator[pytest.Item]:
        """One test for the entire file per ComfyUI."""
        for place in comfy_places():
            yield ComfyFileTest.from_parent(self, name=f"in ComfyUI's Python[{place.label}]", place=place)


class ComfyFileTest(pytest.Item):
    """All tests of a file, in the Python of one ComfyUI."""

    def __init__(self, *, place: ComfyPlace, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.place = place

    def runtest(self) -> None:
        """Report the file's result; the first test runs all files in its ComfyUI."""
        try:
            install = comfy_pytest(self.place)
        except NotInstalled as error:
            pytest.skip(str(error))
        all_results = self.session.stash.setdefault(RESULTS, {})
        if self.place not in all_results:
            tests = [item for item in self.session.items if isinstance(item, ComfyFileTest)]
            files = [test.path for test in tests if test.place == self.place]
            try:
                all_results[self.place] = run_files(files, install.checkout, install.python, self.config.rootpath)
            except ComfyTierFailed as error:
                all_results[self.place] = error
        results = all_results[self.place]
        if isinstance(results, ComfyTierFailed):
            raise results
        result = results.get(self.path.stem, FileResult())
        summary = ", ".join(f"{number} {outcome}" for outcome, number in sorted(result.outcomes.items()))
        self.add_report_section("call", "stdout", "\n".join([summary, *result.skips]))
        if result.failures:
            raise ComfyTierFailed("\n\n".join([f"{summary} in {install.python}", *result.failures]))
        if set(result.outcomes) == {"skipped"}:
            pytest.skip("; ".join(dict.fromkeys(result.skips)))
        if not result.outcomes:
            raise ComfyTierFailed(f"No test of {self.path.name} was run in {install.python}.")

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Report of the other process, without the traceback of this one."""
        return str(excinfo.value) if excinfo.errisinstance(ComfyTierFailed) else super().repr_failure(excinfo)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Location named by the file."""
        return self.path, 0, f"{self.path.name} {self.name}"


RESULTS = pytest.StashKey["dict[ComfyPlace, dict[str, FileResult] | ComfyTierFailed]"]()


def run_files(files: list[Path], comfyui: Path, python: Path, root: Path) -> dict[str, FileResult]:
    """Run test files in ComfyUI's Python; returns results by the files' stems.

    Raises ComfyTierFailed when pytest itself fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [
            *(python, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *("-c", root / "pyproject.toml", "--rootdir", root),
            *(f"--junitxml={report}", "-o", "junit_family=xunit1"),
            *files,
        ]
        # python -m pytest puts the working directory on the path: ComfyUI's folder, which the repository's would hide.
        process = subprocess.run(
            command, cwd=comfyui, env=os.environ | {MARK: "1"}, capture_output=True, text=True, check=False
        )
        if process.returncode not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) or not report.is_file():
            raise ComfyTierFailed(
                f"pytest in {python} ended with {process.returncode}:\n{process.stdout}\n{process.stderr}"
            )
        cases = list(ElementTree.parse(report).iter("testcase"))
    results: dict[str, FileResult] = {}
    for case in cases:
        result = results.setdefault(Path(case.get("file", "")).stem, FileResult())
        outcome_element = next((child for child in case if child.tag in OUTCOMES), None)
        outcome = OUTCOMES[outcome_element.tag] if outcome_element is not None else "passed"
        result.outcomes[outcome] += 1
        if outcome_element is not None and outcome == "failed":
            result.failures.append(f"{case.get('name')}\n{outcome_element.text}")
        elif outcome_element is not None:
            result.skips.append(outcome_element.get("message", ""))
    return results
