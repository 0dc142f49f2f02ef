"""Networks of published metrics against independent implementations, with weights that are drawn at random."""

from __future__ import annotations

import http.server
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from edtalk_core.errors import ArgumentError, AudioError, UnsupportedCheckpoint
from edtalk_core.evaluation.backbones import ALEXNET, FACE_API, SYNCNET, BackboneFile, Backbones
from edtalk_core.evaluation.learned_features import LPIPS, SyncNet, shifted_distances, sync_confidence
from edtalk_core.evaluation.paper_metrics import NETWORK_FILES, metric_table, paper_metrics
from edtalk_core.evaluation.pictures import frechet_distance


def test_frechet_distance_is_that_of_torchmetrics():
    fid = pytest.importorskip("torchmetrics.image.fid")
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 1, (200, 12)), rng.normal(0.3, 1.5, (150, 12)) @ rng.normal(0, 1, (12, 12))
    moments = [torch.from_numpy(part) for x in (a, b) for part in (x.mean(axis=0), np.cov(x, rowvar=False))]
    expected = float(fid._compute_fid(moments[0], moments[1], moments[2], moments[3]))
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)


def test_frechet_distance_of_gaussians_that_are_known():
    rng = np.random.default_rng(1)
    a = rng.normal(0, 1, (4000, 3))
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)
    # Shifted by 2: 4 from the means. Twice as wide: (2 - 1)^2 from each of 3 deviations.
    assert frechet_distance(a, a + np.array([2, 0, 0])) == pytest.approx(4, abs=1e-6)
    assert frechet_distance(a, 2 * a - a.mean(axis=0)) == pytest.approx(3, rel=0.05)
    with pytest.raises(ArgumentError, match="two samples"):
        frechet_distance(a[:1], a)


def test_lpips_is_that_of_torchmetrics(tmp_path: Path, face: np.ndarray):
    pytest.importorskip("lpips")
    torchvision = pytest.importorskip("torchvision")
    functional = pytest.importorskip("torchmetrics.functional.image.lpips")
    torch.manual_seed(0)
    alexnet = torchvision.models.alexnet(weights=None)
    path = tmp_path / ALEXNET.name
    torch.save(alexnet.state_dict(), path)
    other = np.roll(face, 3, axis=1)
    network = functional._LPIPS(pretrained=True, net="alex", pnet_rand=True, use_dropout=True).eval()
    own = {f"slice{i + 1}.{layer}": layer for i, layer in enumerate((0, 3, 6, 8, 10))}
    state = alexnet.features.state_dict()
    network.net.load_state_dict(
        {f"{mine}.{k}": state[f"{n}.{k}"] for mine, n in own.items() for k in ("weight", "bias")}
    )
    images = [torch.from_numpy(x.astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[None] for x in (face, other)]
    with torch.no_grad():
        expected = float(network(*images))
    distance = LPIPS(path)
    assert distance(face, other) == pytest.approx(expected, rel=1e-4)
    assert distance(face, face) == 0
    torch.save({"features.0.weight": torch.zeros(1)}, path)
    with pytest.raises(UnsupportedCheckpoint, match="AlexNet"):
        LPIPS(path)


def test_syncnet_reads_its_file_and_finds_the_shift(tmp_path: Path):
    pytest.importorskip("python_speech_features")
    torch.manual_seed(0)
    network = SyncNet()
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    # As in the published file.
    assert shapes["netcnnlip.0.weight"] == (96, 3, 5, 7, 7)
    assert shapes["netcnnlip.18.weight"] == (512, 256, 1, 6, 6)
    assert shapes["netcnnaud.18.weight"] == (512, 256, 5, 4)
    assert shapes["netfclip.3.weight"] == shapes["netfcaud.3.weight"] == (1024, 512)
    path = tmp_path / SYNCNET.name
    torch.save(network.state_dict(), path)
    frames = np.random.default_rng(0).integers(0, 255, (8, 32, 32, 3)).astype(np.uint8)
    sound = (np.random.default_rng(1).standard_normal(8 * 640) * 3000).astype(np.int16)
    distances = SyncNet.load(path).distances(frames, sound)
    assert distances.shape == (31,)
    assert np.isfinite(distances).all()
    with pytest.raises(AudioError, match="more than 5 frames"):
        network.eval().distances(frames[:5], sound)
    torch.save({"a": torch.zeros(2)}, path)
    with pytest.raises(UnsupportedCheckpoint, match="syncnet"):
        SyncNet.load(path)


def test_sync_confidence_of_a_shifted_series():
    """Embeddings that are equal three frames later: the distance is 0 there, and the confidence what is left."""
    rng = np.random.default_rng(0)
    base = torch.from_numpy(rng.normal(0, 1, (60, 16)))
    distances = shifted_distances(base[3:53], base[:50], 5)
    # Mouth t equals sound t + 3, which is shift +3 of -5..5.
    assert int(distances.argmin()) == 8
    away = np.delete(distances, 8)
    assert sync_confidence(distances) == pytest.approx(np.sort(distances)[5] - distances.min())
    assert away.min() > 3 * distances.min()


# Files


@pytest.fixture
def server(tmp_path: Path):
    """Serves a folder of its own; yields the folder and its URL."""
    folder = tmp_path / "published"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments) -> None:
            super().__init__(*arguments, directory=str(folder))

        def log_message(self, *_) -> None:
            pass

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{running.server_port}"
    running.shutdown()


