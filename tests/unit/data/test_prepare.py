"""Data preparation: what file names and manifests tell, and what becomes of videos."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edtalk_core.builtin_files import builtin_file
from edtalk_core.cli import main
from edtalk_core.data.clips import Clip, ClipStore
from edtalk_core.data.layouts import Video, find_videos, sample_videos
from edtalk_core.data.prepare import prepare, sounds_like_speech
from edtalk_core.errors import ArgumentError, Cancelled, EDTalkError
from edtalk_core.evaluation.faces import FaceReader
from edtalk_core.face.alignment import detect_faces
from edtalk_core.media.audio import Audio, read_audio
from edtalk_core.media.mel import mel_spectrogram
from edtalk_core.media.picture import read_picture, write_picture
from edtalk_core.media.video_writer import VideoWriter

SIDE = 320
LENGTH_S = 1.6


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    import cv2

    picture = read_picture(builtin_file("examples/portrait.jpg"))
    left, top, side = (int(share * picture.shape[1]) for share in (0.22, 0.0, 0.46))
    part = picture[top : top + side, left : left + side]
    return cv2.resize(part, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


@pytest.fixture(scope="module")
def speech() -> Audio:
    return read_audio(builtin_file("examples/speech.flac"))


def sway(portrait: np.ndarray, time_s: float) -> np.ndarray:
    import cv2

    angle = 6 * math.sin(2 * math.pi * time_s)
    matrix = cv2.getRotationMatrix2D((SIDE / 2, SIDE), angle, 1)
    return cv2.warpAffine(portrait, matrix, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE)


def write_video(path: Path, pictures: list[np.ndarray], fps: float = 25, audio: Audio | None = None) -> Path:
    height, width = pictures[0].shape[:2]
    with VideoWriter(path, fps, (width, height), audio) as writer:
        for picture in pictures:
            writer.write(picture)
    return path


@pytest.fixture(scope="module")
def talk(portrait: np.ndarray, speech: Audio, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of 1.6 s at 30 fps of a swaying head, with speech."""
    path = tmp_path_factory.mktemp("videos") / "talk_07.mp4"
    cut = Audio(speech.samples[:, : int(LENGTH_S * speech.sample_rate)], speech.sample_rate)
    return write_video(path, [sway(portrait, i / 30) for i in range(round(LENGTH_S * 30))], 30, cut)


