"""Correlation of two series over time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def correlation(first: NDArray[np.floating[Any]], second: NDArray[np.floating[Any]]) -> float:
    """Pearson's correlation of two series of the same shape, (T,) or (T,D), about their means over time.

    Series with several columns have a single correlation over all columns. 0 if one of the series is constant.
    """
    first, second = first - first.mean(axis=0), second - second.mean(axis=0)
    scale = float(np.sqrt((first * first).sum() * (second * second).sum()))
    return float((first * second).sum()) / scale if scale > 1e-12 else 0.0
