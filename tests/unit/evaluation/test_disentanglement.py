"""Each weight is swept alone; models whose answers are known have the right figures."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edtalk_core.data.clips import Clip
from edtalk_core.evaluation.disentanglement import evaluate_disentanglement, weight_ranges
from edtalk_core.media.picture import picture_to_image
from edtalk_core.model import EDTalk

SIZE = 64


def test_copying_model_changes_nothing(copying: EDTalk, held_out: list[Clip]):
    result = evaluate_disentanglement(copying, held_out)
    assert result.portraits == 2
    assert set(result.tracks["lip"].per_clip) == {"b", "c"}
    assert list(result.as_dict()) == ["portraits", "opening_range", "lip", "pose", "expression"]
    assert "per_clip" not in result.as_dict()["lip"]
    for track in ("lip", "pose", "expression"):
        assert max(result.tracks[track].change.values()) < 1e-3
        assert result.tracks[track].largest_rotation < 0.5
        assert result.tracks[track].largest_opening < 0.05


def test_model_that_shifts_everything_is_not_disentangled(moving: EDTalk, held_out: list[Clip]):
    result = evaluate_disentanglement(moving, held_out, portraits=1)
    assert result.portraits == 1
    for track in ("lip", "pose", "expression"):
        change = result.tracks[track].change
        assert min(change.values()) > 1e-3
        assert result.tracks[track].mouth_to_rest == pytest.approx(change["mouth"] / change["rest"])
        assert 0.2 < result.tracks[track].mouth_to_rest < 4


def test_ranges_are_percentiles_of_what_is_read(moving: EDTalk, held_out: list[Clip]):
    low, high = weight_ranges(moving, held_out)
    images = torch.cat([picture_to_image(clip.frame(i, SIZE), SIZE) for clip in held_out for i in (0, 10, 20)])
    with torch.no_grad():
        lip, pose, expression = moving.read_weights(images)
    for name, values in (("lip", lip), ("pose", pose), ("expression", expression)):
        np.testing.assert_allclose(low[name], np.percentile(values, 5, axis=0), atol=1e-5)
        np.testing.assert_allclose(high[name], np.percentile(values, 95, axis=0), atol=1e-5)
