"""Recipes: the files that ship can be read, and a run goes from clips to a bundle, killed or not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors import safe_open
from safetensors.torch import load_file
from tiny_training import STAGE_SETTINGS, TINY

from edtalk_core.checkpoints.loading import load_model
from edtalk_core.cli import main
from edtalk_core.data.face_motion import FaceMotion, emotion_presets
from edtalk_core.errors import ArgumentError, Cancelled, EDTalkError
from edtalk_core.training.recipes import BundleSettings, Recipe, read_recipe, run_recipe, write_recipe_bundle
from edtalk_core.training.settings import read_yaml
from edtalk_core.training.typed_settings import flattened

RECIPES = Path(__file__).parents[3] / "recipes"
DEMO = RECIPES / "demo"

STEPS = 2


@pytest.fixture
def tiny_recipe(tmp_path: Path) -> Path:
    """A recipe of a few steps whose stages differ in precision."""
    folder = tmp_path / "recipe"
    folder.mkdir()
    tiny = {name: value for name, value in TINY.items() if name not in ("precision", "checkpoint_every")}
    stages: dict[str, dict[str, Any]] = {
        "1-encoder": {"stage": "autoencoder", "losses": {"l1": 0, "perceptual": 0, "adversarial": 0, "reading": 1}},
        "2-generator": {"stage": "expression", "measured_weights_share": 1, "train": ["dec."], "fit_heads": True},
        "3-speech": {"stage": "audio-to-lip", **STAGE_SETTINGS["audio-to-lip"], "losses": {"image": 0}},
        "4-head": {"stage": "pose-flow", **STAGE_SETTINGS["pose-flow"]},
    }
    for name, content in stages.items():
        precision = "no" if content["stage"] == "pose-flow" else "bf16"
        (folder / f"{name}.yaml").write_text(
            yaml.safe_dump({**tiny, "steps": STEPS, "precision": precision, **content})
        )
    bundle = {"stage": "bundle", "file": "tiny.safetensors", "dtype": "fp16", "presets": "read"}
    (folder / "5-bundle.yaml").write_text(yaml.safe_dump(bundle))
    return folder


def test_files_of_the_demo_recipe(tmp_path: Path):
    recipe = read_recipe(DEMO, tmp_path / "store", tmp_path / "run", {"init": "start.safetensors"})
    assert [settings.stage for settings in recipe.stages.values()] == [
        "autoencoder",
        *["expression"] * 4,
        "audio-to-lip",
        "pose-flow",
        *["expression"] * 2,
    ]
    previous = "start.safetensors"
    for name, settings in recipe.stages.items():
        assert (settings.data, settings.out) == (str(tmp_path / "store"), str(tmp_path / "run" / name))
        assert settings.init == previous
        previous = str(tmp_path / "run" / name / f"checkpoint-{settings.steps:06d}.safetensors")
    assert recipe.bundle is not None
    assert (recipe.bundle.file, recipe.bundle.presets, recipe.bundle.strength) == (
        "demo.safetensors",
        "face-model",
        1.0,
    )


def test_demo_recipe_ends_with_named_expressions(tmp_path: Path):
    """They are taught to the generator alone: what lips, pose and the encoder mean stays."""
    recipe = read_recipe(DEMO, tmp_path, tmp_path, {})
    teaching, steadying = (flattened(settings) for settings in list(recipe.stages.values())[-2:])
    for values in (teaching, steadying):
        assert all(prefix.startswith("dec.") for prefix in values["train"])
        assert values["expression_measure"] == "face-model"
    assert steadying["losses.still"] > 0
    values = teaching
    assert values["turn_expression_bank"]
    assert values["fit_heads"]
    assert values["sampling.exact_warp_share"] > 0
    assert values["sampling.picture_share"] > 0
    assert values["losses.exact_flow"] > 0


def test_bundle_with_presets_of_named_expressions(trained: Path, tmp_path: Path):
    bundle = tmp_path / "named.safetensors"
    write_recipe_bundle(BundleSettings(file=bundle.name, presets="face-model", strength=1.5), trained, tmp_path, bundle)
    model = load_model(bundle)
    assert model.presets == emotion_presets(1.5)
    assert model.bases == FaceMotion.BASES


@pytest.mark.parametrize("file", sorted(RECIPES.glob("*/*.yaml")), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_values_of_a_file_arrive(file: Path, tmp_path: Path):
    recipe = read_recipe(file.parent, tmp_path, tmp_path)
    settings = recipe.stages.get(file.stem, recipe.bundle)
    values = flattened(settings)

    def check(content: dict[str, Any], path: str = "") -> None:
        for name, value in content.items():
            if isinstance(value, dict) and path + name not in values:
                check(value, f"{path}{name}.")
            else:
                assert values[path + name] == without_lists(value)

    def without_lists(value: Any) -> Any:
        return tuple(map(without_lists, value)) if isinstance(value, list) else value

    check(read_yaml(file))


def test_recipe_killed_and_resumed_gives_the_same_bundle(tiny_recipe: Path, face_store: Path, tmp_path: Path):
    def recipe(name: str) -> Recipe:
        return read_recipe(tiny_recipe, face_store, tmp_path / name)

    straight = run_recipe(recipe("straight"))
    assert straight == tmp_path / "straight" / "tiny.safetensors"
    model = load_model(straight)
    assert model.audio_to_lip is not None
    assert model.pose_flow is not None
    assert set(model.presets) == {"happy", "sad"}
    with safe_open(straight, framework="pt") as file:
        assert not [name for name in file.keys() if name.startswith("training.")]  # noqa: SIM118

    calls = []

    def kill(stage: str, step: int, total: int | None) -> None:
        calls.append((stage, step))
        if len(calls) in (3, 6):
            raise Cancelled("enough")

    for _ in range(2):
        with pytest.raises(Cancelled):
            run_recipe(recipe("killed"), kill)
    resumed = run_recipe(recipe("killed"), kill)
    # No step was made twice.
    assert calls == [(name, step) for name in recipe("killed").stages for step in range(1, STEPS + 1)]
    expected = load_file(straight)
    assert load_file(resumed).keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in load_file(resumed).items())
    assert run_recipe(recipe("killed"), kill) == resumed
    assert len(calls) == 4 * STEPS


def test_stage_that_has_begun_otherwise_is_named(tiny_recipe: Path, face_store: Path, tmp_path: Path):
    out = tmp_path / "run" / "2-generator"
    out.mkdir(parents=True)
    (out / "config.json").write_text(json.dumps({"stage": "expression", "steps": 7}))
    with pytest.raises(EDTalkError, match=r"2-generator was trained with another .* delete this folder"):
        run_recipe(read_recipe(tiny_recipe, face_store, tmp_path / "run"))


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("0", {"stage": "encoder"}, r"0\.yaml: There is no stage"),
        ("0", {}, r"0\.yaml: There is no stage"),
        ("0", {"stage": "autoencoder", "bach": 1}, r"0\.yaml: .*did you mean batch"),
        ("0", {"stage": "autoencoder", "out": "x"}, "sets out"),
        ("6", {"stage": "autoencoder"}, "after the bundle"),
        ("5-bundle", {"stage": "bundle", "file": "a", "strengths": 2}, "did you mean strength"),
    ],
)
def test_mistakes_in_recipes(name: str, content: dict[str, Any], word: str, tiny_recipe: Path, tmp_path: Path):
    (tiny_recipe / f"{name}.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ArgumentError, match=word):
        read_recipe(tiny_recipe, tmp_path, tmp_path)


def test_command_runs_a_recipe(tiny_recipe: Path, face_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for file in sorted(tiny_recipe.glob("*.yaml"))[1:]:
        file.unlink()
    arguments = ["--recipe", str(tiny_recipe), "--data", str(face_store), "--out", str(tmp_path / "run")]
    assert main(["train", *arguments, "--set", "steps=1", "--set", "precision=no", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)["result"]
    assert result == str(tmp_path / "run" / "1-encoder" / "checkpoint-000001.safetensors")
    assert json.loads((tmp_path / "run" / "1-encoder" / "config.json").read_text())["precision"] == "no"
