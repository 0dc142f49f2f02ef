"""Metadata of videos and pictures from a manifest, or from the file names of MEAD, HDTF, VoxCeleb2, LRW and others."""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..checks import check_number, check_whole
from ..errors import ArgumentError

TEST_PEOPLE = ("M003", "M030", "W009", "W015")
"""People of MEAD that the paper uses for testing."""

VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".flv", ".wmv", ".ts"})

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})

_MEAD = re.compile(
    r"(?:^|/)(?P<person>[MW]\d{3})/(?:video/)?(?:(?P<view>front|down|top|(?:left|right)_[36]0)/)?"
    r"(?P<emotion>angry|contempt|disgusted|fear|happy|neutral|sad|surprised)"
    r"(?:/(?:level_?)?(?P<level>[1-4]))?(?:/\d+)?$"
)
_VOXCELEB = re.compile(r"(?:^|/)(?P<person>id\d{5})/[^/]{11}/\d{5}$")
_LRW = re.compile(r"(?:^|/)(?P<word>[A-Z]+)/(?:train|val|test)/(?P<name>(?P=word)_\d{5})$")
_HDTF = re.compile(r"^(?P<kind>RD|WDA|WRA)_(?P<name>.+?)_\d+(?:\D.*)?$")


@dataclass(frozen=True)
class Video:
    """A video to prepare, or a picture of a face, which becomes a clip of one frame. Empty strings mean unknown."""

    path: Path
    name: str
    """Name of its clip, unique in a store."""
    person: str
    split: str
    """"train", "test", or what the manifest says."""
    emotion: str = ""
    level: str = ""
    license: str = ""
    speech: bool | None = None
    """Whether its sound is this person's speech; None: detected from the sound."""
    view: str = ""
    """MEAD's camera view: front, down, left_30 ..."""

    @property
    def is_picture(self) -> bool:
        """Whether it is a still picture."""
        return self.path.suffix.lower() in PICTURE_SUFFIXES


def find_videos(
    sources: Sequence[Path | str],
    *,
    where: Mapping[str, Collection[str]] | None = None,
    test_people: Collection[str] = TEST_PEOPLE,
    test_share: float = 0.2,
    seed: int = 0,
    pictures: bool = False,
) -> list[Video]:
    """Find the videos in files, folders (recursively) and manifests (.csv, .tsv with a column `path`).

    With `pictures`, still pictures are taken as well.

    A manifest's columns person, split, emotion, level, license, name, sound ("speech", "none" or anything else)
    override the file names; other columns are for `where` only: {column: allowed values}, all of which must match.
    Other rows and files are skipped. Paths in a manifest are relative to it.

    File names: MEAD's `M003/video/front/angry/level_3/001.mp4` and flat forms (`M003_angry_3_001.mp4`) contain
    person, camera, emotion and level; HDTF's `WDA_BarackObama_000.mp4` and `WRA_Name1_000` contain the person;
    VoxCeleb2's `id00017/01dfn2spqyE/00001.mp4` contains the person, and LRW's `ABOUT/test/ABOUT_00001.mp4`, which has
    no people, is one of its own: both are "test", for the paper evaluates on them and trains on neither. For other
    names the person is the first folder below the source, or the name without its trailing number.

    Without a split, `test_people` are "test", and so is a share `test_share` of the others, chosen by a hash of seed
    and name: a person's split does not depend on the other people.

    Raises ArgumentError: a missing source, a manifest without the columns of `where`, a duplicate name.
    """
    check_number(test_share, "The share of test people", low=0, high=1)
    suffixes = VIDEO_SUFFIXES | PICTURE_SUFFIXES if pictures else VIDEO_SUFFIXES
    rows: list[tuple[Path, dict[str, str]]] = []
    for source in map(Path, sources):
        if source.is_dir():
            rows += [
                (path, {"name": _clip_name(path.relative_to(source))} | _path_metadata(path, source))
                for path in _files(source, suffixes)
            ]
        elif not source.is_file():
            raise ArgumentError(f"There is no file or folder {source} to prepare.")
        elif source.suffix.lower() in (".csv", ".tsv"):
            rows += _read_manifest(source, where or {}, suffixes)
        elif source.suffix.lower() in suffixes:
            rows.append((source, _path_metadata(source, source.parent)))
        else:
            raise ArgumentError(
                f"{source} is not a video, folder or manifest: expected .csv, .tsv or {', '.join(sorted(suffixes))}."
            )
    videos: dict[str, Video] = {}
    for path, row in rows:
        if any(row.get(column, "") not in allowed for column, allowed in (where or {}).items()):
            continue
        sound = row.get("sound", "")
        video = Video(
            path=path,
            name=row.get("name") or path.stem,
            person=row["person"],
            split=row.get("split") or _split(row["person"], test_people, test_share, seed),
            emotion=row.get("emotion", ""),
            level=row.get("level", ""),
            license=row.get("license", ""),
            speech=sound == "speech" if sound else None,
            view=row.get("view", ""),
        )
        if not re.fullmatch(r"[^/\\]+", video.name):
            raise ArgumentError(f"The name {video.name!r} of {path} cannot be a file name.")
        if video.name in videos:
            raise ArgumentError(
                f"{path} and {videos[video.name].path} would both become {video.name}: give a manifest with a column "
                "`name` that distinguishes them."
            )
        videos[video.name] = video
    return list(videos.values())


