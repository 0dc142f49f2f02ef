"""The workflows that ship: their nodes by columns, from left to right. tools/make_workflows.py makes files of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

MODEL, MOTION, RENDER, OTHER = "#3f789e", "#b58b2a", "#a1309b", "#8A8"
"""Colours of groups: inputs and models, motion, what comes out, and what belongs to neither."""
SHOWS = 300
"""Height of what a node shows: a picture, or a player."""
TELLS = 100
"""Height of what a node says of its progress."""
WORKS = 350
"""Height of the picture of a node that tells its progress as well."""
PLAYS = 440
"""Height of a video that plays, below the sentence that says where it was saved: the oldest editors need the most."""


@dataclass(frozen=True)
class Node:
    """A node. `wires`: its inputs, each from "KEY.OUTPUT"; `shows`: what its preview needs below its settings."""

    key: str
    type: str
    wires: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    title: str = ""
    shows: int = 0
    bypassed: bool = False


@dataclass(frozen=True)
class Note:
    """A note; its title is what to do first."""

    title: str
    text: str


@dataclass(frozen=True)
class Group:
    """Nodes below each other, in a coloured frame."""

    title: str
    colour: str
    nodes: tuple[Node, ...]


@dataclass(frozen=True)
class Column:
    """Groups and notes below each other, all as wide."""

    width: int
    parts: tuple[Group | Note, ...]


@dataclass(frozen=True)
class Workflow:
    """A template. `app`: inputs ("KEY", widget) and outputs by which it opens as an app as well."""

    name: str
    columns: tuple[Column, ...]
    app_inputs: tuple[tuple[str, str], ...] = ()
    app_outputs: tuple[str, ...] = ()


def picture(shows: int = SHOWS) -> Node:
    """A picture of the user's; at first an example that the pack lays into the input folder."""
    return Node("picture", "LoadImage", settings={"image": "edtalk_generated.jpg"}, title="Your picture", shows=shows)


def sound() -> Node:
    """A sound of the user's, likewise."""
    return Node("sound", "LoadAudio", settings={"audio": "edtalk_speech.flac"}, title="Your sound", shows=20)


def video(file: str, shows: int = SHOWS) -> Node:
    """A video of the user's, likewise."""
    return Node("video", "LoadVideo", settings={"file": file}, title="Your video", shows=shows)


MODEL_NODE = Node("model", "EDTalkLoadModel")
PORTRAIT_NODE = Node("portrait", "EDTalkLoadPortrait", {"model": "model.model", "image": "picture.IMAGE"})
ENCODE_NODE = Node("heard", "EDTalkEncodeAudio", {"audio": "sound.AUDIO"})
LIP_NODE = Node("lip", "EDTalkLipFromAudio", {"model": "model.model", "features": "heard.features"}, shows=TELLS)
INPUTS = Column(270, (Group("1. Your picture and sound", MODEL, (picture(), sound())),))
IDENTITY = Group("2. Model and portrait", MODEL, (MODEL_NODE, PORTRAIT_NODE))
MOUTH = Group("3. Lip sync", MOTION, (ENCODE_NODE, LIP_NODE))


def blink(motion: str | None = None) -> Node:
    """Blinks along with the sound, over an expression if there is one."""
    return Node(
        "blink",
        "EDTalkBlink",
        {"portrait": "portrait.portrait", "features": "heard.features"} | ({"motion": motion} if motion else {}),
        # Nobody wants other blinks, and all frames anew, with every Run.
        {"seed": 1, "control_after_generate": "fixed"},
        shows=TELLS,
    )


def render(prefix: str, title: str = "4. Run", **wires: str) -> Column:
    """The video, at the end, at the portrait's own size."""
    node = Node(
        "render",
        "EDTalkRenderVideo",
        {"portrait": "portrait.portrait"} | wires,
        {"filename_prefix": prefix, "size": "own"},
        shows=PLAYS,
    )
    return Column(380, (Group(title, RENDER, (node,)),))


