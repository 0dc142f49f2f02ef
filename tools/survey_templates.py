"""Run every template in every ComfyUI, front end and renderer, and tell in a table what an artist sees.

    python tools/survey_templates.py [WORKFLOW ...] [--only TEXT] [--frames NUMBER] [--out FOLDER]

COMFYUI_PATH, COMFYUI_PYTHON and COMFYUI_FRONT_ENDS name what there is, as for the tests (CONTRIBUTING.md). Each row
says how long the template took from Run to the end, whether its result shows and plays on the node, how many nodes
overlap or reach out of their group before and after Run, and which screenshot shows it. The table is printed as
Markdown, and written to FOLDER/survey.md beside the screenshots while it grows.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests/support"))

from comfy_install import RENDERERS, Target, targets
from comfy_server import ComfyServer, Run
from front_end import FrontEnd, open_front_end
from layout import layout_problems
from templates import RENDER_FRAMES, WORKFLOWS, provide_models, read_workflow, use_example_for_checkpoint

SECONDS = 1800
"""Until a workflow that has not ended counts as hung."""
SMALL = {"width": 640, "height": 360}
"""Size of the page while a workflow runs: without a graphics card, a large one takes half the processor."""
HEADINGS = ("ComfyUI", "front end", "renderer", "template", "seconds", "result", "overlaps", "screenshot")


@dataclass(frozen=True)
class Row:
    """A template in an editor."""

    target: Target
    renderer: str
    template: str
    seconds: float
    result: str
    overlaps: str
    screenshot: str

    def cells(self) -> tuple[str, ...]:
        """As the table shows them, below HEADINGS."""
        return (
            *(self.target.place.label, self.target.front_end_version, self.renderer, self.template),
            *(f"{self.seconds:.1f}", self.result, self.overlaps, self.screenshot),
        )


def line(cells: tuple[str, ...]) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(cells)} |\n"


def survey(target: Target, renderers: list[str], workflows: list[Path], frames: int | None, out: Path) -> Iterator[Row]:
    """The rows of one ComfyUI and front end."""
    with tempfile.TemporaryDirectory() as folder:
        server = ComfyServer(target.place.find(), Path(folder, "base"), target.front_end_root())
        server.start()
        try:
            for renderer in renderers:
                with open_front_end(server, renderer) as editor:
                    for path in workflows:
                        yield look(editor, target, renderer, path, frames, out)
        finally:
            server.stop()


def look(editor: FrontEnd, target: Target, renderer: str, path: Path, frames: int | None, out: Path) -> Row:
    """Open a template, press Run, and look at what is there."""
    server = editor.server
    server.post("/free", {"unload_models": True, "free_memory": True})
    time.sleep(1)  # the server answers before it has
    workflow = read_workflow(path)
    provide_models(workflow, server)
    editor.load(workflow)
    use_example_for_checkpoint(editor)
    if frames is not None:
        editor.page.evaluate(RENDER_FRAMES, frames)
    editor.fit()
    before = layout_problems(editor)
    size = dict(editor.page.viewport_size)
    began = time.monotonic()
    run = editor.run(SECONDS, lambda: resize(editor, SMALL))
    resize(editor, size)
    seconds = time.monotonic() - began
    if run.status == "success":
        result = "; ".join(results(editor, run))
    else:
        result = f"{run.status}: {run.error.get('exception_message', '')}".replace("\n", " ")
    editor.fit()
    after = layout_problems(editor)
    overlaps = f"{len(before)}, {len(after)}" + "".join(f"; {problem}" for problem in (*before, *after))
    problems = [*editor.dialogs(), *editor.problems]
    result += f"; {len(problems)} complaints: {problems[0]}".replace("\n", " ") if problems else ""
    picture = f"{target.label}-{renderer}-{path.stem}.png"
    editor.page.screenshot(path=out / picture)
    return Row(target, renderer, path.stem, seconds, result, overlaps, picture)


def resize(editor: FrontEnd, size: dict[str, int]) -> None:
    """Give the page a size, unless it has it."""
    if editor.page.viewport_size != size:
        editor.page.set_viewport_size(size)


def results(editor: FrontEnd, run: Run) -> Iterator[str]:
    """What each node shows that has something to show."""
    for node, output in run.outputs.items():
        if output.get("images") and ":" not in node:
            name = f"filename={output['images'][0]['filename']}"
            items = [item for item in editor.shown(int(node)) if name in item.source and item.ready]
            if any(output.get("animated", ())):
                playing = [item for item in items if item.kind == "video" and item.plays]
                yield f"video of {playing[0].seconds:.1f} s plays" if playing else "NO VIDEO PLAYS"
            else:
                yield "picture" if items else "NO PICTURE"


def main() -> None:
    """Survey the requested templates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workflows", nargs="*", metavar="WORKFLOW", help='start of a name, such as "01"; default: all')
    parser.add_argument("--only", default="", metavar="TEXT", help='part of an editor\'s id, such as "1.49.6-nodes2"')
    parser.add_argument("--frames", type=int, metavar="NUMBER", help="render only so many; default: all, as it ships")
    parser.add_argument("--out", type=Path, default=ROOT / "out/survey", metavar="FOLDER")
    options = parser.parse_args()
    workflows = [path for path in WORKFLOWS if path.stem.startswith(tuple(options.workflows or [""]))]
    if not workflows:
        parser.error(f"there are {', '.join(path.stem for path in WORKFLOWS)}")
    options.out.mkdir(parents=True, exist_ok=True)
    with (options.out / "survey.md").open("w", encoding="utf-8") as file:

        def write(text: str) -> None:
            for stream in (file, sys.stdout):
                stream.write(text)
                stream.flush()

        write(line(HEADINGS) + line(("---",) * len(HEADINGS)))
        for target in targets():
            renderers = [name for name in RENDERERS if options.only in f"{target.label}-{name}"]
            for row in survey(target, renderers, workflows, options.frames, options.out) if renderers else ():
                write(line(row.cells()))


if __name__ == "__main__":
    main()
