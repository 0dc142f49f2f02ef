"""Detail: frames larger than the model's show the portrait's own detail where the generator moved it, and no other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from edtalk_core.detail import (
    Detail,
    TemporalFilter,
    _mismatch,
    _pixel_centres,
    _resized,
    _sample_smoothly,
    frame_size,
    resize,
)
from edtalk_core.errors import ArgumentError

S, N = 64, 192


@pytest.fixture(scope="module")
def portrait() -> Tensor:
    """A soft picture with fine texture, (1,3,N,N)."""
    generator = torch.Generator().manual_seed(0)
    broad = F.interpolate(torch.rand(1, 3, 6, 6, generator=generator) * 1.2 - 0.6, size=(N, N), mode="bicubic")
    return (broad + 0.1 * torch.randn(1, 3, N, N, generator=generator)).clamp(-1, 1)


def flow_of(x: float = 0.0, y: float = 0.0) -> Tensor:
    """The raw flow (1,3,S,S) that takes each pixel from a place so many pixels to the right and below."""
    shift = torch.tensor([x, y]).reshape(1, 2, 1, 1) * 2 / S - _mismatch(S, torch.device("cpu"))
    return torch.cat([torch.atanh(shift), torch.zeros(1, 1, S, S)], dim=1)


def detail_of(portrait: Tensor, still: np.ndarray | None = None) -> Detail:
    return Detail(portrait, resize(portrait, S), still)


def fine(images: Tensor) -> Tensor:
    """What an image has beyond the model's resolution."""
    return images - F.interpolate(resize(images, S), size=images.shape[-2:], mode="bicubic")


def likeness(a: Tensor, b: Tensor) -> float:
    return float((a * b).sum() / (a.square().sum() * b.square().sum()).sqrt())


def test_a_frame_that_shows_the_portrait_is_the_portrait_at_its_own_resolution(portrait):
    frame = detail_of(portrait).add(resize(portrait, S), flow_of())
    assert float((frame - portrait).abs().max()) < 1e-3