TALK = Workflow(
    "01 Talk - a picture and a sound to a video",
    (
        INPUTS,
        Column(
            290,
            (
                IDENTITY,
                Note(
                    "Press Run, then choose your files",
                    "Everything it needs comes with the pack. *Load Model* has the authors' model as well: better "
                    "pictures, 1 GB, fetched on first use, not cleared for commercial use.",
                ),
            ),
        ),
        Column(
            290,
            (MOUTH,),
        ),
        Column(
            290,
            (
                Group(
                    "An emotion, and blinks",
                    MOTION,
                    (
                        Node(
                            "emotion",
                            "EDTalkExpressionPreset",
                            {"portrait": "portrait.portrait"},
                            {"emotion": "happy", "strength": 0.8},
                        ),
                        blink("emotion.expression"),
                    ),
                ),
            ),
        ),
        render("video/EDTalk_talk", lip="lip.lip", expression="blink.motion", audio="heard.audio"),
    ),
    (("picture", "image"), ("sound", "audio"), ("emotion", "emotion"), ("emotion", "strength"), ("model", "model")),
    ("render",),
)

HEAD_MOTION = Workflow(
    "02 Talk with head motion - no driver video",
    (
        INPUTS,
        Column(
            290,
            (
                IDENTITY,
                Note(
                    "Press Run. New seed, new take",
                    "*Sample Pose from Flow* makes up how a head moves while this is said. **amount** 0 keeps it "
                    "still, 2 moves it twice as far. *Save Motion* keeps a take.",
                ),
            ),
        ),
        Column(290, (MOUTH,)),
        Column(
            290,
            (
                Group(
                    "Head and eyes move",
                    MOTION,
                    (
                        Node(
                            "head",
                            "EDTalkSamplePose",
                            {"portrait": "portrait.portrait", "features": "heard.features"},
                            {"seed": 3},
                            shows=TELLS,
                        ),
                        blink(),
                    ),
                ),
            ),
        ),
        render(
            "video/EDTalk_head_motion", lip="lip.lip", pose="head.pose", expression="blink.motion", audio="heard.audio"
        ),
    ),
)

REENACT = Workflow(
    "03 Reenact - mouth, head and face from a video",
    (
        Column(270, (Group("1. Your picture and video", MODEL, (picture(220), video("edtalk_driver.mp4", 220))),)),
        Column(
            290,
            (
                IDENTITY,
                Note(
                    "Press Run, then choose your files",
                    "The picture does what the face in the video does. Unplug one of the three motions and the "
                    "portrait keeps its own. Ask people before you animate them.",
                ),
            ),
        ),
        Column(
            290,
            (
                Group(
                    "3. What the face does",
                    MOTION,
                    (
                        Node(
                            "driver",
                            "EDTalkWeightsFromVideo",
                            {"model": "model.model", "video": "video.VIDEO"},
                            shows=TELLS,
                        ),
                        Node("parts", "GetVideoComponents", {"video": "video.VIDEO"}, title="The video's sound"),
                    ),
                ),
            ),
        ),
        render(
            "video/EDTalk_reenact",
            lip="driver.motion",
            pose="driver.motion",
            expression="driver.motion",
            audio="parts.audio",
        ),
    ),
    (("picture", "image"), ("video", "file"), ("model", "model")),
    ("render",),
)

DUB = Workflow(
    "04 Dub a video - new words, same face",
    (
        Column(270, (Group("1. Your video", MODEL, (video("edtalk_generated.mp4"),)),)),
        Column(
            290,
            (
                Group("2. What is to be said", MODEL, (sound(), MODEL_NODE)),
                Note(
                    "Press Run, then choose your files",
                    "Only the mouth is rendered; all else stays the video's own. Several faces: **face** 0 is the "
                    "largest. Dub people only with their consent.",
                ),
            ),
        ),
        Column(
            380,
            (
                Group(
                    "3. Run",
                    RENDER,
                    (
                        Node(
                            "dub",
                            "EDTalkDubVideo",
                            {"model": "model.model", "video": "video.VIDEO", "audio": "sound.AUDIO"},
                            {"filename_prefix": "video/EDTalk_dub", "size": "own"},
                            shows=PLAYS,
                        ),
                    ),
                ),
            ),
        ),
    ),
    (("video", "file"), ("sound", "audio"), ("dub", "length"), ("model", "model")),
    ("dub",),
)

