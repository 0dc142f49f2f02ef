"""Nodes of expressions, poses and motions: executed as ComfyUI does, with the demo model."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from comfy.cli_args import args
from comfy_api.latest import io
from comfyui_edtalk.edtalk_core.errors import ArgumentError, MotionError
from comfyui_edtalk.edtalk_core.media.audio import Audio
from comfyui_edtalk.edtalk_core.media.mel import encode_audio
from comfyui_edtalk.edtalk_core.motion.files import load_motion, motion_metadata, save_motion
from comfyui_edtalk.edtalk_core.motion.motion import Motion
from comfyui_edtalk.edtalk_core.motion.presets import EMOTIONS, Preset, load_preset, save_preset
from comfyui_edtalk.nodes import expression, pose
from comfyui_edtalk.nodes import motion as motion_nodes
from comfyui_edtalk.nodes.files import EXTRA_FOLDERS, FROM_PATH
from comfyui_edtalk.nodes.model import DEMO, LoadModel
from comfyui_edtalk.nodes.portrait import LoadPortrait
from comfyui_edtalk.nodes.sockets import EncodedPortrait, LoadedModel
from node_calls import execute

Node = type[io.ComfyNode]


def run(node: Node, **inputs: Any) -> Any:
    """The first output of a node."""
    return execute(node, **inputs).args[0]


def options(node: Node, name: str = "file") -> list[str]:
    """What an artist can choose."""
    return next(given.options for given in node.define_schema().inputs if given.id == name)


def random_motion(frames: int = 50, fps: float = 25.0, seed: int = 0, **widths: int) -> Motion:
    generator = torch.Generator().manual_seed(seed)
    widths = widths or {"lip": 20, "pose": 6, "expression": 10}
    return Motion(fps=fps, **{name: torch.randn(frames, width, generator=generator) for name, width in widths.items()})


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return LoadModel.execute(DEMO, "fp32").args[0]


@pytest.fixture(scope="module")
def portrait(model) -> EncodedPortrait:
    with torch.inference_mode():
        image = torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(0))
        return LoadPortrait.execute(model, image, "none", 0, "", 0).args[0]


@pytest.fixture(scope="module")
def features():
    time = np.arange(2 * 16_000) / 16_000
    return encode_audio(Audio(0.3 * np.sin(2 * np.pi * 150 * time, dtype=np.float32)[None], 16_000))


# Expressions


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_preset_goes_from_the_portrait_to_the_emotion_of_the_model(portrait, model, emotion):
    own, full = portrait.own.expression[0], torch.tensor(model.edtalk.presets[emotion])
    for strength in (0.0, 0.5, 1.0, 3.0):
        motion = run(expression.ExpressionPreset, portrait=portrait, emotion=emotion, strength=strength)
        assert list(motion.tracks) == ["expression"]
        assert torch.allclose(motion.expression[0], own + strength * (full - own), atol=1e-4)


def test_preset_own_is_the_portrait_at_any_strength(portrait):
    motion = run(expression.ExpressionPreset, portrait=portrait, emotion="own", strength=3.0)
    assert torch.equal(motion.expression, portrait.own.expression)


def test_a_saved_preset_is_listed_and_loads_as_it_was(model, portrait, caplog):
    given = random_motion(3)
    saved, path = execute(
        expression.SavePreset, model=model, motion=given, frame=-1, filename_prefix="presets/my: grin", about="Mine"
    ).args
    assert torch.equal(saved.expression, given.expression[-1:])
    assert list(saved.tracks) == ["expression"]
    preset = load_preset(path)
    assert (preset.name, preset.about, preset.model) == ("my_grin", "Mine", DEMO)
    assert f"presets/{Path(path).name} [output]" in options(expression.LoadPreset)

    for chosen in ({"file": f"presets/{Path(path).name} [output]"}, {"path": path}, {"path": f' "{path}" '}):
        loaded = run(expression.LoadPreset, portrait=portrait, **chosen)
        assert torch.allclose(loaded.expression, given.expression[-1:], atol=1e-6)
    assert torch.equal(
        run(expression.LoadPreset, portrait=portrait, path=path, strength=0.0).expression, portrait.own.expression
    )
    assert not caplog.records


def test_a_preset_of_another_model_is_loaded_with_a_warning(portrait, comfyui_base, caplog):
    path = save_preset(Preset("grin", (0.0,) * 10, model="another.safetensors"), comfyui_base / "input/grin.json")
    run(expression.LoadPreset, portrait=portrait, path=str(path))
    assert "another.safetensors" in caplog.text
    assert DEMO in caplog.text


def test_a_published_preset_lies_with_the_models(portrait, comfyui_base):
    folder = comfyui_base / "models/edtalk/presets"
    folder.mkdir(exist_ok=True)
    np.save(folder / "published.npy", np.linspace(-1, 1, 10, dtype=np.float32)[None])
    assert "presets/published.npy [models]" in options(expression.LoadPreset)
    motion = run(expression.LoadPreset, portrait=portrait, file="presets/published.npy [models]")
    assert torch.allclose(motion.expression[0], torch.linspace(-1, 1, 10))


def test_of_several_presets_in_a_file_one_is_named(portrait, comfyui_base):
    path = comfyui_base / "input/pack.json"
    path.write_text(json.dumps({"presets": {"calm": [0.0] * 10, "Wild": [5.0] * 10}}))
    motion = run(expression.LoadPreset, portrait=portrait, path=str(path), name="wild")
    assert torch.equal(motion.expression[0], torch.full((10,), 5.0))
    with pytest.raises(ArgumentError, match="calm, Wild; name the one"):
        run(expression.LoadPreset, portrait=portrait, path=str(path))


def constant(value: float, frames: int = 1, fps: float = 25.0, **more: torch.Tensor) -> Motion:
    return Motion(expression=torch.full((frames, 10), value), fps=fps, **more)


@pytest.mark.parametrize("amount", [-1.0, 0.0, 0.3, 1.0, 2.0])
def test_blend_is_equation_3(amount):
    first, second = random_motion(seed=1), random_motion(seed=2)
    motion = run(expression.BlendExpressions, first=first, second=second, amount=amount)
    assert list(motion.tracks) == ["expression"]
    assert torch.allclose(motion.expression, amount * first.expression + (1 - amount) * second.expression, atol=1e-6)


def test_blend_of_two_presets_lasts_as_long_as_its_curve():
    motion = run(expression.BlendExpressions, first=constant(1.0), second=constant(0.0), curve="0 0\n2s 1\n4 0.5")
    assert motion.frames == 101
    assert motion.expression[[0, 25, 50, 75, 100], 0].tolist() == pytest.approx([0, 0.5, 1, 0.75, 0.5])


def test_blend_lasts_as_long_as_the_longer_motion_or_as_it_is_told():
    first, second = constant(1.0, 30, fps=30), constant(0.0, 100)
    blended = run(expression.BlendExpressions, first=first, second=second, curve="0 0; 9 1")
    assert (blended.frames, blended.fps) == (120, 30)
    told = run(expression.BlendExpressions, first=first, second=second, seconds=2.0)
    assert (told.frames, told.fps) == (60, 30)


@pytest.mark.parametrize(("shorter", "last"), [("hold", 4), ("repeat", 1), ("ping-pong", 1)])
def test_blend_goes_on_with_the_shorter_motion_as_told(shorter, last):
    ramp = Motion(expression=torch.arange(5.0)[:, None].expand(5, 10))
    motion = run(expression.BlendExpressions, first=ramp, second=constant(0.0, 7), amount=1.0, shorter=shorter)
    assert (
        motion.expression[:, 0].tolist()
        == {
            "hold": [0, 1, 2, 3, 4, 4, 4],
            "repeat": [0, 1, 2, 3, 4, 0, 1],
            "ping-pong": [0, 1, 2, 3, 4, 3, 2],
        }[shorter]
    )


@pytest.mark.parametrize("kind", [list, tuple, np.array, torch.tensor])
def test_blend_takes_amounts_frame_by_frame(kind):
    both = {"first": constant(1.0), "second": constant(0.0)}
    motion = run(expression.BlendExpressions, **both, curve="0 7", amounts=kind([0.0, 0.25, 1.0]))
    assert motion.expression[:, 0].tolist() == [0, 0.25, 1]
    longer = run(expression.BlendExpressions, **both, seconds=0.2, amounts=kind([0.0, 0.25, 1.0]))
    assert longer.expression[:, 0].tolist() == [0, 0.25, 1, 1, 1]
    shorter = run(expression.BlendExpressions, **both, seconds=0.08, amounts=kind([0.0, 0.25, 1.0]))
    assert shorter.expression[:, 0].tolist() == [0, 0.25]


def test_blend_takes_one_amount_from_another_node():
    motion = run(expression.BlendExpressions, first=constant(1.0, 3), second=constant(0.0), amounts=0.25)
    assert motion.expression[:, 0].tolist() == [0.25] * 3


def test_blend_refuses_no_amounts_and_motions_without_expression():
    with pytest.raises(ArgumentError, match="at least one number"):
        run(expression.BlendExpressions, first=constant(1.0), second=constant(0.0), amounts=[])
    with pytest.raises(MotionError, match="no expression track"):
        run(expression.BlendExpressions, first=random_motion(lip=20), second=constant(0.0))


def test_timeline_lasts_until_its_last_key_or_as_the_sound_or_as_told(portrait, features):
    assert run(expression.ExpressionTimeline, portrait=portrait).frames == 151
    assert run(expression.ExpressionTimeline, portrait=portrait, features=features).frames == 50
    told = run(expression.ExpressionTimeline, portrait=portrait, features=features, seconds=3.0, fps=30.0)
    assert (told.frames, told.fps) == (90, 30)


def test_timeline_shows_what_it_says(portrait):
    timeline = run(expression.ExpressionTimeline, portrait=portrait, text="0 own\n1 happy:1.5\n2s sad hold")
    happy = run(expression.ExpressionPreset, portrait=portrait, emotion="happy", strength=1.5)
    sad = run(expression.ExpressionPreset, portrait=portrait, emotion="sad")
    torch.testing.assert_close(timeline.expression[0], portrait.own.expression[0])
    torch.testing.assert_close(timeline.expression[25], happy.expression[0])
    torch.testing.assert_close(timeline.expression[49], happy.expression[0])
    torch.testing.assert_close(timeline.expression[50], sad.expression[0])
    with pytest.raises(MotionError, match="line 2"):
        run(expression.ExpressionTimeline, portrait=portrait, text="0 own\n1 hapy")


# Poses


def test_sampled_pose_starts_at_the_portrait_and_depends_on_the_seed(portrait, features):
    one, again, other = (
        run(pose.SamplePose, portrait=portrait, features=features, seconds=3.0, seed=seed) for seed in (1, 1, 2)
    )
    assert (list(one.tracks), one.frames) == (["pose"], 50)
    assert torch.equal(one.pose[0], portrait.own.pose[0])
    assert one.equals(again)
    assert not one.equals(other, tolerance=0.1)


def test_sampled_pose_without_sound_lasts_as_told_and_amount_0_is_still(portrait):
    still = run(pose.SamplePose, portrait=portrait, seconds=1.0, amount=0.0)
    assert still.frames == 25
    assert (still.pose == portrait.own.pose).all()


def test_held_pose_is_still_at_0_and_drifts_at_1(portrait, features):
    still = run(pose.HoldPose, portrait=portrait, seconds=3.0, amount=0.0)
    assert still.frames == 75
    assert (still.pose == portrait.own.pose).all()
    idle = run(pose.HoldPose, portrait=portrait, features=features)
    assert idle.frames == 50
    assert 0.01 < (idle.pose - portrait.own.pose).abs().max() < 5


def test_held_pose_can_be_that_of_a_motion_and_loop(portrait):
    given = random_motion(pose=6)
    assert torch.equal(run(pose.HoldPose, portrait=portrait, motion=given).pose[0], given.pose[0])
    loop = run(pose.HoldPose, portrait=portrait, motion=given, seconds=8.0, loop=True).pose
    steps = (loop.roll(-1, 0) - loop).abs().amax(1)
    assert steps[-1] < 2 * steps[:-1].max()
    with pytest.raises(MotionError, match="no pose track"):
        run(pose.HoldPose, portrait=portrait, motion=random_motion(lip=20))


# Adjusting


def test_adjust_as_it_comes_changes_nothing():
    motion = random_motion()
    assert run(motion_nodes.AdjustMotion, motion=motion).equals(motion)


@pytest.mark.parametrize("anchor", ["mean", "first frame", "portrait"])
def test_gain_scales_the_chosen_track_about_the_anchor(portrait, anchor):
    motion = random_motion()
    scaled = run(motion_nodes.AdjustMotion, motion=motion, track="pose", gain=-2.0, anchor=anchor, portrait=portrait)
    centre = {"mean": motion.pose.mean(0), "first frame": motion.pose[0], "portrait": portrait.own.pose[0]}[anchor]
    assert torch.allclose(scaled.pose, centre - 2 * (motion.pose - centre), atol=1e-4)
    assert torch.equal(scaled.lip, motion.lip)
    everything = run(motion_nodes.AdjustMotion, motion=motion, gain=0.0, anchor=anchor, portrait=portrait)
    assert all((track - track[0]).abs().max() < 1e-6 for track in everything.tracks.values())


def test_offsets_are_added_to_bases_of_the_chosen_track():
    motion = random_motion()
    moved = run(motion_nodes.AdjustMotion, motion=motion, track="expression", offsets="1: 2.0, 3: -1")
    expected = torch.zeros(10)
    expected[1], expected[3] = 2, -1
    assert torch.allclose(moved.expression - motion.expression, expected.expand(50, 10), atol=1e-5)
    assert torch.equal(moved.pose, motion.pose)
    alone = run(motion_nodes.AdjustMotion, motion=motion.select("pose"), offsets="0: 1")
    assert torch.equal(alone.pose[:, 0], motion.pose[:, 0] + 1)


def test_smoothing_calms_the_chosen_track():
    motion = random_motion()
    calm = run(motion_nodes.AdjustMotion, motion=motion, track="lip", smoothing=0.1)
    assert calm.lip.std() < 0.6 * motion.lip.std()
    assert torch.equal(calm.pose, motion.pose)


def test_adjust_cuts_then_smooths_then_loops_then_changes_the_rate():
    motion = random_motion(100)
    out = run(
        motion_nodes.AdjustMotion,
        motion=motion,
        smoothing=0.1,
        start=1.0,
        end=2.0,
        loop="ping-pong",
        seconds=3.0,
        fps=50.0,
    )
    assert (out.frames, out.fps) == (150, 50)
    assert torch.allclose(out.lip[:49], out.lip[48:97].flip(0), atol=1e-6)
    assert out.lip[::2].std() < 0.7 * motion.lip.std()


def test_loops_with_and_without_a_crossfade():
    motion = random_motion(50)
    hold = run(motion_nodes.AdjustMotion, motion=motion, loop="hold", seconds=4.0, crossfade=1.0)
    assert (hold.lip[49:] == motion.lip[-1]).all()
    repeat = run(motion_nodes.AdjustMotion, motion=motion, loop="repeat", seconds=4.0)
    assert torch.equal(repeat.lip[50:], motion.lip)
    faded = run(motion_nodes.AdjustMotion, motion=motion, loop="repeat", seconds=4.0, crossfade=0.4)
    assert faded.frames == 100
    assert torch.equal(faded.lip[50:80], motion.lip[10:40])


@pytest.mark.parametrize(
    ("widgets", "word"),
    [
        pytest.param({"gain": 2.0, "anchor": "portrait"}, "none is plugged in", id="no-portrait"),
        pytest.param({"offsets": "1: 2"}, "lip, pose or expression", id="offsets-of-all"),
        pytest.param({"offsets": "1 2", "track": "lip"}, "no such pair", id="offsets"),
        pytest.param({"offsets": "6: 2", "track": "pose"}, "bases 0 to 5", id="no-such-base"),
        pytest.param({"start": 1.0, "end": 0.5}, "leaves nothing", id="backwards"),
        pytest.param({"end": 3.0}, "reaches beyond a motion of 2 s", id="beyond"),
        pytest.param({"loop": "repeat", "crossfade": 1.5}, "does not fit twice", id="crossfade"),
    ],
)
def test_adjust_refuses(widgets, word):
    with pytest.raises(ArgumentError, match=word):
        run(motion_nodes.AdjustMotion, motion=random_motion(), **widgets)


def test_join_plays_one_after_the_other():
    first, second, third = (random_motion(30, seed=seed) for seed in range(3))
    joined = run(motion_nodes.JoinMotions, first=first, fourth=third, second=second)
    assert torch.equal(joined.pose, torch.cat([first.pose, second.pose, third.pose]))
    faded = run(motion_nodes.JoinMotions, first=first, second=second, crossfade=0.4)
    assert faded.frames == 50
    assert run(motion_nodes.JoinMotions, first=first).equals(first)


def test_join_of_different_tracks_needs_a_choice():
    both = {"first": random_motion(), "second": random_motion(pose=6)}
    with pytest.raises(MotionError, match="Motions to join need the same tracks"):
        run(motion_nodes.JoinMotions, **both)
    assert list(run(motion_nodes.JoinMotions, **both, track="pose").tracks) == ["pose"]


def test_combine_takes_each_track_from_another_motion():
    lip, head, face = random_motion(50, seed=1), random_motion(20, seed=2), random_motion(1, seed=3)
    motion = run(motion_nodes.CombineMotions, lip=lip, pose=head, expression=face)
    assert torch.equal(motion.lip, lip.lip)
    assert torch.equal(motion.pose[:20], head.pose)
    assert (motion.expression == face.expression).all()
    assert list(run(motion_nodes.CombineMotions, pose=head).tracks) == ["pose"]
    with pytest.raises(ArgumentError, match="nothing to combine"):
        run(motion_nodes.CombineMotions)


# Files


WORKFLOW = {"prompt": {"1": {"class_type": "X"}}, "extra_pnginfo": {"workflow": {"nodes": [{"title": "é"}]}}}


@pytest.mark.parametrize("format", ["safetensors", "json"])
def test_a_saved_motion_is_listed_and_loads_as_it_was(comfyui_base, format):
    motion = random_motion(fps=29.97)
    saved = execute(motion_nodes.SaveMotion, WORKFLOW, motion=motion, filename_prefix="motion/take", format=format)
    same, path = saved.args
    assert same is motion
    assert Path(path).parent == comfyui_base / "output/motion"
    assert saved.ui == {"motions": [{"filename": Path(path).name, "subfolder": "motion", "type": "output"}]}
    notes = motion_metadata(path)
    assert notes["made_by"].startswith("EDTalk ")
    assert json.loads(notes["prompt"]) == WORKFLOW["prompt"]
    assert json.loads(notes["workflow"]) == WORKFLOW["extra_pnginfo"]["workflow"]

    entry = f"motion/{Path(path).name} [output]"
    assert entry in options(motion_nodes.LoadMotion)
    loaded, fps, seconds = execute(motion_nodes.LoadMotion, file=entry).args
    assert loaded.equals(motion)
    assert (fps, seconds) == (29.97, pytest.approx(50 / 29.97))
    for typed in (path, f"motion/{Path(path).name}"):
        assert run(motion_nodes.LoadMotion, path=typed).equals(motion)


def test_saved_motions_are_counted_and_stay_in_the_output_folder(comfyui_base):
    paths = [execute(motion_nodes.SaveMotion, motion=random_motion(), filename_prefix="n/a").args[1] for _ in range(2)]
    assert [Path(path).name for path in paths] == ["a_00001_.safetensors", "a_00002_.safetensors"]


@pytest.mark.parametrize("prefix", ["../../a", "/elsewhere/motion", "nul\0"])
def test_a_name_that_leads_out_of_the_output_folder_is_refused(prefix: str):
    with pytest.raises(ArgumentError, match="below ComfyUI's output folder"):
        execute(motion_nodes.SaveMotion, motion=random_motion(), filename_prefix=prefix)


def test_no_workflow_is_kept_where_comfyui_was_told_so(monkeypatch):
    monkeypatch.setattr(args, "disable_metadata", True)
    path = execute(motion_nodes.SaveMotion, WORKFLOW, motion=random_motion()).args[1]
    assert set(motion_metadata(path)) == {"made_by"}


def test_a_workflow_that_is_too_large_does_not_cost_the_motion(caplog):
    motion = random_motion()
    large = {"prompt": {"1": "x" * 9_000_000}}
    path = execute(motion_nodes.SaveMotion, large, motion=motion).args[1]
    assert load_motion(path).equals(motion)
    assert set(motion_metadata(path)) == {"made_by"}
    assert "The workflow is not kept" in caplog.text


def test_files_of_the_input_folder_are_listed_by_their_ending(comfyui_base):
    save_motion(random_motion(), comfyui_base / "input/nod.json")
    (comfyui_base / "input/nod.png").touch()
    (comfyui_base / "input/folder.json").mkdir()
    listed = options(motion_nodes.LoadMotion)
    assert listed[0] == FROM_PATH
    assert "nod.json" in listed
    assert not {"nod.png", "folder.json"} & set(listed)
    assert run(motion_nodes.LoadMotion, file="nod.json").frames == 50


def test_a_path_may_start_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv(EXTRA_FOLDERS, f"/no/such{os.pathsep}~")
    save_motion(random_motion(), tmp_path / "mine.json")
    assert run(motion_nodes.LoadMotion, path="~/mine.json").frames == 50


@pytest.mark.parametrize("node", [motion_nodes.LoadMotion, expression.LoadPreset])
def test_a_workflow_whose_file_is_missing_says_what_to_do(node):
    for name in ("gone.json", "motion/gone.json [output]", "presets/gone.npy [models]"):
        told = node.validate_inputs(name)
        assert isinstance(told, str)
        assert name in told
        assert "input folder" in told
    assert node.validate_inputs(FROM_PATH) is True
    assert node.validate_inputs(None) is True


def test_a_listed_file_that_is_there_is_valid(comfyui_base):
    save_motion(random_motion(), comfyui_base / "input/here.safetensors")
    assert motion_nodes.LoadMotion.validate_inputs("here.safetensors") is True


@pytest.mark.parametrize(
    ("chosen", "word"),
    [
        pytest.param({}, "Choose a motion file", id="nothing"),
        pytest.param({"path": "no/such.json"}, r"output/no/such.json or .*input/no/such.json", id="relative"),
        pytest.param({"path": "/no/such.json"}, EXTRA_FOLDERS, id="absolute"),
        pytest.param({"path": "../../such.json"}, EXTRA_FOLDERS, id="above"),
        pytest.param({"path": "~nobody/such.json"}, "check the path", id="home"),
        pytest.param({"path": "a\0b"}, "check the path", id="nul"),
        pytest.param({"file": "gone.json"}, "not on this machine", id="gone"),
    ],
)
def test_load_refuses(chosen, word):
    with pytest.raises((ArgumentError, MotionError), match=word):
        run(motion_nodes.LoadMotion, **chosen)


def test_a_replaced_file_is_loaded_anew(comfyui_base):
    path = save_motion(random_motion(), comfyui_base / "input/again.json")
    fingerprint = motion_nodes.LoadMotion.fingerprint_inputs
    before = {fingerprint("again.json", ""), fingerprint(FROM_PATH, str(path))}
    assert len(before) == 1
    os.utime(path, ns=(0, 0))
    after = fingerprint("again.json", "")
    assert after not in before
    path.unlink()
    assert fingerprint("again.json", "") not in {after, *before}
    assert fingerprint(FROM_PATH, None) == fingerprint(FROM_PATH, None)


# Plotting


def test_plot_is_an_image_shown_on_the_node(comfyui_base):
    motion = random_motion()
    drawn = execute(motion_nodes.PlotMotion, motion=motion, width=512, height=300)
    image = drawn.args[0]
    assert image.shape == (1, 300, 512, 3)
    assert 0 <= image.min() < 0.3
    assert image.max() == 1
    shown = drawn.ui.as_dict()["images"][0]
    assert (comfyui_base / shown["type"] / shown["filename"]).is_file()
    compared = run(motion_nodes.PlotMotion, motion=motion, before=random_motion(seed=1), track="pose")
    assert not torch.equal(compared, run(motion_nodes.PlotMotion, motion=motion, track="pose"))
    with pytest.raises(MotionError, match="no lip track"):
        run(motion_nodes.PlotMotion, motion=random_motion(pose=6), track="lip")
