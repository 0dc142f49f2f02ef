"""What the picture of each node's help page shows: `MAKERS`, by node id, in the order of the graph."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from picture_layout import GAP, PAPER, SHADE, WIDTH, column, fitted, moving, row, spread, titled, waveform, words
from picture_scenes import ANIMATION_FPS, Link, Node, Picture, Scene, Studio
from PIL import Image

MOVING_FRAMES = 38
"""Of pictures that move: three seconds, with as many frames as it takes to see how."""

Made = Picture | list[Picture]
"""A picture, or the frames of one that moves."""

MAKERS: dict[str, Callable[[Studio], Made]] = {}


def picture_of(node_id: str) -> Callable[[Callable[[Studio], Made]], Callable[[Studio], Made]]:
    """Registers what makes the picture of a node's help page."""

    def register(maker: Callable[[Studio], Made]) -> Callable[[Studio], Made]:
        MAKERS[node_id] = maker
        return maker

    return register


@picture_of("EDTalkExampleInputs")
def example_inputs(studio: Studio) -> Made:
    """Both pictures, the driver's frames, the speech."""
    scene = Scene(studio.graph())
    video = scene.graph.add("GetVideoComponents", video=scene.driver)
    samples, _ = studio.listen(scene.graph, scene.speech)
    (astronaut,), (man,), driver = studio.look(scene.graph, scene.astronaut, scene.man, video[0])
    return column([row([astronaut, man]), row(spread(driver, 6)), waveform(samples)])


@picture_of("EDTalkLoadModel")
def load_model(studio: Studio) -> Made:
    """A crop, and what the demo model makes of it."""
    scene = Scene(studio.graph())
    portrait = scene.portrait()
    lips = scene.lips(scene.heard())
    pose = scene.graph.add("EDTalkHoldPose", portrait=portrait[0], amount=3.0, seconds=7.2)[0]
    expression = scene.emotion(portrait[0], "happy")
    frames = scene.frames(portrait[0], lip=lips, pose=pose, expression=expression, fps=2.0)
    (crop,), rendered = studio.look(scene.graph, portrait[1], frames)
    return row([crop, *spread(rendered[1:], 3)])


@picture_of("EDTalkLoadPortrait")
def load_portrait(studio: Studio) -> Made:
    """A picture, and its crops in the three ways; the last is what to avoid."""
    scene = Scene(studio.graph())
    names = ("template", "box", "none")
    crops = [scene.portrait(crop=name)[1] for name in names]
    pictures = [shown[0] for shown in studio.look(scene.graph, scene.man, *crops)]
    return row([titled(fitted(picture, 155), name) for name, picture in zip(("image", *names), pictures, strict=True)])


@picture_of("EDTalkEncodeAudio")
def encode_audio(studio: Studio) -> Made:
    """The sound with a second of silence at both ends; what was added is shaded."""
    scene = Scene(studio.graph())
    heard = scene.heard(silence_before=1.0, silence_after=1.0)
    samples, rate = studio.listen(scene.graph, heard[1])
    drawn = waveform(samples, height=160)
    pixels = np.asarray(drawn).copy()
    edge = round(rate / len(samples) * WIDTH)
    for part in (pixels[:, :edge], pixels[:, -edge:]):
        part[(part == 255).all(axis=-1)] = tuple(bytes.fromhex(SHADE[1:]))
    return Image.fromarray(pixels)


@picture_of("EDTalkLipFromAudio")
def lip_from_audio(studio: Studio) -> Made:
    """The sound, the weights read off it, and the mouth."""
    scene = Scene(studio.graph())
    heard, portrait = scene.heard(), scene.portrait()
    lips = scene.lips(heard)
    samples, _ = studio.listen(scene.graph, heard[1])
    (plot,), frames = studio.look(
        scene.graph, scene.plot(lips, height=256), scene.frames(portrait[0], lip=lips, fps=2.0)
    )
    mouths = [frame.crop((80, 140, 176, 212)) for frame in spread(frames, 8)]
    return column([waveform(samples), plot, row(mouths)])