STABLE_DIFFUSION = Workflow(
    "05 Stable Diffusion portrait talks",
    (
        Column(
            290,
            (
                Note(
                    "Choose a checkpoint, press Run",
                    "⚠ None comes with the pack; any Stable Diffusion model will do. One person who looks at you, "
                    "mouth closed, face at least 150 px high. No face is found in a drawing? Type a **box** in *Load "
                    "Portrait*.",
                ),
                Group(
                    "1. The picture in words",
                    OTHER,
                    (
                        Node(
                            "checkpoint",
                            "CheckpointLoaderSimple",
                            settings={"ckpt_name": "v1-5-pruned-emaonly-fp16.safetensors"},
                        ),
                        Node(
                            "wanted",
                            "CLIPTextEncode",
                            {"clip": "checkpoint.CLIP"},
                            {
                                "text": "portrait painting of a young fisherwoman, head and shoulders, facing the "
                                "viewer, mouth closed, calm, soft daylight, plain background"
                            },
                            "What to paint",
                            shows=60,
                        ),
                        Node(
                            "unwanted",
                            "CLIPTextEncode",
                            {"clip": "checkpoint.CLIP"},
                            {"text": "profile, open mouth, teeth, hands, text, frame, several people"},
                            "What not to paint",
                            shows=20,
                        ),
                    ),
                ),
            ),
        ),
        Column(
            270,
            (
                Group(
                    "2. Stable Diffusion",
                    OTHER,
                    (
                        Node("empty", "EmptyLatentImage"),
                        Node(
                            "sampler",
                            "KSampler",
                            {
                                "model": "checkpoint.MODEL",
                                "positive": "wanted.CONDITIONING",
                                "negative": "unwanted.CONDITIONING",
                                "latent_image": "empty.LATENT",
                            },
                            {"seed": 7, "control_after_generate": "fixed", "cfg": 7},
                        ),
                        Node("painted", "VAEDecode", {"samples": "sampler.LATENT", "vae": "checkpoint.VAE"}),
                        Node("shown", "PreviewImage", {"images": "painted.IMAGE"}, title="The picture", shows=260),
                    ),
                ),
            ),
        ),
        Column(
            290,
            (
                Group(
                    "3. Model and portrait",
                    MODEL,
                    (
                        MODEL_NODE,
                        Node("portrait", "EDTalkLoadPortrait", {"model": "model.model", "image": "painted.IMAGE"}),
                    ),
                ),
                Group("4. What it says", MODEL, (sound(),)),
                Group("The eyes blink", MOTION, (blink(),)),
            ),
        ),
        Column(
            290,
            (
                Group(
                    "5. Mouth and head motion",
                    MOTION,
                    (
                        ENCODE_NODE,
                        LIP_NODE,
                        Node(
                            "head",
                            "EDTalkSamplePose",
                            {"portrait": "portrait.portrait", "features": "heard.features"},
                            {"seed": 12},
                            shows=TELLS,
                        ),
                    ),
                ),
            ),
        ),
        render(
            "video/EDTalk_stable_diffusion",
            "6. Run",
            lip="lip.lip",
            pose="head.pose",
            expression="blink.motion",
            audio="heard.audio",
        ),
    ),
    (("wanted", "text"), ("sampler", "seed"), ("sound", "audio"), ("checkpoint", "ckpt_name"), ("model", "model")),
    ("shown", "render"),
)

TIMELINE_NODES = (
    Node(
        "expression",
        "EDTalkExpressionTimeline",
        {"portrait": "portrait.portrait", "features": "heard.features"},
        {
            "text": "0:00 own\n0:01 happy:0.8 ease-in-out\n0:03 happy:0.8\n0:04 surprised ease-in-out\n"
            "0:06 own ease-in-out"
        },
        shows=130,
    ),
    Node(
        "plot",
        "EDTalkPlotMotion",
        {"motion": "expression.expression"},
        {"width": 1024, "height": 640},
        "The expression as curves",
        shows=SHOWS,
    ),
)

