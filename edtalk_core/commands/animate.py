"""`edtalk animate`: animate a portrait with a sound, a video or a motion."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ArgumentError
from ..media.transcript import read_transcript
from ..wording import counted
from .options import (
    Subparsers,
    add_face_options,
    add_json_option,
    add_model_options,
    add_progress_option,
    add_size_option,
    check_outputs,
    load_model,
    not_negative,
    output_path,
    positive,
)
from .progress import progress_bars
from .video_summary import print_video

if TYPE_CHECKING:
    from ..sources.speech import SpeechSettings


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser of `edtalk animate`."""
    parser = subparsers.add_parser(
        "animate",
        help="make a portrait talk",
        description="Make a portrait talk. A recording drives its lips, a video its whole face, and a motion file "
        "whatever tracks it has. The video lasts as long as the sound (without sound, as long as the motion).",
        epilog="examples: edtalk animate me.jpg hello.wav --expression happy:0.8 | "
        "edtalk animate me.jpg hello.wav --expression '0 neutral; 2 surprised:1.2 ease-in-out; 4 own' | "
        "edtalk animate me.jpg actor.mp4 --lip video --pose still",
    )
    parser.add_argument("portrait", type=Path, help="picture of the face to animate")
    parser.add_argument(
        "driver", type=Path, nargs="?", help="sound file, or video whose face and sound drive the portrait"
    )
    parser.add_argument(
        "-o",
        "--output",
        type=output_path,
        help="video to write, .mp4 (default: PORTRAIT_DRIVER.mp4 in the current folder). It replaces an older one only "
        "when it is complete",
    )

    motion = parser.add_argument_group("motion")
    motion.add_argument("--motion", type=Path, metavar="FILE", help="use the tracks of this motion file")
    motion.add_argument("--save-motion", type=output_path, metavar="FILE", help="save the rendered motion in this file")
    motion.add_argument(
        "--lip",
        choices=("own", "audio", "video"),
        help="source of the lips: own (as in the portrait), audio, or video (the driver's) (default: the motion "
        "file if it has lips, else video if the driver is one, else audio)",
    )
    motion.add_argument(
        "--pose",
        choices=("still", "own", "video", "flow"),
        help="source of the head motion: still (held as in the portrait; own is the same), video (--pose-video or the "
        "driver), or flow (sampled to match the sound) (default: the motion file if it has a pose, else video if there "
        "is one, else flow if the model has one, else still)",
    )
    motion.add_argument("--pose-video", type=Path, metavar="VIDEO", help="take the head motion from this video")
    motion.add_argument(
        "--expression",
        metavar="WHAT",
        help="own (as in the portrait), video (the driver's), EMOTION[:STRENGTH] such as happy:0.8 (0 is own, 1 the "
        "preset, more exaggerates it), a preset file[:STRENGTH], a timeline such as '0 neutral; 1.5 happy:0.8', a "
        "file with a timeline, or speech[:STRENGTH] (what words and voice ask for) (default: speech with --transcript, "
        "else the motion file if it has expressions, else video if the driver is one, else own)",
    )
    _add_speech_options(parser)
    motion.add_argument(
        "--blink",
        type=not_negative,
        metavar="RATE",
        help="blinks a minute, added to the expression, with speech mostly at the ends of phrases; 0 for none "
        "(default: 17 if the eyes move neither by a video nor by a motion file and the weights name the base that "
        "closes them, as edtalk info shows; else 0)",
    )
    motion.add_argument(
        "--seed",
        type=int,
        default=0,
        help="seed of the pose flow and of blinks; the same seed gives the same motion (default: 0)",
    )
    motion.add_argument(
        "--temperature",
        type=not_negative,
        default=1.0,
        help="temperature of the pose flow; lower is calmer (default: 1)",
    )

    motion.add_argument(
        "--pose-emotion",
        default="",
        metavar="WHAT",
        help="how the head of the pose flow feels: an emotion[:STRENGTH] or a timeline, for weights whose flow has "
        "learned emotions (default: not said)",
    )
    motion.add_argument(
        "--nods",
        type=not_negative,
        default=0.0,
        metavar="AMOUNT",
        help="how much the head of the pose flow nods, and lids move, at stressed syllables and the ends of phrases, "
        "besides what they do anyway: 1 as people do, at most 3 (default: 0)",
    )

    picture = parser.add_argument_group("picture")
    add_size_option(picture, "as the face is in the portrait; the default with --whole")
    picture.add_argument(
        "--whole",
        action="store_true",
        help="write the whole picture, up to 8192 px a side, with the head moving in it, instead of the face's square",
    )
    timing = parser.add_argument_group("timing")
    timing.add_argument(
        "--fps",
        type=positive,
        help="frame rate of the video (default: that of the motion file, else the model's, 25)",
    )
    timing.add_argument(
        "--silence-before", type=not_negative, default=0.0, metavar="SECONDS", help="silence to add before the sound"
    )
    timing.add_argument(
        "--silence-after", type=not_negative, default=0.0, metavar="SECONDS", help="silence to add after the sound"
    )

    add_face_options(parser)
    add_model_options(parser)
    add_json_option(parser)
    add_progress_option(parser)
    parser.set_defaults(run=run)


