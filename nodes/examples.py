"""Example Inputs."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import folder_paths
from comfy_api.latest import InputImpl, io

from ..edtalk_core.builtin_files import builtin_file
from ..edtalk_core.media.audio import read_audio
from ..edtalk_core.media.picture import read_picture
from .schema import search_words
from .sockets import image_of, sound_of

logger = logging.getLogger("edtalk")

EXAMPLES = ("portrait.jpg", "generated.jpg", "generated.mp4", "driver.mp4", "speech.flac")


class ExampleInputs(io.ComfyNode):
    """Example pictures, speech and driver video that ship with the pack."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EDTalkExampleInputs",
            display_name="EDTalk Example Inputs",
            **search_words("example portrait, sample speech, test video, demo", "示例, 样例, 测试素材"),
            category="EDTalk",
            description="Pictures, a speech and a driver video that come with the pack, so that a workflow runs before "
            "you have anything of your own. To use your own files, plug Load Image, Load Audio or Load Video in "
            "instead. Where they are from and their terms: weights/examples/README.md.",
            inputs=[],
            outputs=[
                io.Image.Output(
                    "portrait",
                    display_name="portrait",
                    tooltip="A photo of the astronaut Eileen Collins, 512x512, the face 110 px wide. NASA, public "
                    "domain.",
                ),
                io.Audio.Output(
                    "speech",
                    display_name="speech",
                    tooltip="An English sentence, 7.2 seconds, 16 kHz mono. Spoken by Allison Smith, CC BY-SA 3.0.",
                ),
                io.Video.Output(
                    "driver",
                    display_name="driver",
                    tooltip="A man who speaks and moves his head, with sound: 5.84 seconds, 256x256, 25 frames a "
                    "second. Public domain; for its movement only: do not publish him saying what he never said.",
                ),
                io.Image.Output(
                    "generated",
                    display_name="generated portrait",
                    tooltip="A man who does not exist, 1024x1024, the face 150 px wide. Apache-2.0.",
                ),
            ],
        )

    @classmethod
    def execute(cls) -> io.NodeOutput:
        portrait, generated = (
            image_of(read_picture(builtin_file(f"examples/{name}"))) for name in ("portrait.jpg", "generated.jpg")
        )
        speech = sound_of(read_audio(builtin_file("examples/speech.flac")))
        return io.NodeOutput(
            portrait, speech, InputImpl.VideoFromFile(str(builtin_file("examples/driver.mp4"))), generated
        )


def copy_examples() -> None:
    """Copy the example media into ComfyUI's input folder, from which the templates load them.

    Existing files are not overwritten; a copy that fails is logged.
    """
    folder = Path(folder_paths.get_input_directory())
    for name in EXAMPLES:
        copy = folder / f"edtalk_{name}"
        if copy.exists():
            continue
        try:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(builtin_file(f"examples/{name}"), copy)
        except OSError as error:
            logger.warning("An example file for EDTalk's templates could not be copied to %s: %s", copy, error)
