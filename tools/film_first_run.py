"""Film the first minute of a new user: from a fresh ComfyUI to the playing video with three clicks.

    python tools/film_first_run.py [--only TEXT] [--out FOLDER]

A ComfyUI that was never opened greets with its templates. The film clicks on the pack, on its first template, and on
Run, and takes a picture after each step: FOLDER/film.png joins them, FOLDER/app.png is the template as an app, after
Run. COMFYUI_PATH, COMFYUI_PYTHON and COMFYUI_FRONT_ENDS name what there is, as for the tests (CONTRIBUTING.md); it is
filmed in the newest ComfyUI with its own front end, or in the one whose id contains TEXT.
"""

from __future__ import annotations

import argparse
import io
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests/support"))

from comfy_install import Target, newest_place, targets
from comfy_server import PACK, ComfyServer
from front_end import FrontEnd, open_front_end
from templates import WORKFLOWS

PAGE = (1366, 768)
"""The size of a small laptop's screen."""
WIDTH, GAP, CAPTION = 683, 8, 32
"""Of a picture in the strip, of the space between two, and of the line of text above."""
SECONDS = 600
"""Until the template that has not ended counts as hung."""
TALK = next(path.stem for path in WORKFLOWS if re.match(r"(\d+ )?talk\b", path.stem, re.IGNORECASE))
"""The template that is filmed; in the browser its card has this name."""
LOADED = "() => document.querySelector('video')?.readyState >= 2"
PLAY = "() => document.querySelector('video').play()"
PLAYS = "() => document.querySelector('video').currentTime > 1"
TOGGLE_APP = "() => window.app.extensionManager.command.execute('Comfy.ToggleLinear')"
APP_TOUR = "[data-testid=coach-landing]"
"""The offer of a tour, at the first app that is opened in newer front ends; Escape declines it."""


class Film:
    """Pictures of a page, each with a caption."""

    def __init__(self, editor: FrontEnd) -> None:
        self._editor = editor
        self._pictures: list[tuple[str, Image.Image]] = []

    def take(self, caption: str, pause: float = 1.5) -> None:
        """A picture after `pause` seconds."""
        self._editor.page.wait_for_timeout(1000 * pause)
        self._pictures.append((caption, Image.open(io.BytesIO(self._editor.page.screenshot()))))

    def __len__(self) -> int:
        return len(self._pictures)

    def strip(self) -> Image.Image:
        """All pictures beside each other."""
        height = round(WIDTH * PAGE[1] / PAGE[0])
        strip = Image.new("RGB", (len(self) * (WIDTH + GAP) - GAP, CAPTION + height), "white")
        draw = ImageDraw.Draw(strip)
        for number, (caption, picture) in enumerate(self._pictures):
            left = number * (WIDTH + GAP)
            draw.text((left + 4, 6), caption, "black", ImageFont.load_default(18))
            strip.paste(picture.convert("RGB").resize((WIDTH, height), Image.Resampling.LANCZOS), (left, CAPTION))
        return strip


def film(editor: FrontEnd) -> Film:
    """The three clicks and what follows."""
    page, made = editor.page, Film(editor)
    page.set_default_timeout(1000 * SECONDS)
    page.get_by_text(PACK, exact=True).first.wait_for(timeout=60_000)
    made.take("A fresh start: the templates")
    page.get_by_text(PACK, exact=True).first.click()
    card = page.get_by_test_id(f"template-workflow-{TALK}")
    card.wait_for()
    card.scroll_into_view_if_needed()
    made.take(f"Click 1: {PACK}", 4)
    card.click()
    card.wait_for(state="hidden")
    made.take("Click 2: the template", 5)

    def watch() -> None:
        if len(made) == 3 and page.locator(".edtalk-live-preview img").count():
            made.take("Click 3: Run")

    run_to_end(editor, watch)
    page.wait_for_function(LOADED)
    made.take("The video is on the node", 2)
    # The editor starts no video by itself.
    page.evaluate(PLAY)
    page.wait_for_function(PLAYS)
    made.take("It plays", 0)
    return made


def show_as_app(editor: FrontEnd) -> None:
    """Show the open template as an app, and run it."""
    page = editor.page
    page.evaluate(TOGGLE_APP)
    page.wait_for_timeout(3000)
    if page.locator(APP_TOUR).count():
        page.keyboard.press("Escape")
        page.locator(APP_TOUR).wait_for(state="hidden")
    run_to_end(editor)
    page.wait_for_timeout(3000)


def run_to_end(editor: FrontEnd, watch: Callable[[], None] | None = None) -> None:
    """Press Run. RuntimeError when it does not end well."""
    run = editor.run(SECONDS, watch)
    if run.status != "success":
        raise RuntimeError(f"{TALK}: {run.error.get('exception_message')}")


def main() -> None:
    """Film, then show the same template as an app."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="TEXT", help='part of an id, such as "0.33.0-1.58.1"')
    parser.add_argument("--out", type=Path, default=ROOT / "out/film", metavar="FOLDER")
    options = parser.parse_args()
    if options.only is None:
        target = Target(newest_place())
    else:
        target = next((candidate for candidate in targets() if options.only in candidate.label), None)
    if target is None:
        parser.error(f"no id contains {options.only}; there are {', '.join(place.label for place in targets())}")
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        server = ComfyServer(target.place.find(), Path(folder, "base"), target.front_end_root(), first_start=True)
        server.start()
        try:
            with open_front_end(server, renderer=None, size=PAGE) as editor:
                film(editor).strip().save(options.out / "film.png")
                show_as_app(editor)
                editor.page.screenshot(path=options.out / "app.png")
        finally:
            server.stop()
    sys.stdout.write(f"{target.label}: {options.out / 'film.png'}, {options.out / 'app.png'}\n")


if __name__ == "__main__":
    main()
