"""Metrics are measured on one rendering of each clip; figures of models that are known come out right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest

from edtalk_core import evaluation
from edtalk_core.data.clips import Clip
from edtalk_core.errors import FaceError
from edtalk_core.evaluation.measuring import Figures, measure, measure_take
from edtalk_core.evaluation.metrics import METRICS, SUMMARIES, Frame, Metric, Need, Summary
from edtalk_core.evaluation.pictures import l1
from edtalk_core.evaluation.protocols import Reenactment, Speech
from edtalk_core.model import EDTalk
from edtalk_core.networks.audio_to_lip import AudioToLip

SIZE = 64


def every(rate: int) -> list[Metric]:
    """The metrics of reenactment at another rate."""
    return [replace(metric, every=rate) for metric in METRICS]


def test_copying_model_is_no_better_than_repeating(copying: EDTalk, held_out: list[Clip]):
    figures = measure(Reenactment(copying, held_out), every(7))
    result = figures.as_dict()
    assert figures.clips == result["clips"] == 2
    assert set(figures.per_clip) == {"b", "c"}
    assert figures.counts == dict.fromkeys(figures.means, 2)
    assert result["l1_below_repeat"] < 0.02
    assert result["l1_below_repeat"] == pytest.approx(1 - result["l1"] / result["repeat_l1"])
    assert result["psnr_above_repeat"] < 0.2
    assert result["mouth_lmd"] == pytest.approx(result["repeat_mouth_lmd"], rel=0.1)
    assert result["repeat_l1"] > 0.02
    assert result["repeat_mouth_lmd"] > 0.02
    assert "face mesh" in result["backbone"]
    clip = held_out[0]
    true = [clip.frame(index, SIZE) for index in range(7, 30, 7)]
    expected = np.mean([l1(clip.frame(0, SIZE), picture) for picture in true])
    assert figures.per_clip["b"]["repeat_l1"] == pytest.approx(expected)
    assert result["repeat_l1"] == pytest.approx(np.mean([values["repeat_l1"] for values in figures.per_clip.values()]))


def test_clips_too_short_are_left_out(copying: EDTalk, held_out: list[Clip]):
    figures = measure(Reenactment(copying, held_out), every(50))
    assert figures == Figures({}, {}, figures.networks)
    assert figures.as_dict() == {"clips": 0, "per_clip": {}}


def test_mouth_of_a_copying_model_does_not_follow(copying: EDTalk, held_out: list[Clip]):
    copying.audio_to_lip = AudioToLip(widths=(8,) * 13).eval()
    try:
        figures = measure(Speech(copying, held_out))
    finally:
        copying.audio_to_lip = None
    assert figures.clips == 2
    assert list(figures.means) == ["own", "other", "amplitude"]
    assert abs(figures.means["own"]) < 0.3
    assert figures.means["amplitude"] < 0.05


def test_every_frame_is_rendered_once_for_all_metrics(copying: EDTalk, held_out: list[Clip]):
    """Metrics at rates of their own see frames of one rendering, in order; those that none asks for cost none."""
    protocol = Reenactment(copying, held_out[:1])
    take = next(iter(protocol.takes(held_out[0])))
    rendered: list[int] = []

    def render(indexes: Sequence[int]) -> Iterator[np.ndarray]:
        rendered.extend(indexes)
        return take.render(indexes)

    def numbers(name: str, rate: int) -> Metric:
        return Metric(name, "reenactment", "rendered", lambda frame: frame.index, "higher", list, every=rate)

    figures = measure_take(replace(take, render=render), [numbers("sixth", 6), numbers("ninth", 9)], protocol)
    assert figures == {"sixth": [6, 12, 18, 24], "ninth": [9, 18, 27]}
    assert rendered == [6, 9, 12, 18, 24, 27]
    rendered.clear()
    figures = measure_take(replace(take, render=render), [numbers("all", 1), numbers("ninth", 9)], protocol)
    assert figures["all"] == rendered == list(range(1, 30))


def test_metrics_get_what_they_say_they_need(copying: EDTalk, held_out: list[Clip]):
    protocol = Reenactment(copying, held_out[:1])
    take = next(iter(protocol.takes(held_out[0])))
    seen: dict[str, Frame] = {}

    def looking(name: str, needs: Need) -> Metric:
        def observe(frame: Frame) -> float:
            seen[name] = frame
            return 1.0

        return Metric(name, "reenactment", "rendered", observe, "higher", needs=needs, every=20)

    for name, needs in (("plain", Need.FRAMES), ("points", Need.LANDMARKS), ("heard", Need.SOUND)):
        assert measure_take(take, [looking(name, needs)], protocol) == {name: 1.0}
    # One that looks at more frames does not make the face be followed through them.
    all_frames = Metric("all", "reenactment", "rendered", lambda frame: frame.true_landmarks.size, "higher", list)
    assert sum(map(bool, measure_take(take, [looking("both", Need.LANDMARKS), all_frames], protocol)["all"])) == 1
    assert np.array_equal(seen["both"].true_landmarks, seen["points"].true_landmarks)
    clip = held_out[0]
    assert np.array_equal(seen["plain"].true, clip.frame(20, SIZE))
    assert seen["plain"].true_landmarks.size == seen["plain"].mel.size == seen["heard"].true_landmarks.size == 0
    assert np.array_equal(seen["heard"].mel, clip.mel_windows([20])[0])
    # The landmarks of the true frame are where the clip says, in shares of its side.
    stored = (clip.points[20] + 1) / 2
    assert np.abs(seen["points"].true_landmarks[:60] - stored[:60]).mean() < 0.02
    assert measure_take(replace(take, sound=None), [looking("heard", Need.SOUND)], protocol) == {}


def test_clip_without_a_face_is_named(copying: EDTalk, held_out: list[Clip], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(held_out[0], "frame", lambda index, size=256: np.full((size, size, 3), 128, np.uint8))
    with pytest.raises(FaceError, match=r"clip b .*no face"):
        measure(Reenactment(copying, held_out))


# The table


def test_keys_are_unique():
    keys = [(metric.protocol, metric.name) for metric in (*METRICS, *SUMMARIES)]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("metric", [*METRICS, *SUMMARIES], ids=lambda metric: metric.name)
def test_documentation_says_what_the_metric_means(metric: Metric | Summary):
    text = " ".join(evaluation.__doc__.split())
    part = text[text.index(f"`{metric.protocol}`:") :]
    if metric.name.startswith("repeat_"):
        assert f"`{metric.name}`" in part
        return
    # Its own entry, or one that it shares: from its name to the next entry.
    entry = part[part.index(f"`{metric.name}`") :].split(" - ")[0]
    assert metric.better in entry
    assert metric.unit in entry


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_better_figures_are_those_of_better_renderings(metric: Metric, face: np.ndarray):
    """Frames rendered as they are have better figures than blurred ones with a mouth that does not move."""
    import cv2

    small = cv2.resize(face, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    rng = np.random.default_rng(0)
    points = rng.uniform(0.2, 0.8, (20, 68, 2))

    def figure(picture: np.ndarray, landmarks: np.ndarray) -> float:
        pairs = enumerate(zip(points, landmarks, strict=True))
        return metric.summarise([metric.observe(Frame(i, small, picture, *both)) for i, both in pairs])

    perfect = figure(small, points)
    worse = figure(cv2.GaussianBlur(small, (0, 0), 3), points[0] + 0.01 * rng.standard_normal(points.shape))
    if metric.better == "lower":
        assert perfect < worse
    elif metric.name == "other":
        assert abs(perfect) > abs(worse)  # the sound of somebody else should drive the mouth elsewhere
    elif metric.better == "near 1":
        assert perfect == pytest.approx(1)
        assert worse < 0.9
    else:
        assert perfect > worse
