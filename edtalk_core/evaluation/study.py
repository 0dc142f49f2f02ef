"""User studies (Table 2): a page that shows clips blind and in random order, and the table of its answers.

The page is one file. It knows clips by random ids only; which method made which is in the key, a JSON file that stays
with whoever runs the study. Answers are kept in the participant's browser until they are exported.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import check_whole
from ..data.layouts import seeded_hash
from ..errors import ArgumentError, EDTalkError
from .page import html_page
from .results import RESAMPLES
from .text_files import write_text

EMOTIONS = ("neutral", "angry", "contempt", "disgusted", "fear", "happy", "sad", "surprised")
"""Answers to which emotion is shown, those of MEAD."""
SCALE = range(1, 6)
"""Scores, from worst to best."""
SUFFIXES = {".mp4": "video/mp4", ".webm": "video/webm"}
LARGEST_PAGE = 300 << 20
"""Bytes of the clips in a page; browsers take long to open more."""
FORMAT = "edtalk-study"


@dataclass(frozen=True)
class Item:
    """One clip of a study, as the key has it."""

    id: str
    method: str
    clip: str
    """Name of the file, the same for all methods."""
    emotion: str = ""
    """Emotion that it should show; empty: none is asked of it."""


@dataclass(frozen=True)
class Score:
    """Mean of answers with its 95 % confidence interval, by bootstrap over participants."""

    mean: float
    low: float
    high: float
    answers: int


def choose_items(
    methods: Mapping[str, Path], clips: int = 10, seed: int = 0, labels: Mapping[str, str] | None = None
) -> list[Item]:
    """Choose the clips of a study: up to `clips` names that all methods have, drawn at random.

    Args:
        methods: folder of videos (.mp4, .webm) by the name of the method.
        clips: clips of each method; 0: all that they share.
        seed: of the draw, and of the ids.
        labels: emotion by name of the clip, without its ending.

    Raises ArgumentError: a folder that cannot be read, no name that all have, an emotion that is not among EMOTIONS.
    """
    clips = check_whole(clips, "The number of clips", low=0)
    labels = labels or {}
    for name, emotion in labels.items():
        if emotion not in EMOTIONS:
            raise ArgumentError(f"{name} is labelled {emotion!r}; the emotions are {', '.join(EMOTIONS)}.")
    shared: set[str] | None = None
    for method, folder in methods.items():
        if not folder.is_dir():
            raise ArgumentError(f"There is no folder {folder} of {method}.")
        names = {path.name for path in folder.iterdir() if path.suffix.lower() in SUFFIXES}
        shared = names if shared is None else shared & names
    if not shared:
        raise ArgumentError(
            f"No video (.mp4, .webm) has the same name in the folders of {', '.join(methods) or 'no method'}."
        )
    drawn = sorted(shared, key=lambda name: seeded_hash(name, seed))[: clips or None]
    return [
        Item(_item_id(method, name, seed), method, name, labels.get(Path(name).stem, ""))
        for name in sorted(drawn)
        for method in methods
    ]


def _item_id(method: str, clip: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}\0{method}\0{clip}".encode("utf-8", "surrogateescape")).hexdigest()[:16]


def write_study(
    methods: Mapping[str, Path],
    page: Path,
    *,
    clips: int = 10,
    seed: int = 0,
    labels: Mapping[str, str] | None = None,
    title: str = "Talking heads",
) -> Path:
    """Write the page of a study, and its key beside it (NAME.key.json), whose path is returned.

    See `choose_items` for the arguments and errors; EDTalkError: the clips are too large for a page, or a file cannot
    be read or written.
    """
    items = choose_items(methods, clips, seed, labels)
    size = sum((methods[item.method] / item.clip).stat().st_size for item in items)
    if size > LARGEST_PAGE:
        raise EDTalkError(
            f"The {len(items)} clips have {size >> 20} MiB, and a page of more than {LARGEST_PAGE >> 20} is slow to "
            "open: use fewer or shorter clips (--clips)."
        )
    study = hashlib.sha256("".join(item.id for item in items).encode()).hexdigest()[:12]
    contents = []
    # By id, so that not even the source of the page shows which clips belong together.
    for item in sorted(items, key=lambda item: item.id):
        path = methods[item.method] / item.clip
        try:
            data = base64.b64encode(path.read_bytes()).decode()
        except OSError as error:
            raise EDTalkError(f"{path} cannot be read: {error.strerror or error}.") from error
        contents.append({"id": item.id, "video": f"data:{SUFFIXES[path.suffix.lower()]};base64,{data}"})
    key = page.with_suffix(".key.json")
    write_text(page, _page(title, study, contents))
    content = {"format": FORMAT, "study": study, "items": [asdict(item) for item in items]}
    write_text(key, json.dumps(content, indent=1, ensure_ascii=False))
    return key


def _page(title: str, study: str, items: Sequence[Mapping[str, str]]) -> str:
    content = {"study": study, "items": items, "emotions": EMOTIONS, "scale": list(SCALE)}
    # "</" would end the script; in JSON, a slash may be escaped.
    data = json.dumps(content).replace("</", "<\\/")
    resources = Path(__file__).parent / "study_page"
    body, script, style = ((resources / name).read_text("utf-8") for name in ("study.html", "study.js", "study.css"))
    return html_page(title, body.replace("{title}", escape(title)), f"const STUDY={data};\n{script}", style)


def read_key(path: Path) -> tuple[str, dict[str, Item]]:
    """Read a key: the study's id, and its items by their ids. Raises EDTalkError when it is not one."""
    content = _read_json(path, "the key of a study")
    try:
        return str(content["study"]), {item["id"]: Item(**item) for item in content["items"]}
    except (KeyError, TypeError) as error:
        raise EDTalkError(f"{path} is not the key of a study ({error}).") from error


