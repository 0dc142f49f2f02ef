"""Correlation of series over time."""

from __future__ import annotations

import numpy as np
import pytest

from edtalk_core.data.correlation import correlation


def test_correlation():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 50))
    assert correlation(a, b) == pytest.approx(np.corrcoef(a, b)[0, 1])
    assert correlation(a, 3 * a + 1) == pytest.approx(1)
    assert correlation(a, np.ones(50)) == 0


def test_columns_are_correlated_together():
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((2, 50, 3))
    centred = [(series - series.mean(axis=0)).ravel() for series in (a, b)]
    assert correlation(a, b) == pytest.approx(np.corrcoef(*centred)[0, 1])
    assert correlation(a + np.array([1.0, 20.0, -300.0]), a) == pytest.approx(1)
