"""The measurements: complete, of what they claim to be of, and printed as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from edtalk_core.bench import PUBLISHED, Convolution, Floor, bench, convolutions, random_model
from edtalk_core.cli import main
from edtalk_core.errors import ArgumentError, Cancelled
from edtalk_core.model import EDTalk
from edtalk_core.networks.sizes import ModelSizes
from edtalk_core.rendering import Renderer

SMALL = ModelSizes(
    resolution=32, style=24, lip=5, pose=3, expression=4, channels={4: 12, 8: 10, 16: 8, 32: 6}, expression_hidden=7
)
TIMES = ("encode", "read", "render", "render_changing", "floor")


def small_model(sizes: ModelSizes = SMALL) -> EDTalk:
    torch.manual_seed(0)
    return EDTalk(sizes).eval()


class Convolved(TorchDispatchMode):
    """Collects the dense convolutions that are run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Convolution] = []

    def __torch_dispatch__(self, function, types, arguments=(), options=None):  # type: ignore[no-untyped-def]
        if function is torch.ops.aten.convolution.default:
            x, weight, _, _, _, _, transposed, _, groups = arguments
            if groups == 1:
                inputs, outputs = weight.shape[:2] if transposed else weight.shape[1::-1]
                self.found.append(Convolution(inputs, outputs, x.shape[-1], weight.shape[-1], transposed))
        return function(*arguments, **(options or {}))


def test_larger_frames_are_measured_beside_the_model_s():
    result = bench(small_model(), precision="fp32", batch=2, repeats=2, frames=3, larger=[48, 96])
    assert set(result["milliseconds_per_frame"]) == {*TIMES, "render_48", "render_96"}
    assert {"render_48_to_render", "render_96_to_render"} < set(result["ratio"])
    with pytest.raises(ArgumentError, match="32 to 2048"):
        bench(small_model(), larger=[16])


@pytest.mark.parametrize("expression", [0, 4], ids=["lip-pose", "edtalk"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_every_figure_is_there_and_plausible(precision: str, expression: int):
    model = small_model(ModelSizes(**{**SMALL.__dict__, "expression": expression}))
    told: list[tuple[int, int | None]] = []
    result = bench(model, precision=precision, batch=3, repeats=3, frames=7, progress=lambda *call: told.append(call))
    assert json.loads(json.dumps(result)) == result
    assert result["precision"] == precision
    assert (result["batch"], result["repeats"]) == (3, 3)
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert result["model"]["variant"] == ("edtalk" if expression else "lip_pose")
    assert result["model"]["parameters"] == sum(p.numel() for p in model.parameters())
    assert result["machine"]["device"] == "cpu"
    assert set(result["milliseconds_per_frame"]) == set(TIMES)
    for time in result["milliseconds_per_frame"].values():
        assert 0 < time["best"] <= time["median"]
    for ratio in result["ratio"].values():
        assert ratio["median"] > 0
        assert ratio["best"] > 0
    assert result["gflop_per_frame"]["render_changing"] >= result["gflop_per_frame"]["render"] > 0
    assert result["memory_mib"]["frames"] == 7
    assert result["memory_mib"]["peak"] >= result["memory_mib"]["before"] > 0


def test_the_floor_runs_the_convolutions_that_rendering_runs():
    model = small_model()
    with torch.no_grad():
        portrait = model.encode_portrait(torch.zeros(1, 3, 32, 32))
    renderer = Renderer(model, portrait, precision="fp32")
    renderer.render()
    with Convolved() as rendered:
        renderer.render()
    # The 1x1 convolutions are matrix products there.
    assert rendered.found == [one for one in convolutions(SMALL) if one.kernel == 3]
    floor = Floor(SMALL, torch.device("cpu"), torch.float32, 3)
    with Convolved() as bare:
        floor.all_frames_at_once()
    assert bare.found == convolutions(SMALL)
    with Convolved() as bare:
        floor.frame_by_frame()
    assert bare.found == convolutions(SMALL) * 3


def test_the_floor_has_the_work_of_the_published_generator():
    gflop = sum(2 * one.inputs * one.outputs * one.kernel**2 * one.px**2 for one in convolutions(PUBLISHED["edtalk"]))
    assert gflop / 1e9 == pytest.approx(29.8, abs=0.1)


@pytest.mark.parametrize("variant", list(PUBLISHED))
def test_stand_ins_have_the_published_sizes(variant: str):
    assert random_model(variant, "meta").sizes == PUBLISHED[variant]


@pytest.mark.parametrize(
    ("options", "word"),
    [
        pytest.param({"batch": 0}, "from 1 to", id="batch"),
        pytest.param({"repeats": 0}, "from 1 to", id="repeats"),
        pytest.param({"frames": -1}, "from 1 to", id="frames"),
        pytest.param({"precision": "int4"}, "int4", id="precision"),
    ],
)
def test_wrong_options(options: dict[str, object], word: str):
    with pytest.raises(ArgumentError, match=word):
        bench(small_model(), **options)


def test_an_unknown_random_model():
    with pytest.raises(ArgumentError, match="edtalk and lip_pose"):
        random_model("sadtalker")


def test_it_can_be_cancelled():
    def stop(done: int, total: int | None) -> None:
        raise Cancelled("enough")

    with pytest.raises(Cancelled, match="enough"):
        bench(small_model(), repeats=100_000, frames=1, progress=stop)


def test_command_prints_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    from edtalk_core.checkpoints.bundle import write_bundle

    file = tmp_path / "small.safetensors"
    write_bundle(file, small_model())
    options = ["--precision", "bf16", "--device", "cpu", "--batch", "2", "--repeats", "1", "--frames", "2"]
    assert main(["bench", "--model", str(file), *options]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["precision"], result["batch"]) == ("bf16", 2)
    assert set(result["milliseconds_per_frame"]) == set(TIMES)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        pytest.param(["--batch", "0"], "from 1 to", id="batch"),
        pytest.param(["--device", "gpu"], "device", id="device"),
        pytest.param(["--model", "nothing.safetensors"], "nothing.safetensors", id="file"),
    ],
)
def test_command_fails_in_one_line(options: list[str], word: str, capsys: pytest.CaptureFixture[str]):
    assert main(["bench", "--model", "lip_pose", *options] if "--model" not in options else ["bench", *options]) != 0
    error = capsys.readouterr().err
    assert word in error
    assert error.count("\n") == 1