def _add_speech_options(parser: argparse.ArgumentParser) -> None:
    speech = parser.add_argument_group("expression from speech")
    speech.add_argument(
        "--transcript",
        type=Path,
        metavar="FILE",
        help="what is said: text, .srt or .vtt, whose times count; without one the voice alone says how it is felt",
    )
    speech.add_argument(
        "--emotions",
        metavar="NAME,...",
        help="emotions that may show (default: all that the model has)",
    )
    speech.add_argument(
        "--change", type=positive, metavar="SECONDS", help="time that a change of the expression takes (default: 0.8)"
    )
    speech.add_argument(
        "--text-model",
        metavar="MODEL",
        help="classifier of the words: built-in, a .safetensors file, or the folder or id of a Hugging Face text "
        "classification model (needs transformers) (default: built-in)",
    )
    speech.add_argument(
        "--labels",
        type=Path,
        metavar="FILE",
        help="table of the labels of a Hugging Face model: lines such as joy = happy",
    )
    speech.add_argument(
        "--speech-model",
        metavar="MODEL",
        help="folder or id of a CTC speech model of Hugging Face, such as wav2vec 2.0: it says when each word is said "
        "and, without a transcript, which words are (needs transformers) (default: words are laid over the stretches "
        "of speech)",
    )
    speech.add_argument(
        "--save-timeline",
        type=output_path,
        metavar="FILE",
        help="save the expression as a timeline in this text file, to correct it and use it as --expression",
    )
    speech.add_argument(
        "--save-words", type=output_path, metavar="FILE", help="save the words with their times in this .vtt file"
    )


def _speech_settings(args: argparse.Namespace) -> tuple[str | None, SpeechSettings | None]:
    """The expression without the strength of speech, and the settings of one from speech.

    Raises ArgumentError for options of speech without it.
    """
    from ..motion.presets import parse_expression
    from ..sources.speech import SPEECH, SpeechSettings

    expression = args.expression
    name, _, strength = (expression or "").strip().partition(":")
    if name != SPEECH and not (expression is None and args.transcript is not None):
        for option in ("emotions", "change", "text_model", "labels", "speech_model", "save_timeline", "save_words"):
            if getattr(args, option) is not None:
                raise ArgumentError(f"--{option.replace('_', '-')} is of --expression speech, which is not asked for.")
        return expression, None
    if args.save_words is not None and args.save_words.suffix.lower() != ".vtt":
        raise ArgumentError(f"--save-words writes WebVTT: a name that ends in .vtt; got {args.save_words.name}.")
    settings: dict[str, Any] = {"strength": parse_expression(expression)[1]} if strength else {}
    if args.emotions is not None:
        settings["emotions"] = tuple(name.strip().lower() for name in args.emotions.split(",") if name.strip())
    if args.change is not None:
        settings["change"] = args.change
    if args.text_model is not None:
        settings["text_model"] = args.text_model
    if args.speech_model is not None:
        settings["speech_model"] = args.speech_model
    if args.labels is not None:
        settings["labels"] = read_transcript(args.labels).text
    return SPEECH, SpeechSettings(**settings)


def run(args: argparse.Namespace) -> None:
    """Animate, and print the path of the video and the time taken."""
    from ..pipeline import animate

    started = time.perf_counter()
    output = args.output or Path(f"{args.portrait.stem}_{(args.driver or args.motion or args.portrait).stem}.mp4")
    check_outputs(args, output, args.save_motion, args.save_timeline, args.save_words)
    expression, speech = _speech_settings(args)
    model = load_model(args)
    loaded = time.perf_counter() - started
    with progress_bars(args.progress) as bars:
        result = animate(
            model,
            args.portrait,
            args.driver,
            output,
            motion=args.motion,
            lip=args.lip,
            pose=args.pose,
            pose_video=args.pose_video,
            expression=expression,
            transcript=args.transcript,
            speech=speech,
            blink=args.blink,
            seed=args.seed,
            temperature=args.temperature,
            pose_emotion=args.pose_emotion,
            nods=args.nods,
            fps=args.fps,
            silence_before=args.silence_before,
            silence_after=args.silence_after,
            face=args.face,
            box=args.box,
            crop=args.crop,
            size=args.size or ("own" if args.whole else "model"),
            whole=args.whole,
            precision=args.precision,
            save_motion_to=args.save_motion,
            progress=bars,
        )
    if result.speech is not None:
        result.speech.save(args.save_timeline, args.save_words)
    sources = ", ".join(f"{track} {source}" for track, source in result.sources.items())
    print_video(
        result,
        loaded,
        as_json=args.json,
        facts={
            "sources": dict(result.sources),
            "blinks": len(result.blinks),
            **({"timeline": result.speech.timeline} if result.speech is not None else {}),
        },
        about=f"motion: {sources}" + (f", {counted(len(result.blinks), 'blink')}" if result.blinks else ""),
        rendering="rendering",
    )