@picture_of("EDTalkWeightsFromVideo")
def weights_from_video(studio: Studio) -> Made:
    """The driver, and the portrait that does as it does."""
    scene = Scene(studio.graph())
    acted, portrait = scene.acted()[0], scene.portrait()[0]
    video = scene.graph.add("GetVideoComponents", video=scene.driver)
    frames = scene.frames(portrait, count=MOVING_FRAMES, lip=acted, pose=acted, expression=acted)
    driver, rendered = studio.look(scene.graph, video[0], frames)
    return moving(driver[::2], rendered)  # the driver has twice as many frames a second


@picture_of("EDTalkExpressionPreset")
def expression_preset(studio: Studio) -> Made:
    """Two emotions at rising strengths."""
    scene = Scene(studio.graph())
    portrait = scene.portrait()[0]
    strengths = (0.0, 0.5, 1.0, 2.0)
    emotions = ("happy", "angry")
    links = [
        scene.frames(portrait, expression=scene.emotion(portrait, emotion, by))
        for emotion in emotions
        for by in strengths
    ]
    faces = [shown[0] for shown in studio.look(scene.graph, *links)]
    top = [titled(fitted(face, 155), f"{by:g}") for by, face in zip(strengths, faces, strict=False)]
    return column([row(top), row(faces[len(strengths) :])])


def saved_preset(scene: Scene) -> tuple[Node, Node]:
    """Save Expression Preset of a mix of two emotions, and the portrait that it was made with."""
    portrait = scene.portrait()
    happy, surprised = (scene.emotion(portrait[0], name, 1.5) for name in ("happy", "surprised"))
    blend = scene.graph.add("EDTalkBlendExpressions", first=happy, second=surprised)
    saved = scene.graph.add(
        "EDTalkSavePreset",
        model=scene.model,
        motion=blend[0],
        filename_prefix="presets/amazed",
        about="half happy, half surprised",
    )
    return saved, portrait


@picture_of("EDTalkLoadPreset")
def load_preset(studio: Studio) -> Made:
    """A preset from a file on two portraits, at rising strengths."""
    scene = Scene(studio.graph())
    saved, _ = saved_preset(scene)
    links = []
    for image in (scene.man, scene.astronaut):
        portrait = scene.portrait(image)[0]
        for strength in (0.0, 0.5, 1.0, 1.5):
            expression = scene.graph.add(
                "EDTalkLoadPreset", portrait=portrait, file="from path", path=saved[1], strength=strength
            )
            links.append(scene.frames(portrait, expression=expression[0]))
    faces = [shown[0] for shown in studio.look(scene.graph, *links)]
    top = [titled(fitted(face, 155), name) for name, face in zip(("0", "0.5", "1", "1.5"), faces, strict=False)]
    return column([row(top), row(faces[4:])])


@picture_of("EDTalkSavePreset")
def save_preset(studio: Studio) -> Made:
    """The face that is kept, and the file."""
    scene = Scene(studio.graph())
    saved, portrait = saved_preset(scene)
    path = scene.graph.add("PreviewAny", source=saved[1])
    frames = scene.frames(portrait[0], expression=saved[0])
    preview = scene.graph.add("PreviewImage", images=frames)
    run = studio.run(scene.graph)
    face = Image.open(studio.file(run.outputs[preview.name]["images"][0])).convert("RGB")
    text = Path(run.outputs[path.name]["text"][0]).read_text(encoding="utf-8")
    face = fitted(face, 200)
    written = words(text.replace("\n        ", "\n    ").splitlines()[:10], WIDTH - face.width - GAP)
    sheet = Image.new("RGB", (WIDTH, max(face.height, written.height)), PAPER)
    sheet.paste(face, (0, 0))
    sheet.paste(written, (face.width + GAP, 0))
    return sheet


@picture_of("EDTalkBlendExpressions")
def blend_expressions(studio: Studio) -> Made:
    """From the second expression to the first."""
    scene = Scene(studio.graph())
    portrait = scene.portrait()[0]
    happy, angry = (scene.emotion(portrait, name, 1.5) for name in ("happy", "angry"))
    amounts = (0.0, 0.25, 0.5, 0.75, 1.0)
    links = [
        scene.frames(
            portrait,
            expression=scene.graph.add("EDTalkBlendExpressions", first=happy, second=angry, amount=amount)[0],
        )
        for amount in amounts
    ]
    faces = [shown[0] for shown in studio.look(scene.graph, *links)]
    return row([titled(fitted(face, 128), f"{amount:g}") for amount, face in zip(amounts, faces, strict=True)])


