"""Ablations: rows differ in one thing, share what they can, and end in tables."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from edtalk_core.ablation import (
    ROWS,
    STAGES,
    Ablation,
    chosen_rows,
    noise_sentence,
    row_stages,
    train_stage,
    write_tables,
)
from edtalk_core.checkpoints.loading import load_model
from edtalk_core.cli import main
from edtalk_core.errors import ArgumentError
from edtalk_core.evaluation.results import FigureOfClips
from edtalk_core.training.stages import stage_class
from edtalk_core.training.typed_settings import flattened

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
SMALL = {"resolution": 16, "style": 48, "steps": 1, "batch": 2, "channels": {4: 4, 8: 4, 16: 6}}


@pytest.fixture
def ablation(tmp_path: Path) -> Ablation:
    return Ablation(RECIPES / "ablation-64px", tmp_path / "store", tmp_path / "out", (), values={"style": 160})


def differences(ours: list, full: list) -> set[str]:
    """Names of the settings that differ between the stages of two rows, but for folders and start."""
    names = set()
    for a, b in zip(ours, full, strict=True):
        first, second = (flattened_settings(settings) for settings in (a, b))
        names |= {f"{a.stage}: {name}" for name in first.keys() | second.keys() if first.get(name) != second.get(name)}
    return names


def flattened_settings(settings) -> dict:
    values = {name: value for name, value in asdict(settings).items() if name not in ("out", "init", "losses")}
    return {**values, **{f"losses.{name}": weight for name, weight in flattened(settings.losses).items()}}


@pytest.mark.parametrize("recipe", ["ablation-64px", "ablation-256px"])
def test_rows_differ_in_one_thing(recipe: str, ablation: Ablation):
    ablation = replace(ablation, recipe=RECIPES / recipe, values={} if "256" in recipe else ablation.values)
    full = row_stages(ablation, chosen_rows(["full"])[0], 0)
    changed = {row.name: differences(row_stages(ablation, row, 0), full) for row in ROWS}
    assert changed["full"] == changed["only-lip"] == changed["lip-pose"] == set()
    assert changed["no-feature"] == {"mouth-pose: losses.feature"}
    assert changed["no-sync"] == {"audio-to-lip: losses.sync"}
    assert changed["no-orthogonality"] == {"autoencoder: orthogonal"}
    assert changed["no-eem"] == {"expression: eem"}
    assert changed["mouth-40"] == {"autoencoder: lip"}
    assert changed["expression-5"] == {"autoencoder: expression"}
    assert changed["no-bank"] == {f"autoencoder: {name}" for name in ("orthogonal", "lip", "pose", "expression")}
    assert all(name.startswith("mouth-pose: losses.self") for name in changed["no-self"])
    assert changed["no-self"]


def test_rows_share_the_stages_they_have_in_common(ablation: Ablation):
    plans = {row.name: [settings.out for settings in row_stages(ablation, row, 0)] for row in ROWS}
    assert plans["only-lip"] == plans["full"]
    assert plans["no-sync"][:3] == plans["full"][:3]
    assert plans["no-sync"][3] != plans["full"][3]
    assert plans["no-eem"][:2] == plans["full"][:2]
    assert not set(plans["no-eem"][2:]) & set(plans["full"])  # what follows starts from another model
    assert not set(plans["mouth-40"]) & set(plans["full"])
    other = row_stages(ablation, chosen_rows(["full"])[0], 1)
    assert not {settings.out for settings in other} & set(plans["full"])


def test_other_recipes_are_refused(ablation: Ablation):
    with pytest.raises(ArgumentError, match="autoencoder, mouth-pose"):
        row_stages(replace(ablation, recipe=RECIPES / "demo"), ROWS[0], 0)
    with pytest.raises(ArgumentError, match="no row 'noses'"):
        chosen_rows(["noses"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["no-bank", "no-eem", "no-self"])
def test_ablated_models_are_trained_and_load(name: str, face_store: Path, tmp_path: Path):
    values = {**SMALL, "checkpoint_every": 1, "sample_every": 1, "augmentation": 0.0}
    ablation = Ablation(RECIPES / "ablation-64px", face_store, tmp_path, (name,), values=values)
    stages = row_stages(ablation, chosen_rows([name])[0], 0)[:3]
    for settings in stages:
        checkpoint = train_stage(settings)
    model = load_model(checkpoint)
    assert model.sizes.orthogonal == (name != "no-bank")
    assert model.sizes.lip == (48 if name == "no-bank" else 20)
    if name == "no-eem":
        features = [torch.randn(1, model.sizes.channels[px], px, px) for px in model.sizes.levels]
        latent, expression = torch.randn(1, 48), torch.randn(1, 48)
        assert torch.allclose(model.dec(latent, features, expression), model.dec(latent, features), atol=1e-5)
        assert not any(p.requires_grad for p in _stage(stages[2]).model.dec.fineadainresblock.parameters())


def _stage(settings):
    stage = stage_class(settings.stage)
    return stage(stage.starting_model(settings), settings)


def test_tables_and_noise(ablation: Ablation, tmp_path: Path):
    rows = chosen_rows(["no-feature", "full", "mouth-5"])
    ablation = replace(ablation, rows=tuple(row.name for row in rows), seeds=2)
    ablation.out.mkdir()

    def run(psnr: float):
        return SimpleNamespace(figures={"psnr": FigureOfClips(psnr, 0, 0, 3)}, reasons={}, as_dict=lambda: {"clips": 3})

    results = {"no-feature": [run(20), run(21)], "full": [run(22), run(22.5)], "mouth-5": [run(19), run(20)]}
    text = write_tables(ablation, rows, results).read_text("utf-8")
    table4, table5 = text.split("## Table 5")
    assert "| w/o L_fea | 20.5 ± 0.5 (21.134) |" in table4
    assert "mouth bank of 5" not in table4
    assert "| mouth bank of 5 | 19.5 ± 0.5 (20.39) |" in table5
    assert "PSNR 0.83 of 2.8" in table5
    assert json.loads((ablation.out / "tables.json").read_text())["figures"]["full"]["psnr"] == [22, 22.5]
    assert "not known" in noise_sentence({"full": {"psnr": [1.0]}}, ["psnr"])


def test_command_lists_the_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    arguments = ["ablate", "--recipe", "r", "--data", "d", "--out", str(tmp_path)]
    assert main([*arguments, "--list", "--table", "5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 7
    assert main([*arguments, "--row", "noses"]) == 2
    assert len(STAGES) == 4
