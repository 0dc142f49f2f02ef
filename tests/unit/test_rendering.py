"""Rendering: the same frames as the networks give, as a stream, in any precision, in little memory."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from edtalk_core.builtin_files import builtin_file
from edtalk_core.checkpoints.loading import load_model
from edtalk_core.devices import fastest_device
from edtalk_core.errors import ArgumentError, Cancelled, EDTalkError, MotionError, OutOfMemory
from edtalk_core.media.picture import images_to_pictures, picture_to_image, read_picture
from edtalk_core.model import EDTalk, Portrait
from edtalk_core.motion.motion import Motion
from edtalk_core.networks.sizes import ModelSizes
from edtalk_core.portrait import portrait_from_picture
from edtalk_core.precision import automatic_precision
from edtalk_core.rendering import FrameRenderer, Renderer
from edtalk_core.training.initialisation import identity_copy

SMALL = ModelSizes(
    resolution=32, style=24, lip=5, pose=3, expression=4, channels={4: 12, 8: 10, 16: 8, 32: 6}, expression_hidden=7
)
LIP_POSE = ModelSizes(**{**SMALL.__dict__, "expression": 0})


def small_model(sizes: ModelSizes = SMALL, seed: int = 0) -> EDTalk:
    torch.manual_seed(seed)
    model = EDTalk(sizes)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if name.endswith("bias"):
                value.copy_(0.3 * torch.randn_like(value) + name.endswith("modulation.bias"))
    return model.eval()


def portrait_of(model: EDTalk, seed: int = 1) -> Portrait:
    size = model.sizes.resolution
    image = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    with torch.no_grad():
        return model.encode_portrait(image)


def tracks_for(sizes: ModelSizes, frames: int, expressions: str = "changing") -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(frames)
    tracks = {name: torch.randn(frames, getattr(sizes, name), generator=generator) for name in ("lip", "pose")}
    if sizes.expression:
        rows = {
            "constant": [0] * frames,
            "changing": list(range(frames)),
            "steps": [int(i > frames // 3) + int(i > frames // 2) for i in range(frames)],
        }[expressions]
        tracks["expression"] = torch.randn(frames, sizes.expression, generator=generator)[rows]
    return tracks


def directly(model: EDTalk, portrait: Portrait, tracks: dict[str, Tensor]) -> Tensor:
    """What the networks give when each frame goes through them alone, nothing prepared."""
    images = []
    with torch.no_grad():
        for i in range(len(tracks["lip"])):
            frame = {name: track[i : i + 1] for name, track in tracks.items()}
            direction, expression = model.directions(frame["lip"], frame["pose"], frame.get("expression"))
            images.append(model.dec(portrait.latent + direction, list(portrait.features), expression))
    return torch.cat(images)


def rms_error(found: Tensor, expected: Tensor) -> float:
    assert found.shape == expected.shape
    return float((found - expected).square().mean().sqrt() / expected.square().mean().sqrt())


def psnr(found: Tensor, expected: Tensor) -> list[float]:
    """Of every frame, in dB, with values as shown: clamped to [-1,1]."""
    error = ((found.clamp(-1, 1) - expected.clamp(-1, 1)) / 2).square().mean((1, 2, 3))
    return [float(value) for value in -10 * error.log10()]


class Calls:
    """Counts calls of a module, and sees their first input."""

    def __init__(self, module: nn.Module) -> None:
        self.batches: list[int] = []
        module.register_forward_pre_hook(lambda module, inputs: self.batches.append(len(inputs[0])))


# --- what is rendered ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 3, 4, 20])
@pytest.mark.parametrize("expressions", ["constant", "changing", "steps"])
def test_frames_equal_those_of_the_networks(expressions: str, batch: int):
    model = small_model()
    portrait = portrait_of(model)
    tracks = tracks_for(SMALL, 10, expressions)
    rendered = Renderer(model, portrait, precision="fp32", batch=batch).render(**tracks)
    assert rendered.dtype == torch.float32
    assert rms_error(rendered, directly(model, portrait, tracks)) < 1e-4


def test_lip_pose_model_renders_and_leaves_expressions_out():
    model = small_model(LIP_POSE)
    portrait = portrait_of(model)
    tracks = tracks_for(LIP_POSE, 5)
    renderer = Renderer(model, portrait, precision="fp32")
    rendered = renderer.render(**tracks)
    assert rms_error(rendered, directly(model, portrait, tracks)) < 1e-4
    assert torch.equal(renderer.render(**tracks, expression=torch.randn(5, 4)), rendered)


@pytest.mark.parametrize("missing", ["lip", "pose", "expression"])
def test_a_missing_track_is_the_portraits_own(missing: str):
    model = small_model()
    portrait = portrait_of(model)
    tracks = tracks_for(SMALL, 6)
    whole = {**tracks, missing: portrait.own.track(missing).expand(6, -1)}
    del tracks[missing]
    renderer = Renderer(model, portrait, precision="fp32")
    assert torch.equal(renderer.render(**tracks), renderer.render(**whole))


def test_without_any_track_the_portrait_is_rendered_as_it_is():
    model = small_model()
    portrait = portrait_of(model)
    renderer = Renderer(model, portrait, precision="fp32")
    assert torch.equal(renderer.render(), renderer.render(**portrait.own.tracks))
    assert renderer.render().shape == (1, 3, 32, 32)


def test_images_are_not_clamped_and_pictures_are():
    model = small_model()
    renderer = Renderer(model, portrait_of(model), precision="fp32", batch=2)
    motion = Motion(**tracks_for(SMALL, 5))
    images = renderer.render(**motion.tracks)
    assert images.max() > 1
    pictures = list(renderer.pictures(motion))
    assert [(picture.shape, picture.dtype) for picture in pictures] == [((32, 32, 3), np.uint8)] * 5
    assert np.array_equal(np.stack(pictures), images_to_pictures(images))


def test_rendering_leaves_model_and_portrait_as_they_were():
    model = small_model()
    portrait = portrait_of(model)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    features = [feature.clone() for feature in portrait.features]
    renderer = Renderer(model, portrait, precision="bf16")
    tracks = tracks_for(SMALL, 6)
    first = renderer.render(**tracks)
    assert torch.equal(renderer.render(**tracks), first)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(torch.equal(a, b) for a, b in zip(portrait.features, features, strict=True))
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64], ids=["bf16", "fp64"])
def test_a_model_of_another_precision_renders(dtype: torch.dtype):
    model = small_model().to(dtype)
    portrait = portrait_of(model)
    tracks = tracks_for(SMALL, 3)
    rendered = Renderer(model, portrait, precision="fp32").render(**tracks)
    plain = small_model()
    plain.load_state_dict(model.state_dict())
    same = Portrait(portrait.latent.float(), tuple(f.float() for f in portrait.features), portrait.own)
    assert rms_error(rendered, directly(plain, same, tracks)) < 1e-4


@pytest.mark.skipif(fastest_device().type == "cpu", reason="needs an accelerator")
@pytest.mark.parametrize("precision", ["fp32", "auto"])
def test_an_accelerator_gives_the_same_frames(precision: str):
    model = small_model()
    portrait = portrait_of(model)
    tracks = tracks_for(SMALL, 10, "steps")
    expected = Renderer(model, portrait, precision="fp32").render(**tracks)
    moved = Renderer(small_model().to(fastest_device()), portrait, precision=precision).render(**tracks)
    assert moved.device.type == fastest_device().type
    assert rms_error(moved.cpu(), expected) < 0.1  # TF32 and 16 bits are coarse, and this model's features are noise


def test_inference_mode_and_training_go_on_with_what_was_made_in_the_other():
    model = small_model()
    tracks = tracks_for(SMALL, 3)
    with torch.inference_mode():
        portrait = model.encode_portrait(torch.zeros(1, 3, 32, 32))
        inside = Renderer(model, portrait, precision="fp32")
        expected = inside.render(**tracks)
    assert torch.equal(inside.render(**tracks), expected)
    outside = Renderer(model, portrait_of(model), precision="fp32")
    with torch.inference_mode():
        outside.render(**tracks)
    outside.render(**tracks).add_(1)  # a user may go on with the images in place
    direction, expression = model.directions(*tracks.values())
    features = [feature.clone() for feature in portrait_of(model).features]
    model.dec(direction, features, expression).mean().backward()
    assert model.dec.conv1.conv.weight.grad is not None


# --- the stream ------------------------------------------------------------------------------------------------------


def test_stream_gives_batches_in_order_and_reports_what_was_taken():
    model = small_model()
    renderer = Renderer(model, portrait_of(model), precision="fp32", batch=4)
    motion = Motion(**tracks_for(SMALL, 10))
    told: list[tuple[int, int | None]] = []
    batches = []
    for images in renderer.stream(motion, lambda done, total: told.append((done, total))):
        assert len(told) == len(batches)  # of this batch it is told once it was taken
        batches.append(images)
    assert [len(images) for images in batches] == [4, 4, 2]
    assert told == [(4, 10), (8, 10), (10, 10)]
    assert torch.equal(torch.cat(batches), renderer.render(**motion.tracks))


@pytest.mark.parametrize("kind", [Cancelled, KeyboardInterrupt])
@pytest.mark.parametrize("method", ["stream", "pictures"])
def test_progress_cancels_by_raising_and_what_came_before_is_kept(method: str, kind: type[BaseException]):
    model = small_model()
    renderer = Renderer(model, portrait_of(model), precision="fp32", batch=2)

    def stop(done: int, total: int | None) -> None:
        if done >= 4:
            raise kind("enough")

    kept: list[object] = []
    with pytest.raises(kind, match="enough"):
        kept.extend(getattr(renderer, method)(Motion(**tracks_for(SMALL, 100)), stop))
    assert len(kept) == (2 if method == "stream" else 4)


def test_frames_are_computed_only_when_asked_for():
    model = small_model()
    calls = Calls(model.dec.conv1)
    renderer = Renderer(model, portrait_of(model), precision="fp32", batch=4)
    stream = renderer.stream(Motion(**tracks_for(SMALL, 20_000)))
    next(stream)
    next(stream)
    assert calls.batches == [4, 4]


@pytest.mark.parametrize(
    ("expressions", "enhancements"), [("constant", 1), ("steps", 4), ("changing", 4)], ids=["constant", "steps", "all"]
)
def test_an_expression_that_stays_is_applied_once(expressions: str, enhancements: int):
    model = small_model()
    calls = Calls(model.dec.fineadainresblock[0].norm2)
    renderer = Renderer(model, portrait_of(model), precision="fp32", batch=3)
    for _ in renderer.stream(Motion(**tracks_for(SMALL, 12, expressions))):
        pass
    assert len(calls.batches) == enhancements


def test_the_portraits_part_of_eem_is_computed_once():
    model = small_model()
    calls = Calls(model.dec.fineadainresblock[-1].conv2)
    renderer = Renderer(model, portrait_of(model), precision="fp32")
    renderer.render(**tracks_for(SMALL, 12))
    renderer.render(**tracks_for(SMALL, 5))
    assert calls.batches == [1]


# --- precision -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def talking() -> tuple[EDTalk, Portrait]:
    """A model like the demo's: it warps the portrait's own pixels by several pixels, and fills in a little."""
    torch.manual_seed(0)
    channels = {4: 64, 8: 64, 16: 64, 32: 48, 64: 32, 128: 16}
    model = EDTalk(ModelSizes(resolution=128, style=128, channels=channels)).eval()
    identity_copy(model)
    with torch.no_grad():
        for to_flow in model.dec.to_flows:
            to_flow.conv.weight.normal_().mul_(0.1)
        for to_rgb in list(model.dec.to_rgbs)[:-1]:
            to_rgb.conv[0].weight.normal_().mul_(0.01)
        picture = read_picture(builtin_file("examples/portrait.jpg"))
        side = min(picture.shape[:2])
        return model, model.encode_portrait(picture_to_image(picture[:side, :side], 128))


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_lower_precision_looks_the_same(talking: tuple[EDTalk, Portrait], precision: str):
    model, portrait = talking
    generator = torch.Generator().manual_seed(0)
    tracks = [torch.randn(6, width, generator=generator) for width in (20, 6, 10)]
    expected = Renderer(model, portrait, precision="fp32").render(*tracks)
    still = Renderer(model, portrait, precision="fp32").render()
    assert max(psnr(expected, still.expand_as(expected))) < 30  # it moves
    renderer = Renderer(model, portrait, precision=precision)
    found = renderer.render(*tracks)
    assert renderer.precision == precision
    assert found.dtype == torch.float32
    assert min(psnr(found, expected)) >= 38


def test_demo_weights_look_the_same_in_bf16():
    try:
        model = load_model("demo")
    except EDTalkError as error:
        pytest.skip(f"needs the demo weights: {error}")
    size = model.sizes.resolution
    picture = read_picture(builtin_file("examples/portrait.jpg"))
    side = min(picture.shape[:2])
    with torch.no_grad():
        portrait = model.encode_portrait(picture_to_image(picture[:side, :side], size))
    generator = torch.Generator().manual_seed(0)
    tracks = [
        track + torch.randn(6, track.shape[1], generator=generator) * track.std()
        for track in portrait.own.tracks.values()
    ]
    expected = Renderer(model, portrait, precision="fp32").render(*tracks)
    assert min(psnr(Renderer(model, portrait, precision="bf16").render(*tracks), expected)) >= 38


@pytest.mark.parametrize("where", ["image", "flow"])
def test_fp16_that_overflows_gives_way_to_a_wider_range(where: str, caplog: pytest.LogCaptureFixture):
    model = small_model()
    with torch.no_grad():
        # Beyond 65504: infinite in fp16. A flow of infinity is a valid place after tanh and does not show as NaN.
        bias = model.dec.convs[2 if where == "image" else -1].activate.bias
        bias.copy_(2e5 * (1 if where == "flow" else torch.randn_like(bias)))
    portrait = portrait_of(model)
    tracks = tracks_for(SMALL, 6)
    renderer = Renderer(model, portrait, precision="fp16", batch=2)
    with caplog.at_level(logging.WARNING, logger="edtalk"):
        rendered = renderer.render(**tracks)
    assert renderer.precision in ("bf16", "fp32")
    assert torch.equal(rendered, Renderer(model, portrait, precision=renderer.precision, batch=2).render(**tracks))
    assert [record.message for record in caplog.records if "fp16" in record.message] == [
        f"fp16 overflows with this model: rendering in {renderer.precision}"
    ]


def test_flow_and_sampling_stay_in_float32(talking: tuple[EDTalk, Portrait]):
    model, portrait = talking
    renderer = Renderer(model, portrait, precision="bf16")
    seen: list[tuple[str, torch.dtype]] = []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, arguments=(), options=None):  # type: ignore[no-untyped-def]
            seen.extend((function.__name__, a.dtype) for a in arguments if isinstance(a, Tensor))
            return function(*arguments, **(options or {}))

    with Watch():
        renderer.render()
    assert {dtype for name, dtype in seen if name.startswith(("grid_sampler", "tanh", "sigmoid"))} == {torch.float32}
    assert torch.bfloat16 in {dtype for name, dtype in seen if name.startswith("convolution")}


def test_auto_is_what_the_device_can_do():
    model = small_model()
    chosen = Renderer(model, portrait_of(model)).precision
    assert chosen == automatic_precision(model.device, SMALL.channels[32])


def test_a_frame_that_overflows_changes_no_other(caplog: pytest.LogCaptureFixture):
    """Only an expression of this strength overflows: its frame is rendered anew, whatever stands beside it."""
    model = small_model()
    portrait = portrait_of(model)
    tracks = tracks_for(SMALL, 6)
    tracks["lip"][3] *= 1e5
    usual = {name: track[[0, 1, 2, 4, 5]] for name, track in tracks.items()}
    with caplog.at_level(logging.WARNING, logger="edtalk"):
        renderers = [Renderer(model, portrait, precision="fp16", batch=batch) for batch in (1, 4, 6)]
        assert not caplog.records  # the portrait itself does not overflow
        images = [renderer.render(**tracks) for renderer in renderers]
    assert all(torch.isfinite(rendered).all() for rendered in images)
    assert [record.message for record in caplog.records] == ["fp16 overflows with this model: rendering in fp32"] * 3
    assert [renderer.precision for renderer in renderers] == ["fp16"] * 3
    for rendered in images:
        assert rms_error(rendered, images[0]) < 1e-2
        alone = Renderer(model, portrait, precision="fp16").render(**usual)
        assert rms_error(rendered[[0, 1, 2, 4, 5]], alone) < 1e-2


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.usefixtures("threads")
def test_frames_do_not_depend_on_batch_and_threads_beyond_rounding(talking: tuple[EDTalk, Portrait], precision: str):
    """The bounds are those that Renderer promises."""
    model, portrait = talking
    generator = torch.Generator().manual_seed(1)
    tracks = [torch.randn(5, width, generator=generator) for width in (20, 6, 10)]
    torch.set_num_threads(1)
    expected = Renderer(model, portrait, precision=precision, batch=4).render(*tracks)
    for threads, batch in ((1, 1), (1, 3), (2, 4), (2, 5)):
        torch.set_num_threads(threads)
        rendered = Renderer(model, portrait, precision=precision, batch=batch).render(*tracks)
        if precision == "fp32":
            assert float((rendered - expected).abs().max()) < 1e-3
            steps = np.abs(images_to_pictures(rendered).astype(int) - images_to_pictures(expected))
            assert steps.max() <= 1
        else:
            assert min(psnr(rendered, expected)) >= 45
    torch.set_num_threads(1)
    assert torch.equal(Renderer(model, portrait, precision=precision, batch=4).render(*tracks), expected)


# --- frames that are portraits themselves -------------------------------------------------------------------------


def some_images(count: int, size: int = 32) -> Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(count)) * 2 - 1


@pytest.mark.parametrize("batch", [1, 3, 20])
@pytest.mark.parametrize("sizes", [SMALL, LIP_POSE], ids=["edtalk", "lip-pose"])
def test_each_frame_is_rendered_as_its_own_portrait(sizes: ModelSizes, batch: int):
    model = small_model(sizes)
    images, lip = some_images(7), torch.randn(7, sizes.lip)
    rendered = FrameRenderer(model, precision="fp32", batch=batch).render(images, lip)
    assert rendered.dtype == torch.float32
    for image, weights, found in zip(images, lip, rendered, strict=True):
        with torch.no_grad():
            portrait = model.encode_portrait(image[None])
        expected = Renderer(model, portrait, precision="fp32").render(lip=weights[None])
        assert rms_error(found[None], expected) < 1e-4


def test_frames_in_other_precisions_show_the_same():
    model, images, lip = small_model(), some_images(3), torch.zeros(3, SMALL.lip)
    identity_copy(model)
    exact = FrameRenderer(model, precision="fp32").render(images, lip)
    assert min(psnr(FrameRenderer(model, precision="bf16").render(images, lip), exact)) > 35


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64], ids=["bf16", "fp64"])
def test_frames_render_with_a_model_of_another_precision(dtype: torch.dtype):
    model, images, lip = small_model(), some_images(3), torch.randn(3, SMALL.lip)
    expected = FrameRenderer(model, precision="fp32").render(images, lip)
    rendered = FrameRenderer(small_model().to(dtype), precision="fp32").render(images, lip)
    assert rendered.dtype == torch.float32
    assert rms_error(rendered, expected) < (0.2 if dtype == torch.bfloat16 else 1e-4)


def test_frames_that_do_not_fit_together_are_rendered_apart():
    model, images, lip = small_model(), some_images(7), torch.randn(7, SMALL.lip)
    expected = FrameRenderer(model, precision="fp32").render(images, lip)
    model.enc["net_app"].register_forward_pre_hook(refuse(torch.OutOfMemoryError, "CUDA out of memory.", 2))
    renderer = FrameRenderer(model, precision="fp32", batch=8)
    assert rms_error(renderer.render(images, lip), expected) < 1e-5
    assert renderer.batch == 1  # 7, 3, 1
    assert len(renderer.render(images[:1], lip[:1])) == 1


@pytest.mark.parametrize(
    ("size", "lip", "error", "word"),
    [
        (16, torch.zeros(2, 5), ArgumentError, "32 to 2048"),
        (32, torch.zeros(3, 5), MotionError, r"\(3, 5\).*\(2, 5\)"),
        (32, torch.zeros(2, 20), MotionError, r"\(2, 20\)"),
        (32, torch.full((2, 5), float("nan")), MotionError, "finite"),
    ],
    ids=["size", "count", "width", "nan"],
)
def test_frames_and_lips_that_do_not_fit_are_refused(size: int, lip: Tensor, error: type[Exception], word: str):
    with pytest.raises(error, match=word):
        FrameRenderer(small_model()).render(some_images(2, size), lip)


# --- memory ----------------------------------------------------------------------------------------------------------


def refuse(error: type[RuntimeError], words: str, largest: int):
    """A hook that fails as an allocation does for batches above `largest`."""

    def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if len(inputs[0]) > largest:
            raise error(words)

    return hook


def allocate(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    """A hook that asks for more memory than any machine has for batches above 2."""
    if len(inputs[0]) > 2:
        torch.empty(1 << 60, dtype=torch.uint8)


@pytest.mark.parametrize(
    "hook",
    [
        pytest.param(refuse(torch.OutOfMemoryError, "CUDA out of memory. Tried to allocate", 2), id="cuda"),
        pytest.param(refuse(RuntimeError, "MPS backend out of memory (MPS allocated: 1 GB)", 2), id="mps"),
        pytest.param(allocate, id="cpu-allocation-that-really-fails"),
    ],
)
def test_a_batch_that_does_not_fit_is_halved(hook, caplog: pytest.LogCaptureFixture):
    model = small_model()
    portrait = portrait_of(model)
    tracks = tracks_for(SMALL, 21, "steps")
    expected = Renderer(model, portrait, precision="fp32").render(**tracks)
    model.dec.conv1.register_forward_pre_hook(hook)
    renderer = Renderer(model, portrait, precision="fp32", batch=16)
    told: list[int] = []
    with caplog.at_level(logging.WARNING, logger="edtalk"):
        batches = list(renderer.stream(Motion(**tracks), lambda done, total: told.append(done)))
    assert renderer.batch == 2
    assert [len(images) for images in batches] == [2] * 10 + [1]
    assert told == [*range(2, 21, 2), 21]
    assert rms_error(torch.cat(batches), expected) < 1e-5
    assert [record.message.rsplit(" ", 1)[1] for record in caplog.records] == ["8", "4", "2"]


def test_one_frame_that_does_not_fit_is_a_typed_error():
    model = small_model()
    model.dec.conv1.register_forward_pre_hook(refuse(torch.OutOfMemoryError, "CUDA out of memory.", 0))
    renderer = Renderer(model, portrait_of(model), precision="fp32")
    with pytest.raises(OutOfMemory, match="single frame"):
        renderer.render(**tracks_for(SMALL, 9))


def test_other_failures_are_not_taken_for_a_lack_of_memory():
    model = small_model()
    model.dec.conv1.register_forward_pre_hook(refuse(RuntimeError, "kernel launch failed", 0))
    renderer = Renderer(model, portrait_of(model), precision="fp32")
    with pytest.raises(RuntimeError, match="launch"):
        renderer.render(**tracks_for(SMALL, 9))
    assert renderer.batch == 4


# --- larger frames ---------------------------------------------------------------------------------------------------


def picture_of(size: int) -> np.ndarray:
    generator = torch.Generator().manual_seed(size)
    return torch.randint(0, 256, (size, size, 3), generator=generator, dtype=torch.uint8).numpy()


def test_the_size_of_the_model_changes_no_pixel():
    model = small_model()
    portrait = replace(portrait_of(model), picture=picture_of(90))
    plain = Renderer(model, portrait, precision="fp32").render(**tracks_for(SMALL, 5))
    for size in ("model", 32, "32"):
        assert torch.equal(Renderer(model, portrait, precision="fp32", size=size).render(**tracks_for(SMALL, 5)), plain)


@pytest.mark.parametrize(("size", "expected"), [("own", 90), (48, 48), ("own:64", 64), (128, 128)])
@pytest.mark.parametrize("sizes", [SMALL, LIP_POSE])
def test_larger_frames_do_not_depend_on_the_batch(sizes: ModelSizes, size: int | str, expected: int):
    model = small_model(sizes)
    portrait = replace(portrait_of(model), picture=picture_of(90))
    tracks = tracks_for(sizes, 5)
    renderer = Renderer(model, portrait, precision="fp32", batch=3, size=size)
    frames = renderer.render(**tracks)
    assert renderer.size == expected
    assert frames.shape == (5, 3, expected, expected)
    one = Renderer(model, portrait, precision="fp32", batch=1, size=size)
    assert torch.allclose(frames, one.render(**tracks), atol=1e-3)
    pictures = list(renderer.pictures(Motion(**tracks)))
    assert np.array_equal(np.stack(pictures), images_to_pictures(frames))


def test_an_encoded_image_is_its_own_picture_and_can_be_enlarged():
    model = small_model()
    assert Renderer(model, portrait_of(model), precision="fp32", size=64).render().shape == (1, 3, 64, 64)


def test_a_portrait_without_a_picture_has_no_larger_frames():
    model = small_model()
    portrait = replace(portrait_of(model), picture=None)
    Renderer(model, portrait, precision="fp32", size="own")
    with pytest.raises(ArgumentError, match="portrait_from_picture"):
        Renderer(model, portrait, precision="fp32", size=64)


@pytest.mark.slow
def test_the_demo_moves_the_detail_of_a_portrait():
    demo = load_model("demo")
    picture = read_picture(builtin_file("examples/generated.jpg"))
    portrait, _ = portrait_from_picture(demo, picture)
    motion = portrait.own.map(lambda track: track.repeat(2, 1))
    motion = motion.with_tracks(pose=motion.pose + torch.tensor([[0.0], [0.05]]))
    renderer = Renderer(demo, portrait, precision="fp32", size="own")
    assert renderer.size > 256
    frames = renderer.render(**motion.tracks)
    enlarged = F.interpolate(
        Renderer(demo, portrait, precision="fp32").render(**motion.tracks), renderer.size, mode="bicubic"
    )
    own = torch.from_numpy(portrait.picture).permute(2, 0, 1)[None].float() / 127.5 - 1

    def sharpness(image: Tensor) -> float:
        return float(image[..., 40:-40, 40:-40].diff(n=2).square().mean())

    for frame, soft in zip(frames, enlarged, strict=True):
        assert sharpness(soft) < 0.5 * sharpness(frame)
        assert 0.6 * sharpness(own) < sharpness(frame) < 1.1 * sharpness(own)


def test_larger_frames_hold_back_what_trembles_unseen():
    model = small_model()
    portrait = replace(portrait_of(model), picture=picture_of(90) // 8 + 100)
    renderer = Renderer(model, portrait, precision="fp32", size=90, batch=1)
    tracks = {name: track.repeat(3, 1) for name, track in portrait.own.tracks.items()}
    tracks["pose"][1] += 0.003
    alone = [renderer.render(**{name: track[[i]] for name, track in tracks.items()}) for i in range(3)]
    frames = renderer.render(**tracks)
    trembling, held = float((alone[1] - alone[0]).std()), float((frames[1] - frames[0]).std())
    assert 0 < held < 0.3 * trembling < 0.01
    assert torch.equal(frames[:1], alone[0])


def test_frames_of_a_video_keep_their_size():
    model = small_model()
    images = torch.rand(3, 3, 80, 80, generator=torch.Generator().manual_seed(4)) * 2 - 1
    lip = tracks_for(SMALL, 3)["lip"]
    renderer = FrameRenderer(model, precision="fp32")
    frames = renderer.render(images, lip)
    assert frames.shape == images.shape
    assert torch.allclose(frames[1:2], renderer.render(images[1:2], lip[1:2]), atol=1e-4)


# --- work ------------------------------------------------------------------------------------------------------------


def test_floating_point_work_at_the_published_sizes():
    model = EDTalk(ModelSizes()).eval()
    renderer = Renderer(model, portrait_of(model), precision="bf16", batch=2)
    for expressions in ("constant", "changing"):
        tracks = tracks_for(model.sizes, 2, expressions)
        with FlopCounterMode(display=False) as counter:
            renderer.render(**tracks)
        assert 29 < counter.get_total_flops() / 2 / 1e9 <= 31, expressions


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "word"),
    [
        pytest.param({"precision": "int8"}, "auto, fp32, bf16, fp16", id="precision"),
        pytest.param({"precision": torch.float16}, "precision", id="precision-as-dtype"),
        pytest.param({"batch": 0}, "at least 1", id="batch-0"),
        pytest.param({"batch": -4}, "at least 1", id="batch-negative"),
        pytest.param({"batch": 2.5}, "batch", id="batch-not-whole"),
        pytest.param({"batch": True}, "batch", id="batch-bool"),
        pytest.param({"size": 16}, "32 to 2048", id="size-too-small"),
        pytest.param({"size": "large"}, "32 to 2048", id="size-as-a-word"),
    ],
)
def test_wrong_options(options: dict[str, object], word: str):
    model = small_model()
    with pytest.raises(ArgumentError, match=word):
        Renderer(model, portrait_of(model), **options)


@pytest.mark.parametrize(
    ("tracks", "word"),
    [
        pytest.param({"lip": torch.zeros(3, 5), "pose": torch.zeros(4, 3)}, "lip 3, pose 4", id="lengths-differ"),
        pytest.param({"lip": torch.zeros(3, 20)}, "another model", id="published-width"),
        pytest.param({"expression": torch.zeros(3, 10)}, "expression track has 10", id="published-expression"),
        pytest.param({"pose": torch.full((2, 3), float("nan"))}, "not finite", id="nan"),
        pytest.param({"lip": torch.zeros(5)}, "shape", id="one-dimension"),
        pytest.param({"lip": torch.zeros(0, 5)}, "at least 1", id="no-frames"),
    ],
)
def test_tracks_that_cannot_be_rendered(tracks: dict[str, Tensor], word: str):
    model = small_model()
    renderer = Renderer(model, portrait_of(model), precision="fp32")
    with pytest.raises(MotionError, match=word):
        renderer.render(**tracks)


def test_a_stream_refuses_a_motion_before_the_first_frame_is_asked_for():
    model = small_model()
    renderer = Renderer(model, portrait_of(model), precision="fp32")
    with pytest.raises(MotionError, match="another model"):
        renderer.stream(Motion(lip=torch.zeros(3, 20)))