@picture_of("EDTalkExpressionTimeline")
def expression_timeline(studio: Studio) -> Made:
    """The curves of the text that the node starts with, and the face at each second."""
    scene = Scene(studio.graph())
    portrait = scene.portrait()[0]
    motion = scene.graph.add("EDTalkExpressionTimeline", portrait=portrait, seconds=7.0)[0]
    (plot,), faces = studio.look(scene.graph, scene.plot(motion), scene.frames(portrait, fps=1.0, expression=motion))
    return column([plot, row([titled(fitted(face, 86), f"0:0{second}") for second, face in enumerate(faces)])])


@picture_of("EDTalkSamplePose")
def sample_pose(studio: Studio) -> Made:
    """Two takes of the same sentence."""
    scene = Scene(studio.graph())
    heard, portrait = scene.heard(), scene.portrait()[0]
    lips = scene.lips(heard)
    takes = [
        scene.frames(
            portrait,
            count=MOVING_FRAMES,
            lip=lips,
            pose=scene.graph.add("EDTalkSamplePose", portrait=portrait, features=heard[0], seed=seed)[0],
        )
        for seed in (0, 1)
    ]
    return moving(*studio.look(scene.graph, *takes))


@picture_of("EDTalkHoldPose")
def hold_pose(studio: Studio) -> Made:
    """A head that waits, and one that moves three times as far, in a loop."""
    scene = Scene(studio.graph())
    portrait = scene.portrait()[0]
    links = [
        scene.frames(
            portrait,
            pose=scene.graph.add("EDTalkHoldPose", portrait=portrait, seconds=4.0, amount=amount, loop=True)[0],
        )
        for amount in (1.0, 3.0)
    ]
    return moving(*studio.look(scene.graph, *links))


@picture_of("EDTalkAdjustMotion")
def adjust_motion(studio: Studio) -> Made:
    """Curves before (dashed) and after, and one moment with other gains."""
    scene = Scene(studio.graph())
    acted, portrait = scene.acted()[0], scene.portrait()[0]

    def adjusted(**inputs: Any) -> Link:
        return scene.graph.add("EDTalkAdjustMotion", motion=acted, track="pose", **inputs)[0]

    calmer = scene.plot(adjusted(gain=0.5, smoothing=0.2), track="pose", before=acted)
    gains = (0.0, 0.5, 1.0, 2.0)
    links = [
        scene.frames(portrait, fps=3.0, pose=adjusted(gain=gain, anchor="portrait", portrait=portrait))
        for gain in gains
    ]
    (plot,), *clips = studio.look(scene.graph, calmer, *links)
    # The moment in which the head is farthest from where it is without movement.
    still, liveliest = np.asarray(clips[0][0], np.float32), clips[2]
    moment = int(np.argmax([np.abs(np.asarray(frame, np.float32) - still).mean() for frame in liveliest]))
    faces = [titled(fitted(clip[moment], 155), f"{gain:g}") for gain, clip in zip(gains, clips, strict=True)]
    return column([plot, row(faces)])


@picture_of("EDTalkJoinMotions")
def join_motions(studio: Studio) -> Made:
    """A head that is acted, then one that waits, with half a second in which one flows into the other."""
    scene = Scene(studio.graph())
    acted, portrait = scene.acted()[0], scene.portrait()[0]
    acted = scene.graph.add("EDTalkAdjustMotion", motion=acted, end=3.0)[0]
    waits = scene.graph.add("EDTalkHoldPose", portrait=portrait, seconds=3.0)[0]
    joined = scene.graph.add("EDTalkJoinMotions", first=acted, second=waits, track="pose", crossfade=0.5)[0]
    return studio.look(scene.graph, scene.plot(joined))[0][0]