TIMELINE = Workflow(
    "06 Expression timeline - emotions as text",
    (
        INPUTS,
        Column(
            290,
            (
                IDENTITY,
                Note(
                    "Press Run, then write your lines",
                    "Each line: time, emotion, strength, and how to get there (linear, ease-in-out, hold). Emotions: "
                    "angry, contempt, disgusted, fear, happy, neutral, sad, surprised; own is the face as in the "
                    "picture.",
                ),
            ),
        ),
        Column(290, (MOUTH, Group("The eyes blink", MOTION, (blink("expression.expression"),)))),
        Column(350, (Group("Emotions over time", MOTION, TIMELINE_NODES),)),
        render("video/EDTalk_timeline", lip="lip.lip", expression="blink.motion", audio="heard.audio"),
    ),
)

BLEND = Workflow(
    "07 Blend two expressions - over time",
    (
        INPUTS,
        Column(
            290,
            (
                IDENTITY,
                Note(
                    "Press Run, then change the curve",
                    "Each line of **curve** is a time and how much of the first there is: 0 is the second alone, 1 the "
                    "first. 1.5 goes beyond it.",
                ),
            ),
        ),
        Column(
            290,
            (
                MOUTH,
                Group(
                    "Two expressions",
                    MOTION,
                    (
                        Node(
                            "first",
                            "EDTalkExpressionPreset",
                            {"portrait": "portrait.portrait"},
                            {"emotion": "surprised"},
                            "First: surprised",
                        ),
                        Node(
                            "second",
                            "EDTalkExpressionPreset",
                            {"portrait": "portrait.portrait"},
                            {"emotion": "sad"},
                            "Second: sad",
                        ),
                    ),
                ),
            ),
        ),
        Column(
            350,
            (
                Group(
                    "Their blend over time",
                    MOTION,
                    (
                        Node(
                            "blend",
                            "EDTalkBlendExpressions",
                            {"first": "first.expression", "second": "second.expression"},
                            {"curve": "0:00 0\n0:01 0\n0:03 1 ease-in-out\n0:04 1\n0:06 0 ease-in-out"},
                            shows=130,
                        ),
                    ),
                ),
            ),
        ),
        render("video/EDTalk_blend", lip="lip.lip", expression="blend.expression", audio="heard.audio"),
    ),
)

MIX = Workflow(
    "08 Mix sources - mouth, head, expression",
    (
        Column(270, (Group("1. Your picture and sound", MODEL, (picture(), sound())),)),
        Column(
            290,
            (
                IDENTITY,
                Note(
                    "Press Run: three sources, one face",
                    "*Render Video* takes from each motion only the part that its socket is called. What is shorter "
                    "than the sound goes back and forth or stays.",
                ),
            ),
        ),
        Column(
            290,
            (
                MOUTH,
                Group(
                    "An expression",
                    MOTION,
                    (
                        Node(
                            "emotion",
                            "EDTalkExpressionPreset",
                            {"portrait": "portrait.portrait"},
                            {"emotion": "happy"},
                            "Expression from a preset",
                        ),
                    ),
                ),
            ),
        ),
        Column(
            290,
            (
                Group(
                    "The head of a video",
                    MOTION,
                    (
                        video("edtalk_driver.mp4", 200),
                        Node(
                            "head",
                            "EDTalkWeightsFromVideo",
                            {"model": "model.model", "video": "video.VIDEO"},
                            title="Head from this video",
                            shows=TELLS,
                        ),
                    ),
                ),
            ),
        ),
        render(
            "video/EDTalk_mix", lip="lip.lip", pose="head.motion", expression="emotion.expression", audio="heard.audio"
        ),
    ),
)

