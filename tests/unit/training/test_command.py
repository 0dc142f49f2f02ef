"""`edtalk train`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from tiny_training import TINY

from edtalk_core.cli import main
from edtalk_core.training.stages import STAGES
from edtalk_core.training.typed_settings import described


def test_command_lists_the_stages(capsys: pytest.CaptureFixture[str]):
    assert main(["train", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(STAGES)
    assert main(["train", "--list", "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)) == list(STAGES)


def test_command_trains_and_goes_on(face_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump({**TINY, "steps": 1}))
    out = tmp_path / "run"
    arguments = ["train", "autoencoder", "--config", str(file), "--data", str(face_store), "--out", str(out)]
    settings = ["--set", "losses.adversarial=0", "--set", "learning_rate=1e-3", "--set", "channels.16=8"]
    assert main([*arguments, *settings]) == 0
    assert capsys.readouterr().out.strip() == str(out / "checkpoint-000001.safetensors")
    config = json.loads((out / "config.json").read_text())
    assert config["losses"]["adversarial"] == 0
    assert config["losses"]["l1"] == 1
    assert config["learning_rate"] == 1e-3
    assert config["channels"] == {"4": 16, "8": 16, "16": 8}
    assert main([*arguments, *settings, "--set", "steps=2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["checkpoint"].endswith("checkpoint-000002.safetensors")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["autoencoder", "--recipe", "somewhere"], "leave out STAGE"),
        (["--recipe", "nowhere", "--data", "d", "--out", "o"], "no recipe in nowhere"),
        (["--recipe", "nowhere", "--out", "o"], "--data FOLDER"),
        (["autoencoder", "--set", "sampling=1", "--set", "sampling.contrast_share=1"], "to a value and to a group"),
        (["autoencoder", "--set", "options.near=1"], "called sampling.near_frames_share now"),
        ([], "autoencoder"),
        (["encoder"], "encoder"),
        (["autoencoder"], "data"),
        (["autoencoder", "--set", "batch"], "NAME=VALUE"),
        (["autoencoder", "--set", "batch=["], "YAML"),
        (["autoencoder", "--set", "bach=1"], "bach"),
        (["autoencoder", "--config", "nowhere.yaml"], r"nowhere.yaml"),
    ],
    ids=[
        "stage and recipe",
        "no recipe",
        "recipe without data",
        "value and parts",
        "old name",
        "no stage",
        "unknown stage",
        "no data",
        "no value",
        "no YAML",
        "unknown setting",
        "no file",
    ],
)
def test_command_explains_mistakes(arguments: list[str], word: str, capsys: pytest.CaptureFixture[str]):
    assert main(["train", *arguments]) == 2
    assert word in capsys.readouterr().err


@pytest.mark.parametrize("stage", STAGES)
def test_help_of_a_stage_lists_its_settings(stage: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as stopped:
        main(["train", stage, "--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    assert "  learning_rate: a positive number of at most a million (default: " in text
    assert "Adam's step size" in text
    for name in flattened_names(STAGES[stage].SETTINGS):
        assert name == "stage" or f"  {name}: " in text


def flattened_names(settings: type) -> list[str]:
    return [setting.name for setting in described(settings)]


def test_help_without_a_stage(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as stopped:
        main(["train", "--help"])
    assert stopped.value.code == 0
    assert "Adam's step size" not in capsys.readouterr().out
