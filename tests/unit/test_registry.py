"""The files that ComfyUI's registry and ComfyUI-Manager read."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
BROUGHT_BY_COMFYUI = {"torch", "numpy"}
FRONT_END = "comfyui-frontend-package"


@pytest.fixture(scope="module")
def pyproject() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def requirements() -> dict[str, SpecifierSet]:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    # ComfyUI-Manager hands each line to pip as it is, unless it begins with a #.
    return {one.name: one.specifier for one in map(Requirement, (line for line in lines if not line.startswith("#")))}


def test_requirements_are_the_dependencies_without_what_comfyui_brings(pyproject, requirements):
    wanted = {one.name: one.specifier for one in map(Requirement, pyproject["project"]["dependencies"])}
    assert set(wanted) >= BROUGHT_BY_COMFYUI
    expected = {name: bound for name, bound in wanted.items() if name not in BROUGHT_BY_COMFYUI}
    assert {name: bound for name, bound in requirements.items() if name != FRONT_END} == expected


def test_only_lowest_versions_are_asked_for(requirements):
    for name, specifier in requirements.items():
        assert [bound.operator for bound in specifier] == [">="], name


def test_what_the_registry_requires(pyproject):
    project, comfy = pyproject["project"], pyproject["tool"]["comfy"]
    assert re.fullmatch(r"[a-z][a-z0-9]*([-_.][a-z0-9]+)*", project["name"])
    assert "comfyui" not in project["name"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", project["version"])
    assert comfy["PublisherId"]
    assert comfy["DisplayName"] == "EDTalk"
    assert comfy["requires-comfyui"] == ">=0.3.60"
    assert not [one for one in project["classifiers"] if one.startswith("Environment ::")]


def test_publishing_fills_in_the_rest(tmp_path, requirements):
    workflow = yaml.safe_load((ROOT / ".github/workflows/publish.yml").read_text(encoding="utf-8"))
    for name in ("pyproject.toml", "requirements.txt"):
        shutil.copy(ROOT / name, tmp_path)
    version = tomllib.loads((tmp_path / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    given = {"GITHUB_REF_NAME": f"v{version}", "GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "a/b"}
    if shutil.which("bash") is None or sys.platform == "darwin":
        pytest.skip("the steps are made for bash and GNU sed")
    for step in workflow["jobs"]["publish"]["steps"]:
        if "run" in step:
            subprocess.run(["bash", "-ec", step["run"]], cwd=tmp_path, env=os.environ | given, check=True)
    published = tomllib.loads((tmp_path / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f"{FRONT_END}{requirements[FRONT_END]}" in published["dependencies"]
    assert published["urls"]["Repository"] == "https://github.com/a/b"


def test_a_tag_that_is_not_the_version_is_not_published(tmp_path):
    workflow = yaml.safe_load((ROOT / ".github/workflows/publish.yml").read_text(encoding="utf-8"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    check = next(step["run"] for step in workflow["jobs"]["publish"]["steps"] if "run" in step)
    if shutil.which("bash") is None:
        pytest.skip("the steps are made for bash")
    environment = os.environ | {"GITHUB_REF_NAME": "v99.0.0"}
    assert subprocess.run(["bash", "-ec", check], cwd=tmp_path, env=environment, check=False).returncode != 0


def test_the_archive_holds_what_users_need_and_is_small():
    def tracked(*options: str) -> set[str]:
        listed = subprocess.run(["git", "ls-files", *options], cwd=ROOT, capture_output=True, text=True, check=False)
        return set(listed.stdout.splitlines())

    if not tracked():
        pytest.skip("not a git checkout")
    packed = tracked() - tracked("--cached", "--ignored", "--exclude-from=.comfyignore")
    parts = {file.split("/")[0] for file in packed}
    assert parts >= {
        "__init__.py",
        "nodes",
        "edtalk_core",
        "weights",
        "workflows",
        "subgraphs",
        "locales",
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "NOTICE",
    }
    assert not parts & {"tests", ".github", ".ci", "Makefile"}
    assert sum((ROOT / file).stat().st_size for file in packed if (ROOT / file).is_file()) < 25_000_000