PASTE_BACK = Workflow(
    "09 Paste back - into a large picture",
    (
        INPUTS,
        Column(
            290,
            (
                IDENTITY,
                Note(
                    "Press Run: only the head changes",
                    "Frames are as large as the face in the picture. An upscale model may sharpen them: select the two "
                    "purple nodes and press Ctrl+B. All frames are held in memory, so keep it to some seconds.",
                ),
            ),
        ),
        Column(
            290,
            (
                Group(
                    "3. Lip sync and pose",
                    MOTION,
                    (
                        Node(
                            "cut",
                            "TrimAudioDuration",
                            {"audio": "sound.AUDIO"},
                            {"start_index": 1.4, "duration": 1.95},
                            "Two seconds of it",
                        ),
                        Node("heard", "EDTalkEncodeAudio", {"audio": "cut.AUDIO"}),
                        LIP_NODE,
                        Node(
                            "idle",
                            "EDTalkHoldPose",
                            {"portrait": "portrait.portrait", "features": "heard.features"},
                            {"amount": 2},
                        ),
                    ),
                ),
            ),
        ),
        Column(
            290,
            (
                Group(
                    "4. Render",
                    RENDER,
                    (
                        Node(
                            "frames",
                            "EDTalkRenderFrames",
                            {
                                "portrait": "portrait.portrait",
                                "lip": "lip.lip",
                                "pose": "idle.pose",
                                "audio": "heard.audio",
                            },
                            {"size": "own"},
                            shows=WORKS,
                        ),
                        Node(
                            "upscaler",
                            "UpscaleModelLoader",
                            settings={"model_name": "RealESRGAN_x4plus.pth"},
                            title="Your upscale model",
                            bypassed=True,
                        ),
                        Node(
                            "upscaled",
                            "ImageUpscaleWithModel",
                            {"upscale_model": "upscaler.UPSCALE_MODEL", "image": "frames.images"},
                            bypassed=True,
                        ),
                    ),
                ),
            ),
        ),
        Column(
            290,
            (
                Group(
                    "5. Paste back",
                    RENDER,
                    (
                        Node(
                            "paste",
                            "EDTalkPasteBack",
                            {"portrait": "portrait.portrait", "image": "picture.IMAGE", "frames": "upscaled.IMAGE"},
                            shows=WORKS,
                        ),
                    ),
                ),
            ),
        ),
        Column(
            290,
            (
                Group(
                    "6. Save",
                    RENDER,
                    (
                        Node(
                            "create",
                            "CreateVideo",
                            {"images": "paste.images", "audio": "frames.audio", "fps": "frames.fps"},
                        ),
                        Node(
                            "save",
                            "SaveVideo",
                            {"video": "create.VIDEO"},
                            {"filename_prefix": "video/EDTalk_paste_back"},
                            shows=SHOWS,
                        ),
                    ),
                ),
            ),
        ),
    ),
)


def person(
    number: int, image: str, cut: tuple[float, float], silence: tuple[float, float], below: str
) -> tuple[Column, ...]:
    """What one of two people needs: the portrait, the motion, and the frames pasted into **below**."""
    return (
        Group(
            f"Person {number}",
            MOTION,
            (
                Node(
                    f"portrait{number}",
                    "EDTalkLoadPortrait",
                    {"model": "model.model", "image": image},
                    {"face": number - 1},
                    shows=TELLS,
                ),
            ),
        ),
        Group(
            f"What person {number} says",
            MOTION,
            (
                Node(
                    f"cut{number}",
                    "TrimAudioDuration",
                    {"audio": "sound.AUDIO"},
                    {"start_index": cut[0], "duration": cut[1]},
                ),
                Node(
                    f"heard{number}",
                    "EDTalkEncodeAudio",
                    {"audio": f"cut{number}.AUDIO"},
                    {"silence_before": silence[0], "silence_after": silence[1]},
                ),
                Node(
                    f"lip{number}",
                    "EDTalkLipFromAudio",
                    {"model": "model.model", "features": f"heard{number}.features"},
                    shows=TELLS,
                ),
            ),
        ),
        Group(
            f"Render person {number}",
            RENDER,
            (
                Node(
                    f"frames{number}",
                    "EDTalkRenderFrames",
                    {
                        "portrait": f"portrait{number}.portrait",
                        "lip": f"lip{number}.lip",
                        "audio": f"heard{number}.audio",
                    },
                    {"size": "own"},
                    shows=WORKS,
                ),
                Node(
                    f"paste{number}",
                    "EDTalkPasteBack",
                    {"portrait": f"portrait{number}.portrait", "image": below, "frames": f"frames{number}.images"},
                    shows=SHOWS,
                ),
            ),
        ),
    )


FIRST = person(1, "both.IMAGE", (0, 1.4), (0, 2), "both.IMAGE")
SECOND = person(2, "both.IMAGE", (1.4, 2), (1.4, 0), "paste1.images")