@picture_of("EDTalkCombineMotions")
def combine_motions(studio: Studio) -> Made:
    """Lips from sound, the head from a video, an expression from a timeline."""
    scene = Scene(studio.graph())
    portrait = scene.portrait()[0]
    expression = scene.graph.add("EDTalkExpressionTimeline", portrait=portrait)[0]
    combined = scene.graph.add(
        "EDTalkCombineMotions", lip=scene.lips(scene.heard()), pose=scene.acted()[0], expression=expression
    )[0]
    (plot,), frames = studio.look(
        scene.graph,
        scene.plot(combined, height=420),
        scene.frames(portrait, fps=1.0, lip=combined, pose=combined, expression=combined),
    )
    return column([plot, row(spread(frames, 6))])


@picture_of("EDTalkSaveMotion")
def save_motion(studio: Studio) -> Made:
    """Curves, and the beginning of the file in JSON."""
    scene = Scene(studio.graph())
    motion = scene.graph.add("EDTalkAdjustMotion", motion=scene.acted()[0], end=3.0)[0]
    saved = scene.graph.add("EDTalkSaveMotion", motion=motion, format="json")
    path = scene.graph.add("PreviewAny", source=saved[1])
    preview = scene.graph.add("PreviewImage", images=scene.plot(saved[0], height=256, track="pose"))
    run = studio.run(scene.graph)
    plot = Image.open(studio.file(run.outputs[preview.name]["images"][0])).convert("RGB")
    content = json.loads(Path(run.outputs[path.name]["text"][0]).read_text(encoding="utf-8"))
    frames = [f"    [{', '.join(f'{value:.3f}' for value in frame)}]," for frame in content["pose"][:3]]
    return column([plot, words(['{"fps": 25.0, ... "pose": [', *frames, "    ..."])])


@picture_of("EDTalkLoadMotion")
def load_motion(studio: Studio) -> Made:
    """One motion from a file, on two portraits."""
    scene = Scene(studio.graph())
    saved = scene.graph.add("EDTalkSaveMotion", motion=scene.acted()[0])
    motion = scene.graph.add("EDTalkLoadMotion", file="from path", path=saved[1])[0]
    links = []
    for image in (scene.man, scene.astronaut):
        portrait = scene.portrait(image)[0]
        links.append(scene.frames(portrait, fps=1.0, lip=motion, pose=motion, expression=motion))
    return column([row(spread(frames, 5)) for frames in studio.look(scene.graph, *links)])


@picture_of("EDTalkPlotMotion")
def plot_motion(studio: Studio) -> Made:
    """All tracks of a motion."""
    scene = Scene(studio.graph())
    return studio.look(scene.graph, scene.plot(scene.acted()[0], height=480))[0][0]


@picture_of("EDTalkRenderFrames")
def render_frames(studio: Studio) -> Made:
    """Frames of a talking portrait, one after the other."""
    scene = Scene(studio.graph())
    heard, portrait = scene.heard(), scene.portrait()[0]
    pose = scene.graph.add("EDTalkSamplePose", portrait=portrait, features=heard[0])[0]
    frames = scene.frames(
        portrait, fps=2.0, lip=scene.lips(heard), pose=pose, expression=scene.emotion(portrait, "happy")
    )
    shown = spread(studio.look(scene.graph, frames)[0], 10)
    return column([row(shown[:5]), row(shown[5:])])


@picture_of("EDTalkRenderVideo")
def render_video(studio: Studio) -> Made:
    """Both portraits, talking."""
    scene = Scene(studio.graph())
    heard = scene.heard()
    lips = scene.lips(heard)
    links = []
    for image in (scene.man, scene.astronaut):
        portrait = scene.portrait(image)[0]
        video = scene.graph.add(
            "EDTalkRenderVideo",
            portrait=portrait,
            lip=lips,
            pose=scene.graph.add("EDTalkSamplePose", portrait=portrait, features=heard[0])[0],
            expression=scene.emotion(portrait, "happy"),
            audio=heard[1],
            fps=ANIMATION_FPS,
            length="frames",
            frames=MOVING_FRAMES,
        )
        links.append(scene.graph.add("GetVideoComponents", video=video[0])[0])
    return moving(*studio.look(scene.graph, *links))


def half_size(scene: Scene) -> Link:
    """The generated man's picture, 512 pixels wide."""
    return scene.graph.add(
        "ImageScale", image=scene.man, upscale_method="area", width=512, height=512, crop="disabled"
    )[0]


