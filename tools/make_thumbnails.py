"""Make the thumbnails of the workflows anew: each is run in ComfyUI's editor as it ships, and shows what came out.

    python tools/make_thumbnails.py [WORKFLOW ...]

All of workflows/*.json, or those named in full, get a .jpg of the same name. Run it after the demo weights or a
workflow have changed; it takes some minutes, and needs what the tests in the editor need (the extra `e2e`, ComfyUI and
a Chromium, see CONTRIBUTING.md). A workflow that needs a checkpoint is run with an example in place of its picture.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests/support"))

from comfy_install import find_comfyui
from comfy_server import ComfyServer, Run
from front_end import open_front_end
from templates import VIDEOS, WORKFLOWS, provide_models, read_workflow, use_example_for_checkpoint
from videos import read_video

WIDTH = 400
"""Pixels of a thumbnail."""
WIDEST = 1.5
"""Times its height; of what is wider the left is shown, since cards in the browser are nearly square."""
MOMENTS = (0.2, 0.4, 0.6, 0.8)
"""Of a video that is small enough to show four frames, where they are."""
SECONDS = 1800
"""Until a workflow that has not ended counts as hung."""


def thumbnail(run: Run, server: ComfyServer) -> Image.Image:
    """The last video that came out, else the widest picture."""
    files = run.files(server)
    videos = [path for path in files if path.suffix in VIDEOS]
    if not videos:
        picture = max((Image.open(path).convert("RGB") for path in files), key=lambda image: image.width)
        picture = picture.crop((0, 0, min(picture.width, round(WIDEST * picture.height)), picture.height))
        return picture.resize((WIDTH, round(WIDTH * picture.height / picture.width)), Image.Resampling.LANCZOS)
    frames = read_video(videos[-1]).frames
    moments = [Image.fromarray(frames[round(share * (len(frames) - 1))]) for share in MOMENTS]
    wide, high = moments[0].size
    if wide > WIDTH:
        return moments[1].resize((WIDTH, round(WIDTH * high / wide)), Image.Resampling.LANCZOS)
    side, height = WIDTH // 2, round(WIDTH / 2 * high / wide)
    sheet = Image.new("RGB", (2 * side, 2 * height))
    for number, moment in enumerate(moments):
        scaled = moment.resize((side, height), Image.Resampling.LANCZOS)
        sheet.paste(scaled, (number % 2 * side, number // 2 * height))
    return sheet


def main() -> None:
    """Make the requested thumbnails."""
    known = {path.stem: path for path in WORKFLOWS}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workflows", nargs="*", metavar="WORKFLOW", help=f"of {', '.join(known)}; default: all")
    names = parser.parse_args().workflows or list(known)
    if unknown := set(names) - set(known):
        parser.error(f"there is no workflow {', '.join(sorted(unknown))}")
    install = find_comfyui()
    with tempfile.TemporaryDirectory() as folder:
        server = ComfyServer(install, Path(folder, "base"))
        server.start()
        try:
            with open_front_end(server) as editor:
                for name in names:
                    workflow = read_workflow(known[name])
                    provide_models(workflow, server)
                    editor.load(workflow)
                    use_example_for_checkpoint(editor)
                    run = editor.run(SECONDS)
                    if run.status != "success":
                        raise RuntimeError(f"{name}: {json.dumps(run.error, indent=1)[:4000]}")
                    path = known[name].with_suffix(".jpg")
                    thumbnail(run, server).save(path, quality=82, optimize=True)
                    sys.stdout.write(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1000:.0f} kB\n")
                    sys.stdout.flush()
        finally:
            server.stop()


if __name__ == "__main__":
    main()