def test_files_are_fetched_when_wanted_and_only_once(server: tuple[Path, str], tmp_path: Path):
    published, url = server
    (published / SYNCNET.name).write_bytes(b"weights")
    folder = tmp_path / "backbones"
    assert Backbones(folder, mirror=url).path(SYNCNET) is None
    path = Backbones(folder, fetch=True, mirror=url).path(SYNCNET)
    assert path is not None
    assert path.read_bytes() == b"weights"
    (published / SYNCNET.name).unlink()
    assert Backbones(folder, fetch=True, mirror=url).path(SYNCNET) == path
    assert Backbones(None).path(SYNCNET) is None


def test_missing_and_wrong_files_are_warned_of(
    server: tuple[Path, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    published, url = server
    (published / ALEXNET.name).write_bytes(b"not the published one")
    backbones = Backbones(tmp_path / "backbones", fetch=True, mirror=url)
    assert backbones.path(ALEXNET) is None
    assert "invalid hash" in caplog.text
    assert not (tmp_path / "backbones" / ALEXNET.name).exists()
    assert backbones.path(BackboneFile("nothing", url)) is None
    assert "by hand" in caplog.text
    with pytest.raises(ArgumentError, match="nothing"):
        backbones.require(BackboneFile("nothing", url))


def test_metrics_without_their_network_are_left_out_and_their_stand_ins_are_not(tmp_path: Path):
    names = [metric.name for metric in paper_metrics(Backbones())]
    assert not set(names) & set(NETWORK_FILES)
    assert {"perceptual", "frechet_face_mesh", "opening_confidence", "acc_emo_face_model"} < set(names)
    for file in FACE_API:
        (tmp_path / file.name).write_bytes(b"")
    assert "acc_emo_face_api" in {metric.name for metric in paper_metrics(Backbones(tmp_path))}


@pytest.mark.parametrize("metric", metric_table().values(), ids=lambda metric: metric.name)
def test_metrics_say_where_they_come_from(metric):
    assert metric.title
    assert metric.source
    # A stand-in has a name of its own, which is never the paper's.
    paper = {"LPIPS", "FID", "AKD", "AED", "M-LMD", "F-LMD", "Sync_conf", "Sync_dist", "Acc_emo", "CSIM"}
    assert not metric.stands_in_for or metric.title not in paper
    assert metric.title not in paper or metric.name in NETWORK_FILES
