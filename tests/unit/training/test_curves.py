"""Loss curves: kept over a resume, and drawn whatever they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edtalk_core.training.curves import LossCurves, draw_curves, read_curves


def test_rows_after_the_checkpoint_are_dropped_on_resume(tmp_path: Path):
    (tmp_path / "losses.csv").write_text("step,seconds_per_step,total\n25,1,3\n50,1,2\n75,1,9\n100,1,")
    LossCurves(tmp_path, 60).close()
    steps, columns = read_curves(tmp_path / "losses.csv")
    assert list(steps) == [25, 50]
    assert list(columns["total"]) == [3, 2]


@pytest.mark.parametrize("values", [[1.0], [3.0, float("nan"), 1.0], [-1.0, -2.0, -3.0], [2.0, 2.0], [float("nan")]])
def test_curves_of_any_values_can_be_drawn(values: list[float]):
    steps = np.arange(len(values)) * 25 + 25
    picture = draw_curves(steps, {"total": np.array(values), "seconds_per_step": np.ones(len(values))})
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
    # Of NaN alone there is no curve.
    assert (picture.min() < 100) == bool(np.isfinite(values).any())