TWO_PEOPLE = Workflow(
    "10 Two people in one picture",
    (
        Column(
            270,
            (
                Group(
                    "1. Your picture and sound",
                    MODEL,
                    (
                        Node(
                            "left", "LoadImage", settings={"image": "edtalk_portrait.jpg"}, title="The one", shows=160
                        ),
                        Node(
                            "right",
                            "LoadImage",
                            settings={"image": "edtalk_generated.jpg"},
                            title="The other",
                            shows=160,
                        ),
                        sound(),
                    ),
                ),
            ),
        ),
        Column(
            270,
            (
                Group(
                    "2. Both, side by side",
                    MODEL,
                    (
                        Node(
                            "both",
                            "ImageStitch",
                            {"image1": "left.IMAGE", "image2": "right.IMAGE"},
                            {"direction": "right", "match_image_size": True},
                            "A picture of two people",
                        ),
                        MODEL_NODE,
                    ),
                ),
                Note(
                    "Press Run: two faces, two sounds",
                    "**face** 0 is the largest, 1 the next. A picture of two? Plug it in for the stitched one. The one "
                    "is silent while the other speaks: silence after the first sound, before the second.",
                ),
            ),
        ),
        Column(270, (FIRST[0], FIRST[1])),
        Column(270, (SECOND[0], SECOND[1])),
        Column(270, (FIRST[2],)),
        Column(270, (SECOND[2],)),
        Column(
            250,
            (
                Group(
                    "3. Run",
                    RENDER,
                    (
                        Node(
                            "merged",
                            "AudioMerge",
                            {"audio1": "frames1.audio", "audio2": "frames2.audio"},
                            title="Both sounds",
                        ),
                        Node(
                            "create",
                            "CreateVideo",
                            {"images": "paste2.images", "audio": "merged.AUDIO", "fps": "frames2.fps"},
                        ),
                        Node(
                            "save",
                            "SaveVideo",
                            {"video": "create.VIDEO"},
                            {"filename_prefix": "video/EDTalk_two_people"},
                            shows=SHOWS,
                        ),
                    ),
                ),
            ),
        ),
    ),
)

SHEETS = Workflow(
    "11 Contact sheets - emotions and weights",
    (
        Column(
            270,
            (
                Group("1. Your picture", MODEL, (picture(),)),
                Note(
                    "Press Run, then compare",
                    "Left: the portrait in each emotion, a row for each strength. Right: what each of the 36 weights "
                    "of a frame moves, lowered, as it is, raised: *Adjust Motion* takes them as **offsets**.",
                ),
            ),
        ),
        Column(290, (IDENTITY,)),
        Column(
            520,
            (
                Group(
                    "3. The portrait in all emotions",
                    RENDER,
                    (
                        Node(
                            "emotions",
                            "EDTalkEmotionContactSheet",
                            {"portrait": "portrait.portrait"},
                            {"strengths": "0.5, 1, 1.5", "cell": 192},
                            shows=420,
                        ),
                    ),
                ),
            ),
        ),
        Column(
            520,
            (
                Group(
                    "4. What each weight moves",
                    RENDER,
                    (
                        Node(
                            "bases",
                            "EDTalkBaseExplorer",
                            {"portrait": "portrait.portrait"},
                            {"columns": 6, "cell": 96},
                            shows=420,
                        ),
                    ),
                ),
            ),
        ),
    ),
)

EDIT = Workflow(
    "12 Edit a face live - sliders and dragging",
    (
        INPUTS,
        Column(290, (IDENTITY, MOUTH)),
        Column(
            640,
            (
                Group(
                    "4. The face, as you want it",
                    MOTION,
                    (
                        Node(
                            "editor",
                            "EDTalkFaceEditor",
                            {"portrait": "portrait.portrait"},
                            {
                                "edit": '{"format":"edtalk-edit","format_version":1,'
                                '"expression":{"corner":2.2,"outer brows":0.8},"pose":{"yaw":2}}'
                            },
                            shows=100,
                        ),
                    ),
                ),
                Note(
                    "Press Run, then pull at the face",
                    "From the first Run on the picture follows sliders and the mouse at once. Drag the head, the "
                    "brows, the lids, the corners of the mouth. Press Run again for the video.",
                ),
            ),
        ),
        render(
            "video/EDTalk_edited",
            "5. Run again",
            lip="lip.lip",
            pose="editor.motion",
            expression="editor.motion",
            audio="heard.audio",
        ),
    ),
)

