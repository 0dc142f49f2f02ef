"""Settings: layers, names and values that are checked at every depth, and their documentation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edtalk_core.errors import ArgumentError
from edtalk_core.training.audio_to_lip import AudioToLipLosses, AudioToLipSettings
from edtalk_core.training.image_losses import IMAGE_LOSSES, ImageLossWeights
from edtalk_core.training.reconstruction import FinetuneSettings
from edtalk_core.training.settings import RENAMED
from edtalk_core.training.stages import STAGES, stage_settings
from edtalk_core.training.typed_settings import described, flattened


def test_command_line_wins_over_file_wins_over_stage(tmp_path: Path):
    file = tmp_path / "settings.yaml"
    file.write_text("batch: 3\nlearning_rate: 1e-4\nlosses: {image: 1.0}\nsteps: 7\n")
    config = stage_settings("audio-to-lip", file, {"data": "d", "out": "o", "steps": 9, "losses": {"sync": 0}})
    assert (config.batch, config.learning_rate, config.steps) == (3, 1e-4, 9)
    assert isinstance(config, AudioToLipSettings)
    assert config.losses == AudioToLipLosses(sync=0)


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"baches": 3}, r'"baches"; did you mean batch\?'),
        ({"losses": {"perceptul": 0}}, r'"losses.perceptul"; did you mean losses.perceptual\?'),
        ({"sampling": {"near_frame_share": 1}}, r"did you mean sampling.near_frames_share\?"),
        ({"contrast_share": 1}, r"did you mean sampling.contrast_share\?"),
        ({"losses": {"xyz": 1}}, r"known in losses are adversarial, discriminator, exact_flow, flow"),
        ({"options": {"taught": 1}}, r'"options.taught" is called measured_weights_share now'),
        ({"sampling": 1}, "sampling must be a mapping"),
        ({"sampling": {"contrast_share": 1.5}}, "sampling.contrast_share must be a number from 0 to 1, not 1.5"),
        ({"losses": {"l1": -1}}, "losses.l1 must be a number from 0 to a million"),
        ({"losses": {"l1": True}}, "losses.l1 must be a number"),
        ({"decay": 1}, "decay must be true or false, not 1"),
        ({"train": "enc."}, "train must be a list of texts"),
        ({"betas": [0.5]}, "betas must be a list of 2 numbers"),
        ({"channels": {"wide": 3}}, "channels must be"),
        ({"data": 3}, "data must be a text"),
        ({"style": 20}, "room for 36"),
        ({"batch": 0}, "batch"),
        ({"batch": "many"}, "whole number"),
        ({"steps": 1.5}, "whole number"),
        ({"learning_rate": -1}, "positive"),
        ({"learning_rate": float("nan")}, "positive"),
        ({"learning_rate": float("inf")}, "positive"),
        ({"batch": 1e30}, "batch must be a whole number from 1 to 4096"),
        ({"steps": 1e30}, "a billion"),
        ({"resolution": 100}, "power of two"),
        ({"resolution": 65536}, "power of two"),
        ({"channels": {4: 16}}, "channels must have an entry for each of 4, 8"),
        ({"channels": {4: 0}}, "channels must be a whole number from 1 to 4096"),
        ({"betas": [0.5, 1.0]}, "betas must be a number from 0 to below 1"),
        ({"seed": -1}, "seed must be a whole number from 0"),
        ({"expression": -1}, "expression must be"),
        ({"precision": "fp8"}, "fp8"),
    ],
)
def test_wrong_setting(settings: dict[str, Any], word: str):
    with pytest.raises(ArgumentError, match=word):
        stage_settings("autoencoder", None, {"data": "d", "out": "o", **settings})


def test_unknown_stage_lists_those_there_are():
    with pytest.raises(ArgumentError, match="autoencoder"):
        stage_settings("encoder", None, {"data": "d", "out": "o"})


@pytest.mark.parametrize("missing", ["data", "out"])
def test_missing_folder(missing: str):
    settings = {"data": "d", "out": "o"}
    del settings[missing]
    with pytest.raises(ArgumentError, match=missing):
        stage_settings("autoencoder", None, settings)


@pytest.mark.parametrize("content", ["- a\n- b\n", "a: [", ""], ids=["list", "broken", "absent"])
def test_unusable_settings_file(content: str, tmp_path: Path):
    file = tmp_path / "settings.yaml"
    if content:
        file.write_text(content)
    with pytest.raises(ArgumentError, match=r"settings\.yaml"):
        stage_settings("autoencoder", file, {"data": "d", "out": "o"})


def test_part_of_a_group_leaves_the_stages_own_defaults():
    values = {"data": "d", "out": "o", "sampling": {"contrast_share": 0.5}}
    settings = stage_settings("finetune", None, values)
    assert isinstance(settings, FinetuneSettings)
    assert (settings.sampling.contrast_share, settings.sampling.emotional_share) == (0.5, 0.0)


def test_yaml_reads_no_as_false_and_small_numbers_as_text():
    settings = stage_settings("autoencoder", None, {"data": "d", "out": "o", "precision": False, "ema": "1e-4"})
    assert (settings.precision, settings.ema) == ("no", 1e-4)


@pytest.mark.parametrize("stage", STAGES)
def test_every_setting_is_documented(stage: str):
    settings = {setting.name: setting for setting in described(STAGES[stage].SETTINGS)}
    assert all(setting.doc for setting in settings.values())
    assert settings["stage"].default == stage
    assert settings["batch"].default == STAGES[stage].SETTINGS.batch
    assert "Samples" in settings["batch"].doc


def test_old_names_lead_to_settings_that_exist():
    known = {setting.name for stage in STAGES.values() for setting in described(stage.SETTINGS)}
    assert set(RENAMED.values()) <= known
    assert not set(RENAMED) & known


def test_every_image_loss_has_a_weight():
    assert list(flattened(ImageLossWeights())) == list(IMAGE_LOSSES)