def sample_videos(videos: Sequence[Video], count: int, seed: int) -> list[Video]:
    """Draw videos at random by a hash of seed and name, in the order given; a count of 0 draws all.

    Raises ArgumentError for a negative count.
    """
    count = check_whole(count, "The sample", low=0, unit="videos")
    if not count or count >= len(videos):
        return list(videos)
    chosen = set(sorted((video.name for video in videos), key=lambda name: seeded_hash(name, seed))[:count])
    return [video for video in videos if video.name in chosen]


def seeded_hash(name: str, seed: int) -> bytes:
    """A hash by which names are drawn at random: it depends on seed and name alone."""
    return hashlib.sha256(f"{seed}:{name}".encode("utf-8", "surrogateescape")).digest()


def _files(folder: Path, suffixes: Collection[str]) -> list[Path]:
    return sorted(
        path for path in folder.rglob("*") if path.suffix.lower() in suffixes and not path.name.startswith(".")
    )


def _clip_name(relative: Path) -> str:
    """Clip name from folders and file name, so that MEAD's many 001.mp4 have unique names."""
    return "_".join(relative.with_suffix("").parts)


def _read_manifest(
    path: Path, where: Mapping[str, Collection[str]], suffixes: Collection[str]
) -> list[tuple[Path, dict[str, str]]]:
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, delimiter=delimiter)
            table = [{key: value or "" for key, value in row.items() if key} for row in reader]
            columns = reader.fieldnames or []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ArgumentError(f"The manifest {path} cannot be read: {error}") from error
    for column in ("path", *where):
        if column not in columns:
            raise ArgumentError(f"The manifest {path} has no column {column!r}; it has {', '.join(columns)}.")
    rows = []
    for row in table:
        video = path.parent / row["path"]
        if video.suffix.lower() in suffixes:
            filled_cells = {key: value for key, value in row.items() if value}
            rows.append((video, _path_metadata(video, video.parent) | {"name": video.stem} | filled_cells))
    return rows


def _path_metadata(path: Path, root: Path) -> dict[str, str]:
    """Metadata in the names of a file and its folders: person and, for MEAD, emotion, level and view."""
    # The folders above the root count too: the source may be the folder of one person.
    text = "/".join(path.absolute().with_suffix("").parts[-7:])
    text = re.sub(r"[_#/]+", "/", text)
    text = re.sub(r"(left|right)/([36]0)", r"\1_\2", text).replace("level/", "level_")
    mead = _MEAD.search(text)
    if mead:
        return {key: value or "" for key, value in mead.groupdict().items()}
    hdtf = _HDTF.match(path.stem)
    if hdtf:
        # WDA_Name1_000 is another recording of Name; RD_Radio1 and RD_Radio2 are different people.
        name = hdtf["name"] if hdtf["kind"] == "RD" else hdtf["name"].rstrip("0123456789")
        return {"person": f"{hdtf['kind']}_{name}"}
    # Names of their own, before underscores became folders.
    parts = "/".join(path.absolute().with_suffix("").parts[-4:])
    if voxceleb := _VOXCELEB.search(parts):
        return {"person": voxceleb["person"], "split": "test"}
    if lrw := _LRW.search(parts):
        return {"person": lrw["name"], "split": "test"}
    folders = path.relative_to(root).parts[:-1]
    if folders:
        return {"person": folders[0]}
    return {"person": re.sub(r"[ _-]+\d+$", "", path.stem) or path.stem}


def _split(person: str, test_people: Collection[str], test_share: float, seed: int) -> str:
    if person in test_people:
        return "test"
    return "test" if int.from_bytes(seeded_hash(person, seed)[:8], "big") < test_share * 2**64 else "train"