TRANSCRIPT = """1
00:00:00,300 --> 00:00:02,900
Congratulations! You have successfully installed

2
00:00:03,000 --> 00:00:06,500
and executed the Asterisk open source PBX.
"""
PERFORMANCE = (
    '{"format":"edtalk-performance","format_version":1,'
    '"emotions":"0 own\\n0.3 surprised:0.7 ease-in-out\\n1.4 happy:0.8 ease-in-out\\n4.2 happy:0.8\\n'
    '5.2 own ease-in-out",'
    '"head":[{"time":1,"easing":"linear"},{"time":1.2,"pitch":4,"easing":"ease-in-out"},'
    '{"time":1.6,"easing":"ease-in-out"}],"blinks":[2.96,5.6]}'
)

DIRECT = Workflow(
    "13 Direct a performance - emotions on the sound",
    (
        INPUTS,
        Column(290, (IDENTITY, MOUTH)),
        Column(
            840,
            (
                Group(
                    "4. The performance",
                    MOTION,
                    (
                        Node(
                            "timeline",
                            "EDTalkMotionTimeline",
                            {
                                "portrait": "portrait.portrait",
                                "audio": "heard.audio",
                                "lip": "lip.lip",
                                "transcript": "words.STRING",
                            },
                            {"performance": PERFORMANCE},
                            shows=120,
                        ),
                    ),
                ),
            ),
        ),
        Column(
            380,
            (
                *render(
                    "video/EDTalk_directed",
                    "5. Run again",
                    lip="timeline.motion",
                    pose="timeline.motion",
                    expression="timeline.motion",
                    audio="heard.audio",
                ).parts,
                Group(
                    "What is said, with times",
                    MODEL,
                    (
                        Node(
                            "words", "PrimitiveStringMultiline", settings={"": TRANSCRIPT}, title="Your words", shows=80
                        ),
                    ),
                ),
                Note(
                    "Press Run, then set emotions on the words",
                    "From the first Run on the face under the playhead follows. Double-click a lane to add a key, drag "
                    "keys onto words, press Nod, play. Words are those of an .srt file; press Run again for the video.",
                ),
            ),
        ),
    ),
)

FEELING = Workflow(
    "14 Talk with feeling - words and voice",
    (
        INPUTS,
        Column(
            290,
            (
                IDENTITY,
                Note(
                    "Press Run, then write what is said",
                    "**transcript**: the words of your sound, also as .srt or .vtt. They and the voice say which "
                    "emotion shows when. What was guessed is the timeline: wrong? Copy it into *Expression "
                    "Timeline* and correct it.",
                ),
            ),
        ),
        Column(
            300,
            (
                MOUTH,
                Group(
                    "Head moves with the words",
                    MOTION,
                    (
                        Node(
                            "head",
                            "EDTalkSamplePose",
                            {"portrait": "portrait.portrait", "features": "heard.features"},
                            {"seed": 3, "nods": 1},
                            shows=TELLS,
                        ),
                    ),
                ),
            ),
        ),
        Column(
            350,
            (
                Group(
                    "4. What the words mean",
                    MOTION,
                    (
                        Node(
                            "feeling",
                            "EDTalkExpressionFromSpeech",
                            {"portrait": "portrait.portrait", "features": "heard.features"},
                            {
                                "strength": 1.2,
                                "transcript": "Congratulations. You have successfully installed and executed the "
                                "Asterisk open source PBX.",
                            },
                            shows=TELLS,
                        ),
                        Node("timeline", "PreviewAny", {"source": "feeling.timeline"}, title="The timeline", shows=120),
                    ),
                ),
            ),
        ),
        Column(
            290,
            (
                Group(
                    "Eyes blink",
                    MOTION,
                    (
                        Node(
                            "blink",
                            "EDTalkBlink",
                            {
                                "portrait": "portrait.portrait",
                                "features": "heard.features",
                                "motion": "feeling.expression",
                            },
                            {"seed": 1, "control_after_generate": "fixed", "stress": 1},
                            shows=TELLS,
                        ),
                    ),
                ),
            ),
        ),
        render(
            "video/EDTalk_feeling",
            "5. Run",
            lip="lip.lip",
            pose="head.pose",
            expression="blink.motion",
            audio="heard.audio",
        ),
    ),
    (
        ("picture", "image"),
        ("sound", "audio"),
        ("feeling", "transcript"),
        ("feeling", "strength"),
        ("head", "nods"),
        ("model", "model"),
    ),
    ("timeline", "render"),
)