@picture_of("EDTalkPasteBack")
def paste_back(studio: Studio) -> Made:
    """The picture, what becomes of it, and the three areas."""
    scene = Scene(studio.graph())
    picture = half_size(scene)
    portrait = scene.portrait(picture)[0]
    frames = scene.frames(
        portrait, fps=5.0, count=12, lip=scene.lips(scene.heard()), expression=scene.emotion(portrait, "happy")
    )
    areas = ("crop", "face", "mouth")
    pasted = [
        scene.graph.add("EDTalkPasteBack", portrait=portrait, image=picture, frames=frames, area=area) for area in areas
    ]
    masks = [scene.graph.add("MaskToImage", mask=node[1])[0] for node in pasted]
    (before,), after, *drawn = studio.look(scene.graph, picture, pasted[0][0], *masks)
    below = [titled(fitted(mask, 208), area) for area, (mask,) in zip(areas, drawn, strict=True)]
    return column([row([before, after[4]]), row(below)])


@picture_of("EDTalkDubVideo")
def dub_video(studio: Studio) -> Made:
    """Frames of a clip in which nobody speaks, and the same ones dubbed."""
    scene = Scene(studio.graph())
    picture = half_size(scene)
    portrait = scene.portrait(picture)[0]
    pose = scene.graph.add("EDTalkHoldPose", portrait=portrait, amount=3.0, seconds=2.0)[0]
    frames = scene.frames(portrait, pose=pose, expression=scene.emotion(portrait, "happy"))
    silent = scene.graph.add("EDTalkPasteBack", portrait=portrait, image=picture, frames=frames)[0]
    video = scene.graph.add("CreateVideo", images=silent, fps=ANIMATION_FPS)[0]
    dubbed = scene.graph.add("EDTalkDubVideo", model=scene.model, video=video, audio=scene.speech)[0]
    shown = studio.look(scene.graph, silent, scene.graph.add("GetVideoComponents", video=dubbed)[0])
    return column([row([frame.crop((156, 0, 356, 200)) for frame in spread(clip, 6)]) for clip in shown])


@picture_of("EDTalkEmotionContactSheet")
def emotion_contact_sheet(studio: Studio) -> Made:
    """The sheet itself."""
    scene = Scene(studio.graph())
    sheet = scene.graph.add("EDTalkEmotionContactSheet", portrait=scene.portrait()[0], cell=96)
    return studio.look(scene.graph, sheet[0])[0][0]


@picture_of("EDTalkBaseExplorer")
def base_explorer(studio: Studio) -> Made:
    """The sheet itself, for the head."""
    scene = Scene(studio.graph())
    sheet = scene.graph.add("EDTalkBaseExplorer", portrait=scene.portrait()[0], track="pose", columns=2, cell=104)
    return studio.look(scene.graph, sheet[0])[0][0]


@picture_of("EDTalkBlink")
def blink(studio: Studio) -> Made:
    """Curves of an expression that blinks, and one blink frame by frame."""
    scene = Scene(studio.graph())
    portrait = scene.portrait()[0]
    blinking = scene.graph.add("EDTalkBlink", portrait=portrait, rate=40.0, seconds=3.0)[0]
    plots, frames = studio.look(
        scene.graph, scene.plot(blinking, track="expression"), scene.frames(portrait, fps=25.0, expression=blinking)
    )
    # The frame that is least like the first is the middle of a blink.
    opened = np.asarray(frames[0], np.float32)
    middle = int(np.argmax([np.abs(np.asarray(frame, np.float32) - opened).mean() for frame in frames]))
    eyes = [frame.crop((64, 88, 192, 152)) for frame in frames[max(0, middle - 2) : middle + 4]]
    return column([plots[0], row(eyes)])


@picture_of("EDTalkExpressionFromSpeech")
def expression_from_speech(studio: Studio) -> Made:
    """Curves of an expression, guessed from a transcript."""
    scene = Scene(studio.graph())
    expression = scene.graph.add(
        "EDTalkExpressionFromSpeech",
        portrait=scene.portrait()[0],
        features=scene.heard()[0],
        transcript="Congratulations! You have successfully installed and executed the Asterisk open source PBX.",
    )[0]
    return studio.look(scene.graph, scene.plot(expression, track="expression"))[0][0]
