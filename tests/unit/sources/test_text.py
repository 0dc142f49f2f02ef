"""Expressions in words: emotions with a strength, preset files, timelines."""

from __future__ import annotations

import pytest
import torch

from edtalk_core.checkpoints.loading import load_model
from edtalk_core.motion.motion import Motion
from edtalk_core.motion.presets import Preset, save_preset
from edtalk_core.sources.text import motion_from_expression


@pytest.fixture(scope="module")
def model(tiny_bundle):
    return load_model(tiny_bundle)


OWN = Motion(lip=torch.zeros(1, 20), pose=torch.zeros(1, 6), expression=torch.full((1, 10), 0.5))


@pytest.mark.parametrize(
    ("text", "share"), [("own", 0.0), ("happy:0", 0.0), ("happy", 1.0), ("Happy:0.25", 0.25), (" happy:2 ", 2.0)]
)
def test_strength_goes_from_the_own_expression_to_the_preset(model, text, share):
    found = motion_from_expression(model, text, OWN, 1.0, 25).expression
    preset = torch.tensor([model.presets["happy"]])
    assert torch.allclose(found, share * preset + (1 - share) * OWN.expression, atol=1e-5)


@pytest.mark.parametrize("kind", ["text", "file"])
def test_a_timeline_changes_the_expression(model, tmp_path, kind):
    text = "0 own; 1 happy"
    if kind == "file":
        (tmp_path / "a timeline.txt").write_text("0 own\n1 happy\n", encoding="utf-8")
        text = str(tmp_path / "a timeline.txt")
    found = motion_from_expression(model, text, OWN, 2.0, 10).expression
    preset = torch.tensor(model.presets["happy"])
    assert found.shape == (20, 10)
    assert torch.allclose(found[0], OWN.expression[0])
    assert torch.allclose(found[5], 0.5 * preset + 0.5 * OWN.expression[0], atol=1e-5)
    assert torch.allclose(found[-1], preset, atol=1e-5)


@pytest.mark.parametrize(("suffix", "share"), [("", 1.0), (":0.5", 0.5)], ids=["plain", "with strength"])
def test_a_preset_file_is_an_expression(model, tmp_path, suffix, share):
    path = save_preset(Preset("grin", tuple(float(i) for i in range(10))), tmp_path / "grin.json")
    found = motion_from_expression(model, f"{path}{suffix}", OWN, 1.0, 25).expression
    assert torch.allclose(found, share * torch.arange(10.0) + (1 - share) * 0.5)
