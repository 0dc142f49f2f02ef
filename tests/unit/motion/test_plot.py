"""Plots of motion: what is drawn where, at all sizes and lengths."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edtalk_core.errors import ArgumentError, EDTalkError, MotionError
from edtalk_core.motion.motion import Motion
from edtalk_core.motion.plot import BUSIEST, _colour, plot_motion


def random_motion(frames: int, seed: int = 0, fps: float = 25.0) -> Motion:
    generator = torch.Generator().manual_seed(seed)
    widths = {"lip": 20, "pose": 6, "expression": 10}
    return Motion(fps=fps, **{name: torch.randn(frames, width, generator=generator) for name, width in widths.items()})


def pose_of(*curves: torch.Tensor, width: int = 6, fps: float = 25.0) -> Motion:
    """A pose whose first bases follow the curves; the others stay at zero."""
    pose = torch.zeros(len(curves[0]), width)
    for base, curve in enumerate(curves):
        pose[:, base] = curve
    return Motion(pose=pose, fps=fps)


def panels(picture: np.ndarray) -> list[tuple[int, int, int, int]]:
    """Left, top, right, bottom inside of the frames of all panels, top to bottom."""
    frame = (picture == 150).all(axis=2)
    width = picture.shape[1]
    rows = [int(row) for row in np.flatnonzero(frame.sum(axis=1) > 0.4 * width)]
    boxes = []
    for top, bottom in zip(rows[::2], rows[1::2], strict=True):
        columns = np.flatnonzero(frame[top])
        boxes.append((int(columns[0]) + 1, top + 1, int(columns[-1]), bottom))
    return boxes


def drawn(picture: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
    """Where strong lines are in a panel: True for pixels of a colour that is neither grey nor pale."""
    left, top, right, bottom = box
    area = picture[top:bottom, left:right].astype(int)
    return (np.ptp(area, axis=2) > 40) & (area.min(axis=2) < 130)


def strong_bases(picture: np.ndarray, box: tuple[int, int, int, int]) -> set[int]:
    """The bases whose colour, unmixed, has many pixels in a panel."""
    left, top, right, bottom = box
    area = picture[top:bottom, left:right]
    return {base for base in range(20) if (area == _colour(base)).all(axis=2).sum() > 0.15 * (right - left)}


@pytest.mark.parametrize("size", [(1024, 768), (512, 512), (512, 384), (256, 256), (300, 2000), (3000, 400)])
@pytest.mark.parametrize("frames", [1, 2, 180])
def test_any_size_and_length_gives_a_picture_with_a_panel_a_track(size, frames):
    picture = plot_motion(random_motion(frames), size=size)
    assert picture.shape == (size[1], size[0], 3)
    assert picture.dtype == np.uint8
    boxes = panels(picture)
    assert len(boxes) == 3
    for box in boxes:
        left, top, right, bottom = box
        assert right - left > 0.5 * size[0]
        assert bottom - top > 0.15 * size[1]
        columns = drawn(picture, box).any(axis=0)
        assert columns.mean() > 0.9  # curves from one side to the other, also of a single frame


def test_only_the_tracks_asked_for_are_drawn():
    motion = random_motion(30)
    assert len(panels(plot_motion(motion, tracks=["pose"]))) == 1
    assert np.array_equal(plot_motion(motion, tracks=["pose"]), plot_motion(motion.select("pose")))
    assert len(panels(plot_motion(motion.without("lip")))) == 2


def test_a_curve_runs_where_its_weights_are():
    time = torch.arange(251) / 25
    picture = plot_motion(pose_of(torch.sin(2 * torch.pi * 0.2 * time)))
    box = panels(picture)[0]
    mask = drawn(picture, box)
    assert mask.any(axis=0).all()
    height, width = mask.shape
    y = np.array([np.flatnonzero(column).mean() for column in mask.T])
    expected = np.sin(2 * np.pi * 0.2 * np.arange(width) / width * 251 / 25)
    # -1 to 1 fill the panel but for a margin of a twentieth on both sides.
    assert np.abs((1 - 2 * y / height) * 1.1 - expected)[: int(0.98 * width)].max() < 0.05


def test_higher_is_up_and_the_zero_line_is_there():
    picture = plot_motion(pose_of(torch.full((50,), 2.0), torch.full((50,), -1.0), width=2))
    left, top, right, bottom = panels(picture)[0]
    middle = drawn(picture, (left, top, right, bottom))[:, (right - left) // 2]
    lines = np.flatnonzero(np.diff(np.concatenate([[0], middle.astype(int), [0]]))).reshape(-1, 2).mean(axis=1)
    assert len(lines) == 2
    up, down = lines
    zero_line = np.flatnonzero((picture[top:bottom, left + 2] == 110).all(axis=1))
    assert len(zero_line) == 1
    assert zero_line[0] - up == pytest.approx(2 * (down - zero_line[0]), abs=3)


@pytest.mark.parametrize("place", [0, 1, 777, 7777, 14998, 14999])
@pytest.mark.parametrize("sign", [1, -1])
def test_no_peak_of_a_long_motion_is_lost(place, sign):
    generator = torch.Generator().manual_seed(place)
    curve = 0.01 * torch.randn(15_000, generator=generator)
    curve[place] = 5.0 * sign
    picture = plot_motion(pose_of(curve, -0.01 * torch.ones(15_000)))
    box = panels(picture)[0]
    mask = drawn(picture, box)
    height, width = mask.shape
    rows = mask[: height // 8] if sign > 0 else mask[-height // 8 :]
    reached = np.flatnonzero(rows.any(axis=0))
    assert len(reached)
    assert np.abs(reached - place / 15_000 * width).max() < 4


def test_many_frames_in_a_column_are_drawn_as_what_they_span():
    time = torch.arange(15_000) / 25
    picture = plot_motion(pose_of(torch.sin(2 * torch.pi * 3 * time) * (1 + (time > 300))))
    box = panels(picture)[0]
    spans = drawn(picture, box).sum(axis=0)
    half = len(spans) // 2
    assert spans[10 : half - 10].mean() == pytest.approx(spans[half + 10 : -10].mean() / 2, rel=0.05)


def test_bases_differ_in_colour():
    palette = np.array([_colour(base) for base in range(20)])
    distances = np.linalg.norm(palette[:, None] - palette, axis=2)[np.triu_indices(20, 1)]
    assert distances.min() > 40


@pytest.mark.parametrize("bases", [{0, 1, 2, 3, 4, 5}, {3}, {3, 17}, {0, 7, 9, 11, 19}])
def test_each_base_is_drawn_in_its_colour(bases):
    lip = torch.zeros(100, 20)
    for height, base in enumerate(sorted(bases)):
        lip[:, base] = 1.0 + height + torch.linspace(0, 0.2, 100)
    picture = plot_motion(Motion(lip=lip))
    assert strong_bases(picture, panels(picture)[0]) == bases


def test_the_busiest_bases_stand_out():
    # Slow waves, each at a height of its own, and the higher the base's number the larger.
    time = torch.linspace(0, 6.28, 200)
    lip = torch.stack([3.0 * base + torch.sin(time + base) * (0.1 + 0.05 * base) for base in range(20)], dim=1)
    picture = plot_motion(Motion(lip=lip), size=(1024, 1024))
    assert strong_bases(picture, panels(picture)[0]) == set(range(20 - BUSIEST, 20))


@pytest.mark.parametrize("weights", [torch.zeros(20, 6), torch.full((20, 6), 3.0), torch.full((20, 6), -1e30)])
def test_a_constant_motion_can_be_drawn(weights):
    picture = plot_motion(Motion(pose=weights))
    assert len(panels(picture)) == 1


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1e6, 3e38])
def test_any_scale_can_be_drawn(scale):
    curve = torch.sin(torch.linspace(0, 6, 50)) * scale
    picture = plot_motion(pose_of(curve))
    mask = drawn(picture, panels(picture)[0])
    assert mask.any(axis=0).all()
    rows = np.flatnonzero(mask.any(axis=1))
    assert np.ptp(rows) > 0.8 * len(mask)


def test_before_is_dashed_behind_the_strong_bases():
    motion, before = pose_of(torch.full((100,), 2.0), width=1), pose_of(torch.full((100,), 1.0), width=1)
    picture = plot_motion(motion, before=before)
    mask = drawn(picture, panels(picture)[0])
    covered = mask.mean(axis=1)
    solid, dashed = np.flatnonzero(covered > 0.95), np.flatnonzero((covered > 0.3) & (covered < 0.7))
    assert len(solid)
    assert len(dashed)
    assert solid.max() < dashed.min()


def test_before_may_be_longer_and_of_another_rate_and_lack_tracks():
    motion = random_motion(50)
    before = random_motion(180, seed=1, fps=30).select("pose")
    picture = plot_motion(motion, before=before)
    masks = [drawn(picture, box) for box in panels(picture)]
    share = 2.0 / 6.0  # of the time axis, which is as long as the longer of the two
    columns = [np.flatnonzero(mask.any(axis=0)).max() / mask.shape[1] for mask in masks]
    assert columns[0] == pytest.approx(share, abs=0.01)
    assert columns[1] > 0.97
    assert columns[2] == pytest.approx(share, abs=0.01)


def test_bases_that_were_changed_stand_out_beside_before():
    generator = torch.Generator().manual_seed(0)
    lip = 5 * torch.randn(100, 20, generator=generator).cumsum(0) / 10
    changed = lip.clone()
    changed[:, 12] += 0.5
    picture = plot_motion(Motion(lip=changed), before=Motion(lip=lip))
    assert strong_bases(picture, panels(picture)[0]) == {12}


def test_a_motion_beside_itself_is_drawn_as_usual():
    motion = random_motion(40)
    picture = plot_motion(motion, before=motion)
    assert len(panels(picture)) == 3


def test_the_heading_tells_rate_and_length():
    curve = torch.linspace(0, 1, 50)
    pictures = [plot_motion(pose_of(curve, fps=fps)) for fps in (25.0, 30.0)]
    headings = [picture[: panels(picture)[0][1] - 25] for picture in pictures]
    assert (headings[0] < 100).any()
    assert not np.array_equal(*headings)


def test_nothing_is_changed_and_the_picture_is_always_the_same():
    motion = random_motion(30)
    copy = motion.map(lambda track: track)
    assert np.array_equal(plot_motion(motion), plot_motion(motion))
    assert motion.equals(copy)


MISTAKES = {
    "size too small": ({"size": (100, 768)}, ArgumentError, "256"),
    "size too large": ({"size": (1024, 10_000)}, ArgumentError, "8192"),
    "size a fraction": ({"size": (1024.0, 768)}, ArgumentError, "whole"),
    "size of three": ({"size": (1024, 768, 3)}, ArgumentError, "width, height"),
    "no track": ({"tracks": []}, ArgumentError, "at least one"),
    "unknown track": ({"tracks": ["lips"]}, ArgumentError, "'lips'"),
    "missing track": ({"tracks": ["expression"]}, MotionError, "no expression track"),
    "before of another model": ({"before": Motion(pose=torch.zeros(5, 3))}, MotionError, "different models"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_told(mistake):
    arguments, kind, words = MISTAKES[mistake]
    with pytest.raises(EDTalkError, match=words) as caught:
        plot_motion(random_motion(5).without("expression"), **arguments)
    assert type(caught.value) is kind