def read_answers(paths: Sequence[Path], study: str, items: Mapping[str, Item]) -> dict[str, dict[str, dict[str, Any]]]:
    """Read exported answers: participant -> item -> answers `lip`, `real` (1 to 5) and `emotion`.

    A participant who exported several times counts once, with the file that is named last. Raises EDTalkError for files
    of other studies, and for answers that are not among the choices.
    """
    participants: dict[str, dict[str, dict[str, Any]]] = {}
    for path in paths:
        content = _read_json(path, "answers of a study")
        if content.get("study") != study:
            raise EDTalkError(f"{path} has answers of another study ({content.get('study')}, not {study}).")
        answers = content.get("answers")
        if not isinstance(content.get("participant"), str) or not isinstance(answers, dict):
            raise EDTalkError(f"{path} names no participant, or has no answers.")
        for item, answer in answers.items():
            valid = isinstance(answer, dict) and item in items
            if not valid or not all(answer.get(q) in (None, *SCALE) for q in ("lip", "real")):
                raise EDTalkError(f"{path} has an answer that is none of the choices, at {str(item)[:40]!r}.")
            if answer.get("emotion") not in (None, *EMOTIONS):
                raise EDTalkError(
                    f"{path} has the emotion {str(answer['emotion'])[:40]!r}, which is none of the choices."
                )
        participants[content["participant"]] = answers
    return participants


def study_table(
    items: Mapping[str, Item], participants: Mapping[str, Mapping[str, Mapping[str, Any]]]
) -> dict[str, dict[str, Score]]:
    """Table 2: method -> question (`lip`, `real`, `emotion`) -> score. Emotion is the share of right answers.

    Questions without an answer are left out. Intervals are over participants: their answers are not independent.
    """
    table: dict[str, dict[str, Score]] = {}
    for method in dict.fromkeys(item.method for item in items.values()):
        for question in ("lip", "real", "emotion"):
            by_person = []
            for answers in participants.values():
                values = [
                    float(answer["emotion"] == items[item].emotion)
                    if question == "emotion"
                    else float(answer[question])
                    for item, answer in answers.items()
                    if items[item].method == method
                    and answer.get(question) is not None
                    and (question != "emotion" or items[item].emotion)
                ]
                if values:
                    by_person.append(np.array(values))
            if by_person:
                table.setdefault(method, {})[question] = _score(by_person)
    return table


def _score(by_person: Sequence[NDArray[np.float64]]) -> Score:
    sums = np.array([values.sum() for values in by_person])
    counts = np.array([len(values) for values in by_person])
    mean, answers = float(sums.sum() / counts.sum()), int(counts.sum())
    if len(by_person) < 2:
        return Score(mean, float("nan"), float("nan"), answers)
    rows = np.random.default_rng(0).integers(len(by_person), size=(RESAMPLES, len(by_person)))
    low, high = np.percentile(sums[rows].sum(axis=1) / counts[rows].sum(axis=1), (2.5, 97.5))
    return Score(mean, float(low), float(high), answers)


def _read_json(path: Path, kind: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise ValueError(f'its format is not "{FORMAT}"')
    except (OSError, ValueError, RecursionError) as error:
        raise EDTalkError(f"{path} is not {kind}: {error}") from error
    return content