WORKFLOWS = (
    TALK,
    HEAD_MOTION,
    REENACT,
    DUB,
    STABLE_DIFFUSION,
    TIMELINE,
    BLEND,
    MIX,
    PASTE_BACK,
    TWO_PEOPLE,
    SHEETS,
    EDIT,
    DIRECT,
    FEELING,
)


@dataclass(frozen=True)
class Blueprint:
    """A subgraph in the node library; **settings** are those that show on it.

    **outside**: nodes whose wires become its inputs and outputs.
    """

    name: str
    description: str
    words: tuple[str, ...]
    outside: tuple[Node, ...]
    inside: tuple[Node, ...]
    settings: tuple[tuple[str, str], ...]


BLUEPRINTS = (
    Blueprint(
        "Talking Portrait (animate a face with speech)",
        "A portrait that says a sound, with head motion and an emotion: EDTalk from picture and sound to video.",
        ("talking head", "talking avatar", "lip sync", "wav2lip", "live portrait", "说话头像", "数字人", "口型同步"),
        (picture(), sound(), Node("saved", "SaveVideo", {"video": "render.video"})),
        (
            MODEL_NODE,
            PORTRAIT_NODE,
            ENCODE_NODE,
            LIP_NODE,
            Node(
                "head",
                "EDTalkSamplePose",
                {"portrait": "portrait.portrait", "features": "heard.features"},
                {"seed": 3},
                shows=TELLS,
            ),
            Node(
                "emotion",
                "EDTalkExpressionPreset",
                {"portrait": "portrait.portrait"},
                {"emotion": "happy", "strength": 0.8},
            ),
            blink("emotion.expression"),
            Node(
                "render",
                "EDTalkRenderVideo",
                {
                    "portrait": "portrait.portrait",
                    "lip": "lip.lip",
                    "pose": "head.pose",
                    "expression": "blink.motion",
                    "audio": "heard.audio",
                },
                {"filename_prefix": "video/EDTalk_talk", "size": "own"},
            ),
        ),
        (("model", "model"), ("emotion", "emotion"), ("emotion", "strength"), ("head", "amount"), ("blink", "rate")),
    ),
    Blueprint(
        "Dub a Video (lip sync)",
        "New words for the face in a video, at its own size and frame rate: EDTalk renders the mouth alone.",
        ("dubbing", "wav2lip", "lipsync", "talking head", "配音", "对口型", "口型同步"),
        (video("edtalk_generated.mp4"), sound(), Node("saved", "SaveVideo", {"video": "dub.video"})),
        (
            MODEL_NODE,
            Node(
                "dub",
                "EDTalkDubVideo",
                {"model": "model.model", "video": "video.VIDEO", "audio": "sound.AUDIO"},
                {"filename_prefix": "video/EDTalk_dub", "size": "own"},
            ),
        ),
        (("model", "model"), ("dub", "length"), ("dub", "face")),
    ),
    Blueprint(
        "Paste Back a Talking Head",
        "The head speaks in its large picture, and the rest stays as it is: rendered at its own size and put back by "
        "EDTalk. All frames are held in memory.",
        ("talking head", "composite face", "face", "说话头像", "贴回", "人脸"),
        (picture(), sound(), Node("saved", "SaveVideo", {"video": "create.VIDEO"})),
        (
            MODEL_NODE,
            PORTRAIT_NODE,
            ENCODE_NODE,
            LIP_NODE,
            Node(
                "frames",
                "EDTalkRenderFrames",
                {"portrait": "portrait.portrait", "lip": "lip.lip", "audio": "heard.audio"},
                {"size": "own"},
                shows=TELLS,
            ),
            Node(
                "paste",
                "EDTalkPasteBack",
                {"portrait": "portrait.portrait", "image": "picture.IMAGE", "frames": "frames.images"},
                shows=TELLS,
            ),
            Node("create", "CreateVideo", {"images": "paste.images", "audio": "frames.audio", "fps": "frames.fps"}),
        ),
        (("model", "model"), ("paste", "area")),
    ),
)
