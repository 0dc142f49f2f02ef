"""The metadata of a bundle: what is written is read back, and what is wrong is told by the name of its file."""

from __future__ import annotations

import json

import pytest

from edtalk_core.checkpoints.metadata import bundle_metadata, is_bundle, read_bases, read_fps, read_presets
from edtalk_core.errors import UnsupportedCheckpoint
from edtalk_core.motion.bases import Bases, Lids
from edtalk_core.motion.motion import FPS
from edtalk_core.networks.sizes import ModelSizes

SIZES = ModelSizes(expression=3)
BASES = Bases(pose=("x", "转"), expression=("smile", "", "lids"), lids=Lids(2, 3.3333333333333335))
PRESETS = {"happy": (0.1, -2.0, 1e-7), "sad": (1.0, 0.0, 3.3333333333333335)}


@pytest.mark.parametrize("fps", [25, 25.0, 30000 / 1001, 23.976023976023978])
def test_numbers_come_back_exactly(fps: float):
    metadata = bundle_metadata(SIZES, fps, PRESETS, BASES)
    assert all(isinstance(value, str) for value in metadata.values())
    assert read_fps(metadata, "a file") == fps
    assert read_presets(metadata, SIZES, "a file") == PRESETS
    assert read_bases(metadata, SIZES, "a file") == BASES
    assert ModelSizes(**{**json.loads(metadata["sizes"]), "channels": SIZES.channels}) == SIZES
    assert metadata["variant"] == SIZES.variant


def test_a_bundle_is_told_by_its_format():
    metadata = bundle_metadata(SIZES, 25, {}, Bases())
    assert is_bundle(metadata, "a file")
    assert not is_bundle({}, "a file")
    assert not is_bundle({**metadata, "format": "edtalk-motion"}, "a file")
    with pytest.raises(UnsupportedCheckpoint, match=r"model.safetensors is a bundle of format 2.*Update"):
        is_bundle({**metadata, "format_version": "2"}, "model.safetensors")


def test_what_is_not_said_has_defaults():
    assert read_fps({}, "a file") == FPS
    assert read_presets({}, SIZES, "a file") == {}
    assert read_bases({}, SIZES, "a file") == Bases()


def test_a_model_without_names_is_written_as_before():
    assert "bases" not in bundle_metadata(SIZES, 25, {}, Bases())


@pytest.mark.parametrize("text", ["", "fast", "0", "-25", "nan", "inf"])
def test_a_frame_rate_that_is_none(text: str):
    with pytest.raises(UnsupportedCheckpoint, match=r"model\.safetensors gives the frame rate"):
        read_fps({"fps": text}, "model.safetensors")


@pytest.mark.parametrize(
    "text", ["", "[1]", '{"happy": 1}', '{"happy": [1, 2]}', '{"happy": [1, 2, NaN]}', '{"happy": ["a", 2, 3]}']
)
def test_presets_that_do_not_fit(text: str):
    with pytest.raises(UnsupportedCheckpoint, match=r"model\.safetensors"):
        read_presets({"presets": text}, SIZES, "model.safetensors")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        '{"expression": "smile"}',
        '{"expression": ["a", "b", "c", "d"]}',
        '{"expression": ["a\\n"]}',
        '{"pose": [1]}',
        '{"lip": ["' + "a" * 41 + '"]}',
        '{"lids": {"base": 3, "closed": 3}}',
        '{"lids": {"base": true, "closed": 3}}',
        '{"lids": {"base": 0}}',
        '{"lids": {"base": 0, "closed": 0}}',
        '{"lids": {"base": 0, "closed": NaN}}',
        '{"lids": {"base": 0, "closed": 1' + "0" * 400 + "}}",
        '{"lids": null}',
    ],
)
def test_names_of_bases_that_do_not_fit(text: str):
    with pytest.raises(UnsupportedCheckpoint, match=r"names of bases in the metadata of model\.safetensors"):
        read_bases({"bases": text}, SIZES, "model.safetensors")