@pytest.mark.parametrize("pixels", [0.0, 0.25, 0.5, 0.75, 1.0])
def test_detail_is_as_sharp_wherever_it_lies_between_pixels(pixels):
    noise = 0.1 * torch.randn(1, 3, N // 2, N // 2, generator=torch.Generator().manual_seed(0))
    texture = F.interpolate(noise, size=(N, N), mode="bicubic")
    frame = detail_of(texture).add(resize(texture, S), flow_of(pixels / 3, 0))
    energy = [float(image[..., 9:-9, 9:-9].diff(dim=3, n=2).square().mean()) for image in (frame, texture)]
    assert 0.9 < energy[0] / energy[1] < 1.05


def test_detail_moves_with_the_flow(portrait):
    moved = portrait.roll((-6, 9), (3, 2))  # by the 2 and -3 pixels of the model that its flow says
    frame = detail_of(portrait).add(resize(moved, S), flow_of(2, -3))
    inside = (..., slice(24, -24), slice(24, -24))
    assert likeness(fine(frame)[inside], fine(moved)[inside]) > 0.97
    assert abs(likeness(fine(frame)[inside], fine(portrait)[inside])) < 0.1


def test_what_the_generator_shows_instead_of_the_portrait_stays_and_gets_no_detail_of_it(portrait):
    image = resize(portrait, S).clone()
    image[..., 24:40, 24:40] = image[..., 24:40, 24:40] * 0.2 - 0.7  # an open mouth, dark
    frame = detail_of(portrait).add(image, flow_of())
    mouth = (..., slice(3 * 28, 3 * 36), slice(3 * 28, 3 * 36))
    expected = F.interpolate(image, size=(N, N), mode="bilinear")
    assert float((frame - expected)[mouth].abs().mean()) < 0.03
    assert float(fine(frame)[mouth].std()) < 0.2 * float(fine(portrait)[mouth].std())
    face = (..., slice(0, 48), slice(0, 48))
    assert likeness(fine(frame)[face], fine(portrait)[face]) > 0.97


def test_a_place_that_a_turning_head_uncovers_is_not_smeared_with_detail(portrait):
    flow = flow_of()
    flow[:, 0, :, 20:44] -= torch.atanh((torch.arange(20, 44) - 20.0) * 2 / S)  # 24 columns show the same one
    image = resize(detail_of(portrait).add(resize(portrait, S), flow), S)
    frame = detail_of(portrait).add(image, flow)
    smear = (..., slice(30, -30), slice(3 * 26, 3 * 38))
    assert float(fine(frame)[smear].std()) < 0.35 * float(fine(portrait)[smear].std())


def test_generated_parts_are_sharpened_as_far_as_the_generator_is_softer_than_the_portrait(portrait):
    coarse = resize(portrait, S)
    soft = F.avg_pool2d(F.pad(coarse, (1, 1, 1, 1), mode="replicate"), 3, 1)
    generator = torch.Generator().manual_seed(1)
    texture = F.avg_pool2d(torch.rand(1, 3, 18, 18, generator=generator), 3, 1)
    sharpness = {}
    for name, image in (("soft", soft), ("sharp", coarse)):
        image = image.clone()
        image[..., 24:40, 24:40] = 1.2 * texture - 1.1
        frame = detail_of(portrait).add(image, flow_of())
        sharpness[name] = float(resize(frame, S)[..., 27:37, 27:37].diff().abs().mean())
    assert sharpness["soft"] > 1.15 * sharpness["sharp"]


def test_the_dark_rim_of_the_generator_is_replaced(portrait):
    image = resize(portrait, S).clone()
    inside = torch.zeros(S, S)
    inside[2:-2, 2:-2] = 1
    frame = detail_of(portrait).add(torch.lerp(torch.tensor(-1.0), image, inside), flow_of())
    assert float((frame - portrait)[..., :6, :].abs().mean()) < 0.06
    assert float((frame - portrait)[..., -6:].abs().mean()) < 0.06


def test_still_places_are_the_portrait_whatever_the_generator_does(portrait):
    still = np.ones((S, S), np.float32)
    still[:, :8] = 0
    frame = detail_of(portrait, still).add(-resize(portrait, S), flow_of(5, 5))
    assert float((frame - portrait)[..., :20].square().mean().sqrt()) < 0.02
    assert float((frame - portrait)[..., 60:].abs().mean()) > 0.1


def test_frames_do_not_depend_on_those_beside_them(portrait):
    images = torch.cat([resize(portrait, S), -resize(portrait, S), resize(portrait, S).flip(3)])
    flows = torch.cat([flow_of(), flow_of(1, 1), flow_of(-2, 0)])
    detail = detail_of(portrait)
    together = detail.add(images, flows)
    for index in range(3):
        assert torch.equal(together[index : index + 1], detail.add(images[[index]], flows[[index]]))


def test_each_frame_may_have_a_portrait_of_its_own(portrait):
    portraits = torch.cat([portrait, portrait.flip(3)])
    together = detail_of(portraits).add(resize(portraits, S), flow_of().expand(2, -1, -1, -1))
    assert torch.equal(together[1:], detail_of(portraits[1:]).add(resize(portraits[1:], S), flow_of()))


def test_a_cpu_resizes_and_samples_as_other_devices_do(portrait):
    soft = resize(portrait, S)
    places = flow_of(0.4, -1.7)[:, :2].tanh() + _mismatch(S, torch.device("cpu"))
    grid = (places + _pixel_centres(S, torch.device("cpu"))).permute(0, 2, 3, 1)
    cubic = F.grid_sample(soft, grid, "bicubic", "border", align_corners=False)
    assert float((_sample_smoothly(soft, places) - cubic).abs().max()) < 0.02  # 1/64 of a pixel
    assert torch.allclose(_resized(soft, 90), F.interpolate(soft, 90, mode="bilinear"), atol=1e-4)
    assert torch.allclose(_resized(portrait, 24, area=True), F.interpolate(portrait, 24, mode="area"), atol=1e-4)


LEVEL = 2 / 255


def steady(*images: Tensor) -> list[Tensor]:
    """The images as a filter gives them, one after the other."""
    temporal = TemporalFilter(S)
    return [temporal(image.clone().contiguous(memory_format=torch.channels_last)) for image in images]


def test_what_flickers_unseen_is_held_still(portrait):
    flickering = portrait + LEVEL * torch.randn(portrait.shape, generator=torch.Generator().manual_seed(2))
    first, second = steady(portrait, flickering)
    assert torch.equal(first, portrait)
    assert float((second - first).std()) < 0.05 * float((flickering - portrait).std())


def test_what_moves_passes_and_only_there(portrait):
    moved = portrait.clone()
    moved[..., :96, :] = portrait[..., :96, :].roll(2, 3)
    moved[..., 96:, :] += 0.5 * LEVEL
    _, frame = steady(portrait, moved)
    assert float((frame - moved)[..., :80, :].abs().mean()) < 0.02 * float((moved - portrait)[..., :80, :].abs().mean())
    assert torch.allclose(frame[..., 120:, :], portrait[..., 120:, :], atol=0.01 * LEVEL)


def test_a_slow_change_is_followed_and_never_more_than_a_few_levels_behind(portrait):
    images = [portrait + 0.3 * LEVEL * step for step in range(60)]
    behind = [float((image - frame).abs().max()) / LEVEL for image, frame in zip(images, steady(*images), strict=True)]
    assert max(behind) < 3
    assert behind[-1] == pytest.approx(behind[30], abs=0.1)  # 0.3 levels a frame, as the images


def test_a_filter_does_not_depend_on_the_batch_and_keeps_no_frame_of_the_caller(portrait):
    images = torch.cat([portrait + step * LEVEL for step in (0, 0.5, 2, 3)])
    one_by_one = torch.cat(steady(*images.split(1)))
    temporal = TemporalFilter(S)
    first = temporal(images[:3].clone().contiguous(memory_format=torch.channels_last))
    assert torch.equal(first, one_by_one[:3])
    first.zero_()
    last = temporal(images[3:].clone().contiguous(memory_format=torch.channels_last))
    assert torch.equal(last, one_by_one[3:])


@pytest.mark.parametrize(
    ("size", "own", "expected"),
    [
        ("model", 900, 256),
        (256, 900, 256),
        (512, 900, 512),
        ("768", 300, 768),
        ("own", 900, 900),
        ("own", 1600, 1024),
        ("own:1600", 1700, 1600),
        ("own", 120, 256),
        (2048, 300, 2048),
    ],
)
def test_sizes(size, own, expected):
    assert frame_size(size, own, 256) == expected


@pytest.mark.parametrize("size", ["", "big", 255, 2049, -512, True, 512.5, "own:", "own:100", "own:5000", None])
def test_other_sizes_are_refused_in_words(size):
    with pytest.raises(ArgumentError, match=r"256 to 2048, not"):
        frame_size(size, 900, 256)
