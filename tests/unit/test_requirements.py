"""What is said of requirements that are not installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edtalk_core.requirements import (
    explain_import_error,
    installation_advice,
    missing_requirements,
    required_modules,
)

ROOT = Path(__file__).resolve().parents[2]
OWN = ROOT / "requirements.txt"


def test_every_own_requirement_is_known_by_the_name_it_is_imported_by():
    assert required_modules(OWN) == {
        "av": "av",
        "filelock": "filelock",
        "huggingface_hub": "huggingface-hub",
        "cv2": "opencv-python-headless",
        "PIL": "pillow",
        "safetensors": "safetensors",
        "soxr": "soxr",
        "tqdm": "tqdm",
    }
    assert missing_requirements(OWN) == []


@pytest.fixture
def forgotten(tmp_path: Path) -> Path:
    """A requirements.txt, in a folder with a space in its name, of which two are not installed."""
    path = tmp_path / "custom nodes" / "requirements.txt"
    path.parent.mkdir()
    path.write_text(
        "# Two are not there.\nav>=16\nno-such-package>=1,<2\nOpenCV_Python ; python_version>'3'\nabsent[x]\n"
    )
    return path


def test_missing_ones_are_named_with_the_command_that_installs_them(forgotten: Path):
    missing = missing_requirements(forgotten)
    assert missing == ["no-such-package", "absent"]
    assert installation_advice(missing, forgotten) == (
        "EDTalk needs no-such-package, absent, which are not installed. "
        f'Run: {sys.executable} -m pip install -r "{forgotten}"'
    )
    assert "absent, which is not installed." in installation_advice(["absent"], forgotten)


def test_an_import_that_fails_is_explained_if_it_is_a_requirement(forgotten: Path):
    with pytest.raises(ModuleNotFoundError) as ours:
        import no_such_package.part  # noqa: F401
    explained = explain_import_error(ours.value, forgotten)
    assert explained is not None
    assert "no-such-package, absent, which are not installed. Run: " in str(explained)
    with pytest.raises(ModuleNotFoundError) as other:
        import someone_elses_package  # noqa: F401
    assert explain_import_error(other.value, forgotten) is None


def test_nothing_is_imported_to_find_out():
    code = (
        "import sys; from pathlib import Path; from edtalk_core.requirements import missing_requirements;"
        f"missing_requirements(Path({str(OWN)!r}));"
        "print([name for name in ('av', 'cv2', 'soxr', 'PIL', 'torch', 'numpy') if name in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"
