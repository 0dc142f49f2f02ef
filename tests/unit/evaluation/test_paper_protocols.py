"""The paper's protocols: who drives whom, what is named that cannot be measured, and runs that go on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from edtalk_core.checkpoints.bundle import write_bundle
from edtalk_core.cli import main
from edtalk_core.data.clips import Clip, ClipInfo, ClipStore, encode_frame, write_clip
from edtalk_core.errors import ArgumentError, Cancelled, EDTalkError
from edtalk_core.evaluation.backbones import Backbones
from edtalk_core.evaluation.faces import FaceReader
from edtalk_core.evaluation.metrics import Frame, Unmeasurable
from edtalk_core.evaluation.paper_metrics import calibrated_distance, keypoint_distance, metric_table, paper_metrics
from edtalk_core.evaluation.paper_protocols import PaperRendering
from edtalk_core.evaluation.results import confidence_interval, read_run
from edtalk_core.evaluation.runs import ProtocolSettings, measure, run_protocol, sample_clips
from edtalk_core.face.landmarks import BROWS
from edtalk_core.model import EDTalk
from edtalk_core.networks.audio_to_lip import AudioToLip

SIZE = 64


@pytest.fixture
def speaking(copying: EDTalk) -> Iterator[EDTalk]:
    copying.audio_to_lip = AudioToLip(widths=(8,) * 13).eval()
    yield copying
    copying.audio_to_lip = None


@pytest.fixture(scope="module")
def labelled(store: Path, tmp_path_factory: pytest.TempPathFactory, face: np.ndarray) -> Path:
    """The held-out clips of one person, one of them neutral; a clip without a face, and one of a single frame."""
    folder = tmp_path_factory.mktemp("labelled")
    held_out = ClipStore(store, "holdout").clips
    for clip, emotion in zip(held_out, ("neutral", "happy"), strict=True):
        info = replace(clip.info, person="same", emotion=emotion)
        frames = [encode_frame(clip.frame(i)) for i in range(len(clip))]
        write_clip(folder / f"{clip.info.name}.safetensors", info, frames, clip.landmarks, clip.mel)
    grey = encode_frame(np.full((256, 256, 3), 128, np.uint8))
    points = np.zeros((30, 68, 2), np.float32)
    write_clip(folder / "grey.safetensors", ClipInfo("grey", "somebody", "holdout", "sad"), [grey] * 30, points, None)
    # Two frames: of one, the store would take it for a picture.
    two = [encode_frame(face)] * 2
    write_clip(folder / "two.safetensors", ClipInfo("two", "other", "holdout"), two, points[:2], None)
    return folder


def clips_of(folder: Path) -> dict[str, Clip]:
    return {clip.info.name: clip for clip in ClipStore(folder, "holdout").clips}


def test_calibrated_distance_ignores_where_the_mouth_is():
    rng = np.random.default_rng(0)
    mouth = rng.uniform(0, 50, (20, 2))
    assert calibrated_distance(mouth + np.array([7, -3]), mouth) == pytest.approx(0)
    assert calibrated_distance(mouth * [2, 1], mouth) == pytest.approx(np.abs(mouth[:, 0] - mouth[:, 0].mean()).mean())
    assert keypoint_distance(mouth + np.array([4, -2]), mouth) == pytest.approx(3)


def test_ground_truth_is_perfect(copying: EDTalk, labelled: Path):
    clips = clips_of(labelled)
    rendering = PaperRendering("ground-truth", copying, list(clips.values()))
    result, features, picture = measure(rendering, clips["b"], paper_metrics(Backbones(), every=9))
    assert result.figures["l1"] == result.figures["m_lmd_face_mesh"] == 0
    assert result.figures["pose_error"] == pytest.approx(0, abs=1e-5)
    assert result.figures["ssim"] == result.figures["pose_range"] == 1
    assert result.figures["psnr"] == 60
    assert result.figures["flicker"] == 1
    assert np.array_equal(features["frechet_face_mesh.true"], features["frechet_face_mesh.rendered"])
    assert picture is not None
    assert picture.shape == (2 * SIZE, 4 * SIZE, 3)
    # Of silence and a clip of 29 frames some figures cannot be.
    assert result.missing["blink_rate"] == "fewer than 50 frames with faces"
    assert result.frames == 29
    assert len(result.curves["opening_true"]) == 29


def test_worse_renderings_have_worse_figures(moving: EDTalk, copying: EDTalk, labelled: Path):
    clips = clips_of(labelled)
    metrics = paper_metrics(Backbones(), every=9)
    figures = []
    for name, model in (("ground-truth", copying), ("edtalk-v", moving)):
        figures.append(measure(PaperRendering(name, model, list(clips.values())), clips["b"], metrics)[0].figures)
    true, worse = figures
    for name in true.keys() & worse.keys():
        better = metric_table()[name].better
        if better in ("higher", "lower"):
            assert (true[name] >= worse[name]) == (better == "higher") or true[name] == worse[name], name


def test_neutral_portrait_of_the_same_speaker(speaking: EDTalk, labelled: Path):
    clips = clips_of(labelled)
    rendering = PaperRendering("mead-a", speaking, list(clips.values()))
    assert rendering.portrait_clip(clips["c"]).info.name == "b"
    (take,) = rendering.takes(clips["c"])
    assert np.array_equal(take.portrait, clips["b"].frame(0, SIZE))
    assert take.frames == range(30)
    with pytest.raises(Unmeasurable, match="no neutral clip of the speaker"):
        next(rendering.takes(clips["grey"]))
    with pytest.raises(Unmeasurable, match="no emotion label"):
        next(rendering.takes(clips["two"]))


def test_cross_person_is_not_compared_pixel_by_pixel(copying: EDTalk, labelled: Path):
    clips = clips_of(labelled)
    rendering = PaperRendering("cross-person", copying, list(clips.values()))
    assert rendering.portrait_clip(clips["b"]).info.person != "same"
    alone = PaperRendering("cross-person", copying, [clips["b"], clips["c"]])
    with pytest.raises(Unmeasurable, match="no other person"):
        next(alone.takes(clips["b"]))
    figures = measure(
        PaperRendering("cross-person", copying, [clips["two"], clips["b"]]), clips["b"], paper_metrics(Backbones(), 9)
    )[0].figures
    assert "psnr" not in figures
    assert {"pose_error", "mouth_correlation", "identity_face_mesh"} <= set(figures)


def test_sound_drives_the_mouth_and_nothing_else(moving: EDTalk, held_out: list[Clip]):
    moving.audio_to_lip = AudioToLip(widths=(8,) * 13).eval()
    try:
        rendering = PaperRendering("edtalk-a", moving, held_out, pose="portrait")
        clip, other = held_out
        (take,) = rendering.takes(clip)
        first = list(take.render([4, 12]))
        louder = Clip(clip.path)
        louder.mel = other.mel
        second = list(rendering.render(louder, clip, [4, 12]))
        only_pose = PaperRendering("edtalk-v", moving, held_out, tracks=["pose"])
        fixed = only_pose.tracks_of_sound(clip, 3, moving.encode_portrait(torch.zeros(1, 3, SIZE, SIZE)))
    finally:
        moving.audio_to_lip = None
    assert not np.array_equal(first[1], second[1])
    assert set(fixed) == {"lip", "expression"}


@pytest.mark.parametrize(
    ("arguments", "word"),
    [({"name": "edtalk-a"}, "audio-to-lip"), ({"name": "noses"}, "noses"), ({"name": "edtalk-v", "pose": "x"}, "head")],
)
def test_wrong_protocols(arguments: dict, word: str, copying: EDTalk, held_out: list[Clip]):
    with pytest.raises(ArgumentError, match=word):
        PaperRendering(arguments.pop("name"), copying, held_out, **arguments)


def test_face_that_stays_as_it_is_is_neutral(face: np.ndarray):
    metric = metric_table()["acc_emo_face_model"]
    reader = FaceReader()
    landmarks = reader.landmarks(face, reader.find(face))
    frame = Frame(0, face, face, landmarks, landmarks, portrait=face, label="neutral")
    values = [metric.observe(frame)] * 3
    assert metric.classify is not None
    assert metric.classify(values) == "neutral"
    assert metric.summarise(values) == 1
    assert metric.summarise([metric.observe(replace(frame, label="sad"))]) == 0
    # Brows that are raised far are not.
    raised = landmarks.copy()
    raised[BROWS, 1] -= 0.06
    assert metric.classify([metric.observe(replace(frame, rendered_landmarks=raised))]) in ("surprised", "fear", "sad")
    for change, reason in (({"label": ""}, "no emotion label"), ({"portrait": face[:0]}, "no portrait")):
        with pytest.raises(Unmeasurable, match=reason):
            metric.observe(replace(frame, **change))


# Runs


@pytest.fixture(scope="module")
def weights(copying: EDTalk, tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_bundle(tmp_path_factory.mktemp("model") / "copy.safetensors", copying))


def test_bad_clips_are_counted_and_a_stopped_run_goes_on(labelled: Path, weights: str, tmp_path: Path):
    settings = ProtocolSettings("ground-truth", (weights,), str(labelled), "holdout", every=9)
    seen: list[int] = []

    def stop(done: int, total: int | None) -> None:
        seen.append(done)
        if done == 2:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        run_protocol(settings, tmp_path / "run", progress=stop)
    half = read_run(tmp_path / "run")
    assert len(half.clips) == 2
    assert half.reasons["not measured yet"] == 2
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "run").iterdir()}
    run_protocol(settings, tmp_path / "run", progress=lambda done, total: seen.append(done))
    assert seen == [0, 1, 2, 2, 3, 4]
    assert all((tmp_path / "run" / name).stat().st_mtime_ns == time for name, time in before.items())
    results = read_run(tmp_path / "run")
    assert dict(results.reasons) == {"no face in the first frame": 1}
    assert results.figures["psnr"].clips == 2
    assert results.missing["psnr"] == {"no frame is observed": 1}
    assert results.figures["psnr"].mean == 60
    assert results.figures["frechet_face_mesh"].mean == pytest.approx(0, abs=1e-3)
    assert results.missing["mouth_correlation"]["fewer than 5 frames with faces"] == 1
    whole = tmp_path / "whole"
    run_protocol(settings, whole)
    assert read_run(whole).as_dict()["per_clip"] == results.as_dict()["per_clip"]


def test_cluster_gives_the_results_of_one_process(labelled: Path, weights: str, tmp_path: Path):
    distributed = pytest.importorskip("distributed")
    settings = ProtocolSettings("ground-truth", (weights,), str(labelled), "holdout", every=9, seconds=0.4)
    run_protocol(settings, tmp_path / "one")
    with distributed.LocalCluster(2, threads_per_worker=1, processes=False, dashboard_address=None) as cluster:
        run_protocol(settings, tmp_path / "cluster", scheduler=cluster.scheduler_address)
    assert read_run(tmp_path / "cluster").as_dict() == read_run(tmp_path / "one").as_dict()


def test_a_run_with_other_settings_needs_another_folder(labelled: Path, weights: str, tmp_path: Path):
    settings = ProtocolSettings("ground-truth", (weights,), str(labelled), "holdout", sample=1, every=9)
    run_protocol(settings, tmp_path / "run")
    with pytest.raises(EDTalkError, match="other settings"):
        run_protocol(replace(settings, every=3), tmp_path / "run")
    with pytest.raises(EDTalkError, match="holds no results"):
        read_run(tmp_path)


def test_draw_depends_on_seed_and_names(labelled: Path):
    clips = list(clips_of(labelled).values())
    draws = [[clip.info.name for clip in sample_clips(clips, 2, seed)] for seed in range(8)]
    assert all(len(names) == 2 for names in draws)
    assert len({tuple(names) for names in draws}) > 1
    assert [clip.info.name for clip in sample_clips(clips[::-1], 2, 3)] == draws[3][::-1]
    assert sample_clips(clips, 0, 0) == sample_clips(clips, 99, 0) == clips


def test_confidence_interval_covers_the_mean():
    values = np.random.default_rng(0).normal(5, 1, 100)
    low, high = confidence_interval(values)
    assert low < values.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 10, rel=0.15)
    assert np.isnan(confidence_interval(values[:1])).all()


def test_command_measures_protocols(labelled: Path, weights: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    arguments = ["evaluate", weights, "--data", str(labelled), "--protocol", "ground-truth", "--device", "cpu"]
    options = ["--out", str(tmp_path), "--sample", "3", "--seconds", "0.4"]
    assert main([*arguments, *options, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ground-truth"]["chosen"] == 3
    assert main([*arguments, *options]) == 0
    assert "psnr" in capsys.readouterr().out
    assert main(arguments) == 2
    assert "--out" in capsys.readouterr().err
