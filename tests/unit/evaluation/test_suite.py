"""All figures of a model, and the command that prints them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edtalk_core.checkpoints.bundle import write_bundle
from edtalk_core.cli import main
from edtalk_core.errors import ArgumentError, Cancelled, EDTalkError
from edtalk_core.evaluation.suite import Evaluation, evaluate
from edtalk_core.media.picture import read_picture
from edtalk_core.model import EDTalk
from edtalk_core.networks.pose_flow import PoseFlow

SIZE = 64


def test_suite_leaves_out_what_the_model_lacks(copying: EDTalk, store: Path):
    seen: set[str] = set()
    results = evaluate(copying, store, progress=lambda part, done, total: seen.add(part))
    assert list(results.as_dict()) == ["reenactment", "disentanglement"]
    assert seen == set(results.as_dict())


def test_suite_evaluates_the_pose_flow(copying: EDTalk, store: Path):
    copying.pose_flow = PoseFlow(6, 2, 16, 10, 8).eval()
    try:
        results = evaluate(copying, store, parts=["pose"])
    finally:
        copying.pose_flow = None
    assert results.pose is not None
    assert set(results.pose.per_clip) == {"b", "c"}
    assert {"flow", "gaussian", "random_walk", "inverse_error"} <= set(results.as_dict()["pose"])


def test_suite_of_nothing(copying: EDTalk, store: Path):
    assert evaluate(copying, store, parts=["none"]) == Evaluation()


@pytest.mark.parametrize(
    ("arguments", "error", "word"),
    [({"parts": ["noses"]}, ArgumentError, "noses"), ({"split": "validation"}, EDTalkError, "validation")],
    ids=["part", "split"],
)
def test_wrong_choice(arguments: dict, error: type[Exception], word: str, copying: EDTalk, store: Path):
    with pytest.raises(error, match=word):
        evaluate(copying, store, **arguments)


def test_progress_cancels(copying: EDTalk, store: Path):
    def cancel(part: str, done: int, total: int | None) -> None:
        raise Cancelled("no more")

    with pytest.raises(Cancelled, match="no more"):
        evaluate(copying, store, progress=cancel)


def test_command_prints_figures_and_writes_sheets(
    copying: EDTalk, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    weights = write_bundle(tmp_path / "copy.safetensors", copying)
    sheets = ["--sheet", str(tmp_path / "sheet.png"), "--identity", str(tmp_path / "identity.png")]
    arguments = ["evaluate", str(weights), "--data", str(store), "--only", "reenactment", "--device", "cpu"]
    assert main([*arguments, *sheets, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["reenactment"]["clips"] == 2
    assert read_picture(tmp_path / "sheet.png").shape == (3 * SIZE, 2 * SIZE, 3)
    assert read_picture(tmp_path / "identity.png").shape[1] == 7 * SIZE
    assert main(arguments) == 0
    assert "l1_below_repeat" in capsys.readouterr().out


def test_command_names_a_store_without_clips(tmp_path: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["evaluate", str(tiny_bundle), "--data", str(tmp_path)]) == 1
    assert "edtalk prepare" in capsys.readouterr().err