@pytest.fixture(scope="module")
def store(talk: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store that the video becomes."""
    folder = tmp_path_factory.mktemp("store")
    report = prepare(find_videos([talk]), folder)
    assert report.skipped == {}
    return folder


# What names and manifests tell


@pytest.mark.parametrize(
    ("path", "person", "emotion", "level", "view"),
    [
        ("M003/video/front/angry/level_3/001.mp4", "M003", "angry", "3", "front"),
        ("MEAD/W015/video/left_30/surprised/level_1/012.mp4", "W015", "surprised", "1", "left_30"),
        ("M003_angry_3_001.mp4", "M003", "angry", "3", ""),
        ("M003_front_angry_level_1_001.mp4", "M003", "angry", "1", "front"),
        ("M003#neutral#level_1#029.mp4", "M003", "neutral", "1", ""),
        ("W009/front_happy_level_2.mp4", "W009", "happy", "2", "front"),
        ("RD_Radio1_000.mp4", "RD_Radio1", "", "", ""),
        ("WDA_BarackObama_000.mp4", "WDA_BarackObama", "", "", ""),
        ("WRA_AdamKinzinger0_000.mp4", "WRA_AdamKinzinger", "", "", ""),
        ("WRA_AdamKinzinger1_003.mp4", "WRA_AdamKinzinger", "", "", ""),
        ("id10001/utterance/00001.mp4", "id10001", "", "", ""),
        ("mp4/id00017/01dfn2spqyE/00001.mp4", "id00017", "", "", ""),
        ("lipread_mp4/ABOUT/test/ABOUT_00003.mp4", "ABOUT_00003", "", "", ""),
        ("anna_03.mp4", "anna", "", "", ""),
        ("interview.mp4", "interview", "", "", ""),
        ("0001.mp4", "0001", "", "", ""),
        ("sad_story.mp4", "sad_story", "", "", ""),
    ],
)
def test_names_tell(path: str, person: str, emotion: str, level: str, view: str, tmp_path: Path):
    file = tmp_path / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    (video,) = find_videos([tmp_path])
    assert (video.person, video.emotion, video.level, video.view) == (person, emotion, level, view)
    assert video.name == str(Path(path).with_suffix("")).replace("/", "_")


def test_data_sets_that_nobody_trains_on_are_test(tmp_path: Path):
    for path in ("id00017/01dfn2spqyE/00001.mp4", "id00018/_Adfn2spqy-/00001.mp4", "ABOUT/train/ABOUT_00003.mp4"):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).touch()
    assert {video.split for video in find_videos([tmp_path], test_share=0)} == {"test"}


def test_sample_is_the_same_on_every_machine(tmp_path: Path):
    videos = [Video(tmp_path / f"{i}.mp4", str(i), "p", "test") for i in range(50)]
    drawn = sample_videos(videos, 10, 0)
    assert len(drawn) == 10
    assert {video.name for video in sample_videos(videos[::-1], 10, 0)} == {video.name for video in drawn}
    # A draw of more has those of a draw of fewer, and another seed draws others.
    assert {video.name for video in drawn} < {video.name for video in sample_videos(videos, 20, 0)}
    assert sample_videos(videos, 10, 1) != drawn
    assert sample_videos(videos, 0, 0) == sample_videos(videos, 60, 0) == videos


def test_folder_of_one_person_still_tells_who(tmp_path: Path):
    file = tmp_path / "M007" / "video" / "front" / "sad" / "level_2" / "003.mp4"
    file.parent.mkdir(parents=True)
    file.touch()
    (video,) = find_videos([tmp_path / "M007"])
    assert (video.person, video.emotion) == ("M007", "sad")


def test_manifest_wins_over_names(tmp_path: Path):
    (tmp_path / "list.csv").write_text(
        "path,person,split,emotion,level,license,sound,name\n"
        "clips/M003_angry_3_001.mp4,ida,holdout,happy,,MIT,speech,first\n"
        "clips/M003_angry_3_002.mp4,,,,,,none,\n"
        "clips/M003_angry_3_003.mp4,,,,,,,\n"
        "clips/portrait.png,ida,,,,,,\n"
    )
    first, second, third = find_videos([tmp_path / "list.csv"])
    assert first == Video(
        tmp_path / "clips" / "M003_angry_3_001.mp4", "first", "ida", "holdout", "happy", "3", "MIT", speech=True
    )
    assert (second.name, second.person, second.split, second.emotion) == ("M003_angry_3_002", "M003", "test", "angry")
    assert (second.speech, third.speech) == (False, None)


def test_where_picks_rows(tmp_path: Path):
    rows = ["path\tkind\tfree", "a.mp4\tclip\tyes", "b.mp4\tclip\tno", "c.mp4\traw\tyes", "d.mp4\tclip\tmaybe"]
    (tmp_path / "list.tsv").write_text("\n".join(rows))
    where = {"kind": {"clip"}, "free": {"yes", "maybe"}}
    assert [video.name for video in find_videos([tmp_path / "list.tsv"], where=where)] == ["a", "d"]
    with pytest.raises(ArgumentError, match="'fre'"):
        find_videos([tmp_path / "list.tsv"], where={"fre": {"yes"}})


def test_paper_test_people_and_a_stable_fifth_of_the_others(tmp_path: Path):
    people = ["M003", "M030", "W009", "W015", *(f"id{number:05d}" for number in range(400))]
    for person in people:
        (tmp_path / person).mkdir()
        (tmp_path / person / "1.mp4").touch()
    split = {video.person: video.split for video in find_videos([tmp_path])}
    assert [split[person] for person in people[:4]] == ["test"] * 4
    share = sum(split[person] == "test" for person in people[4:]) / 400
    assert 0.14 < share < 0.26
    shutil.rmtree(tmp_path / "id00000")
    again = {video.person: video.split for video in find_videos([tmp_path])}
    assert all(again[person] == split[person] for person in again)
    other = {video.person: video.split for video in find_videos([tmp_path], seed=1)}
    assert other != again
    assert {video.split for video in find_videos([tmp_path], test_share=0, test_people=())} == {"train"}


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("file,person\na.mp4,x\n", "path"),
        ("path\na/x.mp4\nb/x.mp4\n", "both become x"),
        ("path,name\nx.mp4,a/b\n", "file name"),
    ],
    ids=["no path", "twice", "slash"],
)
def test_unusable_manifest(content: str, word: str, tmp_path: Path):
    (tmp_path / "list.csv").write_text(content)
    with pytest.raises(ArgumentError, match=word):
        find_videos([tmp_path / "list.csv"])


def test_manifest_that_is_no_text(tmp_path: Path):
    (tmp_path / "list.csv").write_bytes(b"\xff\xfe\x00path")
    with pytest.raises(ArgumentError, match=r"list\.csv"):
        find_videos([tmp_path / "list.csv"])


def test_source_that_is_not_there(tmp_path: Path):
    with pytest.raises(ArgumentError, match="nowhere"):
        find_videos([tmp_path / "nowhere"])
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ArgumentError, match=r"notes\.txt"):
        find_videos([tmp_path / "notes.txt"])


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_share_out_of_range(share: float, tmp_path: Path):
    with pytest.raises(ArgumentError, match="share"):
        find_videos([tmp_path], test_share=share)


# What becomes of a video


def test_clip_has_25_frames_a_second_and_its_sound(store: Path, speech: Audio):
    clip = Clip(store / "talk_07.safetensors")
    assert len(clip) == round(LENGTH_S * 25)
    assert clip.info.person == "talk"
    assert clip.info.speech
    assert clip.mel is not None
    expected = mel_spectrogram(speech.to_mono()[: len(clip) * 640])
    assert clip.mel.shape == expected.shape
    # AAC and a last window that is cut differently: close, not equal.
    assert np.abs(clip.mel[:-3] - expected[:-3]).mean() < 0.25


def test_crop_shows_the_face_and_landmarks_lie_on_it(store: Path):
    clip, reader = Clip(store / "talk_07.safetensors"), FaceReader()
    for index in (0, len(clip) // 2, len(clip) - 1):
        frame = clip.frame(index)
        assert frame.shape == (256, 256, 3)
        measured = reader.find(frame).landmarks
        assert np.linalg.norm(clip.landmarks[index] - measured, axis=1).mean() < 4
    spread = np.ptp(clip.landmarks.mean(axis=0), axis=0)
    assert (spread > 110).all()
    assert clip.landmarks.min() > 0
    assert clip.landmarks.max() < 256


def test_one_box_for_the_clip_keeps_the_head_moving(store: Path):
    nose = Clip(store / "talk_07.safetensors").landmarks[:, 30]
    assert np.ptp(nose[:, 0]) > 15


def test_report_lists_the_clips(store: Path):
    report = json.loads((store / "report.json").read_text())
    (clip,) = report["clips"]["talk_07"]
    assert (clip["frames"], clip["speech"], clip["sound"], clip["split"]) == (40, True, True, report_split(report))
    assert report["skipped"] == {}


def report_split(report: dict) -> str:
    (split,) = report["splits"]
    assert report["splits"][split] == {"clips": 1, "people": 1, "seconds": 2, "speech": 1, "emotion": 0}
    return split


def test_finished_videos_are_kept(store: Path, talk: Path):
    file = store / "talk_07.safetensors"
    before = file.stat().st_mtime_ns
    seen = []
    report = prepare(find_videos([talk]), store, progress=lambda done, total: seen.append((done, total)))
    assert report.finished_before == 1
    assert seen == [(1, 1)]
    assert file.stat().st_mtime_ns == before


@pytest.mark.parametrize("change", ["emotion", "damage", "missing"])
def test_what_changed_or_broke_is_made_anew(change: str, store: Path, talk: Path, tmp_path: Path):
    folder = shutil.copytree(store, tmp_path / "store")
    (video,) = find_videos([talk])
    file = folder / "talk_07.safetensors"
    if change == "emotion":
        video = replace(video, emotion="sad")
    elif change == "damage":
        file.write_bytes(file.read_bytes()[:1000])
    else:
        file.unlink()
    report = prepare([video], folder)
    assert report.finished_before == 0
    assert Clip(file).info.emotion == ("sad" if change == "emotion" else "")
    assert report.clips["talk_07"][0]["emotion"] == Clip(file).info.emotion


def test_face_crops_are_taken_as_they_are(portrait: np.ndarray, tmp_path: Path):
    pictures = [sway(portrait, i / 25) for i in range(26)]
    write_video(tmp_path / "crop.mp4", pictures)
    prepare(find_videos([tmp_path / "crop.mp4"]), tmp_path / "store", cropped=True)
    clip = Clip(tmp_path / "store" / "crop.safetensors")
    import cv2

    expected = cv2.resize(pictures[9], (256, 256), interpolation=cv2.INTER_AREA)
    assert np.abs(clip.frame(9).astype(int) - expected).mean() < 6
    assert clip.mel is None
    assert not clip.info.speech


def test_crops_of_another_size(store: Path, talk: Path, portrait: np.ndarray, tmp_path: Path):
    videos = find_videos([talk])
    folder = shutil.copytree(store, tmp_path / "store")
    report = prepare(videos, folder, size=320)
    assert report.finished_before == 0
    large, small = (Clip(place / "talk_07.safetensors") for place in (folder, store))
    assert (large.size, large.frame(0).shape, small.size) == (320, (320, 320, 3), 256)
    assert large.points == pytest.approx(small.points, abs=1e-3)
    assert np.abs(large.frame(9, 256).astype(int) - small.frame(9)).mean() < 4
    assert prepare(videos, folder, size=320).finished_before == 1
    with pytest.raises(ArgumentError, match="size of the crops"):
        prepare(videos, folder, size=0)


def test_pictures_become_clips_of_one_frame(portrait: np.ndarray, tmp_path: Path, talk: Path):
    folder, out = tmp_path / "pictures", tmp_path / "store"
    folder.mkdir()
    write_picture(folder / "anna.png", portrait)
    write_picture(folder / "wall.png", np.full_like(portrait, 90))
    shutil.copy(talk, folder / "talk.mp4")
    assert [video.name for video in find_videos([folder], test_share=0)] == ["talk"]
    report = prepare(find_videos([folder], test_share=0, pictures=True), out)
    assert report.clips["anna"][0]["frames"] == 1
    assert "No face" in report.skipped["wall"]
    (picture,) = ClipStore(out, pictures=True).clips
    assert (len(picture), picture.info.name, picture.mel) == (1, "anna", None)
    # The landmarks lie where the mesh sees them in the crop.
    (face, *_) = detect_faces(picture.frame(0), landmarks="builtin")
    assert face.landmarks is not None
    assert np.abs(picture.landmarks[0] - face.landmarks).max() < 2
    # Trainings on videos do not meet it, and a second run has nothing to do.
    assert [clip.info.name for clip in ClipStore(out).clips] == ["talk"]
    assert prepare(find_videos([folder], test_share=0, pictures=True), out).finished_before == 2


def test_store_without_pictures_says_how_to_prepare_them(store: Path):
    with pytest.raises(EDTalkError, match="prepare --pictures"):
        ClipStore(store, pictures=True)


def test_sound_beside_the_video(portrait: np.ndarray, speech: Audio, tmp_path: Path):
    import soundfile

    write_video(tmp_path / "still.mp4", [sway(portrait, i / 25) for i in range(40)])
    soundfile.write(tmp_path / "still.wav", speech.to_mono()[: 30 * 640], 16000)
    prepare(find_videos([tmp_path / "still.mp4"]), tmp_path / "store")
    clip = Clip(tmp_path / "store" / "still.safetensors")
    assert clip.info.speech
    # What is shown after the sound has ended is left out.
    assert len(clip) == 30


def test_mead_keeps_its_sound_in_a_folder_of_its_own(portrait: np.ndarray, speech: Audio, tmp_path: Path):
    person = tmp_path / "M009"
    video = person / "video" / "front" / "fear" / "level_1" / "004.mp4"
    audio = person / "audio" / "fear" / "level_1" / "004.m4a"
    for path in (video, audio):
        path.parent.mkdir(parents=True)
    write_video(video, [sway(portrait, i / 25) for i in range(26)])
    cut = Audio(speech.samples[:, : 2 * speech.sample_rate], speech.sample_rate)
    write_video(audio.with_suffix(".mp4"), [portrait] * 3, 25, cut).rename(audio)
    report = prepare(find_videos([tmp_path]), tmp_path / "store")
    ((clip,),) = report.clips.values()
    assert (clip["name"], clip["emotion"], clip["speech"]) == ("M009_video_front_fear_level_1_004", "fear", True)


def test_pieces_become_clips_of_their_own(portrait: np.ndarray, tmp_path: Path):
    import cv2

    shifted = cv2.warpAffine(
        portrait, np.array([[0.7, 0, 130], [0, 0.7, 0]], np.float64), (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE
    )
    write_video(tmp_path / "two.mp4", [portrait] * 26 + [shifted] * 28)
    report = prepare(find_videos([tmp_path / "two.mp4"]), tmp_path / "store")
    assert [(clip["name"], clip["frames"]) for clip in report.clips["two"]] == [("two", 26), ("two~2", 28)]
    first, second = ClipStore(tmp_path / "store", report.clips["two"][0]["split"]).clips
    # Each has its own box, so the face fills both crops alike.
    sizes = [np.ptp(clip.landmarks[5], axis=0).mean() for clip in (first, second)]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.1)


@pytest.mark.parametrize(
    ("kind", "cropped", "word"),
    [
        ("grey", False, "No face"),
        ("short", False, "25 are needed"),
        ("tiny", False, "pixels high"),
        ("text", False, "text.mp4"),
        ("wide", True, "not a square face crop"),
        ("side view", False, "left_30"),
    ],
    ids=["no face", "short", "tiny face", "no video", "not cropped", "side view"],
)
def test_unusable_videos_are_reported(kind: str, cropped: bool, word: str, portrait: np.ndarray, tmp_path: Path):
    import cv2

    path = tmp_path / f"{kind}.mp4"
    if kind == "grey":
        write_video(path, [np.full_like(portrait, 90)] * 26)
    elif kind == "short":
        write_video(path, [portrait] * 20)
    elif kind == "tiny":
        write_video(path, [cv2.resize(portrait, (64, 64), interpolation=cv2.INTER_AREA)] * 26)
    elif kind == "wide":
        write_video(path, [portrait[:, : SIDE // 2]] * 26)
    elif kind == "text":
        path.write_text("no video")
    videos = [Video(path, kind, "somebody", "train", view="left_30" if kind == "side view" else "")]
    report = prepare(videos, tmp_path / "store", cropped=cropped)
    assert report.clips == {}
    assert word in report.skipped[kind]
    assert json.loads((tmp_path / "store" / "report.json").read_text())["skipped"] == report.skipped
    assert not list((tmp_path / "store").glob("*.safetensors"))


def test_cancelled_work_goes_on_later(talk: Path, tmp_path: Path):
    (video,) = find_videos([talk])
    videos = [replace(video, name=f"talk {number}") for number in range(3)]

    def cancel(done: int, total: int | None) -> None:
        if done == 1:
            raise Cancelled("later")

    with pytest.raises(Cancelled, match="later"):
        prepare(videos, tmp_path, progress=cancel)
    assert sorted(path.name for path in tmp_path.glob("*.safetensors")) == ["talk 0.safetensors"]
    report = prepare(videos, tmp_path)
    assert report.finished_before == 1
    assert len(report.clips) == 3


def test_processes_make_the_same_clips(talk: Path, store: Path, tmp_path: Path):
    (video,) = find_videos([talk])
    bad = replace(video, name="bad", path=talk.with_name("gone.mp4"))
    report = prepare([video, bad], tmp_path, workers=2)
    assert "gone.mp4" in report.skipped["bad"]
    here, there = (Clip(folder / "talk_07.safetensors") for folder in (tmp_path, store))
    assert here.info == there.info
    assert np.array_equal(here.landmarks, there.landmarks)
    assert np.array_equal(here.frame(39), there.frame(39))


def test_damaged_report_is_no_obstacle(talk: Path, store: Path, tmp_path: Path):
    folder = shutil.copytree(store, tmp_path / "store")
    (folder / "report.json").write_text("{")
    assert len(prepare(find_videos([talk]), folder).clips) == 1


def test_noise_and_tones_are_no_speech(speech: Audio):
    rng = np.random.default_rng(0)
    time = np.arange(48000) / 16000
    assert sounds_like_speech(mel_spectrogram(speech.to_mono()))
    for sound in (0.1 * rng.standard_normal(48000), 0.3 * np.sin(2 * np.pi * 440 * time), np.zeros(48000)):
        assert not sounds_like_speech(mel_spectrogram(sound.astype(np.float32)))


# The command


def test_command_prints_a_table_and_the_reasons(talk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (talk.parent / "broken.mp4").write_text("nothing")
    try:
        assert main(["prepare", str(talk.parent), "--out", str(tmp_path), "--test-share", "0"]) == 0
        out = capsys.readouterr().out
        assert out.splitlines()[1].split() == ["train", "1", "1", "2", "1", "0"]
        assert "skipped broken" in out
        assert main(["prepare", str(talk.parent), "--out", str(tmp_path), "--test-share", "0", "--json"]) == 0
        result = json.loads(capsys.readouterr().out)
        assert result["kept"] == 1
        assert list(result["skipped"]) == ["broken"]
    finally:
        (talk.parent / "broken.mp4").unlink()


@pytest.mark.parametrize("arguments", [["--where", "free"], ["--where", "=x"]], ids=["no value", "no column"])
def test_command_explains_wrong_conditions(arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as stopped:
        main(["prepare", str(tmp_path), "--out", str(tmp_path / "store"), *arguments])
    assert stopped.value.code == 2
    assert "COLUMN=VALUE" in capsys.readouterr().err


# Real clips


@pytest.mark.parametrize("name", ["lp_man0_00", "mead_M030_03"])
def test_landmarks_of_real_clips(name: str, shared: Path, tmp_path: Path):
    data = shared / "data"
    videos = [video for video in find_videos([data / "manifest.tsv"], where={"kind": {"clip"}}) if video.name == name]
    report = prepare(videos, tmp_path, cropped=True)
    assert report.skipped == {}
    clip = Clip(tmp_path / f"{name}.safetensors")
    given = np.load(data / "landmarks" / f"{name}.npz")["landmarks"].astype(np.float64)
    # The given ones count pixels from the corner of the first, ours from its centre.
    error = np.linalg.norm(clip.landmarks + 0.5 - given[: len(clip)], axis=2)
    assert error.mean() < 1.5
    assert abs(len(clip) - len(given)) <= 1
