"""ComfyUI's own editor in a headless Chromium, used as a person uses it."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from comfy_install import CLASSIC, NODES_2, NotThere
from comfy_server import ComfyServer, Run, run_of

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
OPTIONS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
)
RUN_BUTTON = ", ".join(
    f"{button}:visible"
    for button in (
        "button[data-testid=queue-button]",
        "[data-testid=queue-button] button",  # the first one in the group of that name, in older front ends
        "button:has([data-testid=linear-run-button-icon])",  # in the view as an app
    )
)
READY = "() => window.app?.graph && window.app.vueAppReady && window.app.extensionManager?.workflow?.activeWorkflow"
LOAD_SECONDS = 120
USUAL_REFUSALS = ("/api/userdata/", "/api/view?filename=&")
"""Parts of what the editor asks for in vain: settings that nobody has saved yet, the sound of a node without one."""

SHOWN = """async id => {
    const node = window.app.graph.getNodeById(id);
    const roots = window.LiteGraph.vueNodesMode
        ? [document.querySelector(`[data-node-id="${id}"]`)]
        : node.widgets.map(widget => widget.element);
    const media = roots.filter(Boolean).flatMap(root => [...root.querySelectorAll("video, img")]);
    const visible = media.filter(one => one.checkVisibility() && one.getBoundingClientRect().width > 0);
    const drawn = window.LiteGraph.vueNodesMode || visible.length ? [] : node.imgs ?? [];
    return Promise.all([...visible, ...drawn].map(async one => {
        const source = decodeURIComponent(one.src);
        if (one.tagName === "IMG") return {kind: "picture", source, ready: one.naturalWidth > 0};
        const shown = {kind: "video", source, ready: one.readyState >= 2, seconds: one.duration};
        if (!shown.ready) return {...shown, seconds: 0};
        one.muted = true;
        const start = one.currentTime;
        await Promise.race([one.play(), new Promise(resolve => setTimeout(resolve, 2000))]);
        for (let tenth = 0; tenth < 30 && one.currentTime === start; tenth++)
            await new Promise(resolve => setTimeout(resolve, 100));
        shown.plays = one.currentTime !== start;
        one.pause();
        return shown;
    }));
}"""
"""What a node that is in view shows below its widgets."""
BRING_INTO_VIEW = """id => {
    const canvas = window.app.canvas;
    canvas.ds.scale = 1;
    canvas.centerOnNode(window.app.graph.getNodeById(id));
    canvas.setDirty(true, true);
}"""
SHOWN_SECONDS = 20


@dataclass(frozen=True)
class Shown:
    """A picture or video that a node shows in the page."""

    kind: str
    """"picture" or "video"."""
    source: str
    """Its address."""
    ready: bool
    """Whether it is loaded, so that something can be seen of it."""
    seconds: float = 0.0
    """How long the video is."""
    plays: bool = False
    """Whether the video goes on when it is played."""


class FrontEnd:
    """The editor's page. `problems` gathers what went wrong in it: exceptions, failed requests, errors it logged."""

    def __init__(self, page: Any, server: ComfyServer) -> None:
        self.page = page
        self.server = server
        self.problems: list[str] = []
        page.on("pageerror", lambda error: self.problems.append(f"exception: {error}"))
        page.on(
            "response",
            lambda answer: self._note(
                answer.status >= 400 and not any(part in answer.url for part in USUAL_REFUSALS),
                f"HTTP {answer.status}: {answer.url}",
            ),
        )
        page.on(
            "console",
            lambda message: self._note(
                message.type == "error" and "Failed to load resource" not in message.text, f"console: {message.text}"
            ),
        )

    def _note(self, wrong: bool, text: str) -> None:
        if wrong:
            self.problems.append(text)

    def load(self, workflow: dict[str, Any]) -> None:
        """Open a workflow, as when its file is dropped onto the page. What lies over the graph is closed before."""
        for _ in range(self.page.locator(".p-dialog").count()):
            self.page.keyboard.press("Escape")
            self.page.wait_for_timeout(500)
        self.problems.clear()
        self.page.evaluate("graph => window.app.loadGraphData(graph)", workflow)

    def nodes(self) -> list[dict[str, Any]]:
        """The graph's nodes: id, type, and whether it is bypassed, of a known type, and an output node."""
        return self.page.evaluate(
            """() => window.app.graph.nodes.map(node => ({
                id: node.id, type: node.type, bypassed: node.mode !== 0,
                known: node.type in LiteGraph.registered_node_types,
                output: Boolean(node.constructor.nodeData?.output_node),
            }))"""
        )

    def bring_into_view(self, node: int) -> None:
        """Show a node in the middle, at full size: the classic renderer draws no videos of others."""
        self.page.evaluate(BRING_INTO_VIEW, node)
        self.page.wait_for_timeout(500)

    def shown(self, node: int) -> list[Shown]:
        """The pictures and videos that a node shows once they are loaded; after some seconds, whatever there is."""
        self.bring_into_view(node)
        latest = time.monotonic() + SHOWN_SECONDS
        while True:
            items = [Shown(**item) for item in self.page.evaluate(SHOWN, node)]
            if (items and all(item.ready for item in items)) or time.monotonic() > latest:
                return items
            self.page.wait_for_timeout(250)

    def fit(self) -> None:
        """Show the whole graph."""
        self.page.evaluate("() => window.app.extensionManager.command.execute('Comfy.Canvas.FitView')")
        self.page.wait_for_timeout(1500)

    def dialogs(self) -> list[str]:
        """The texts of the dialogs and error messages that lie over the graph."""
        return self.page.locator(".p-dialog, .p-toast-message-error").all_inner_texts()

    def prompt(self) -> dict[str, Any]:
        """The graph in the API's format, as the editor would queue it."""
        return self.page.evaluate("async () => (await window.app.graphToPrompt()).output")

    def run(self, seconds: float, watch: Callable[[], None] | None = None) -> Run:
        """Press Run and wait for the end; `watch` is called again and again meanwhile.

        RuntimeError when it is not queued, TimeoutError after `seconds`.
        """
        with self.page.expect_response(
            lambda answer: answer.url.endswith("/api/prompt") and answer.request.method == "POST", timeout=60_000
        ) as asked:
            self.page.locator(RUN_BUTTON).first.click()
        answer = asked.value.json()
        if asked.value.status != 200:
            raise RuntimeError(f"The editor's prompt was refused: {answer}")
        prompt_id = answer["prompt_id"]
        end = time.monotonic() + seconds
        while prompt_id not in self.server.get(f"/history/{prompt_id}"):
            if time.monotonic() > end:
                raise TimeoutError(f"{prompt_id} did not end within {seconds} s:\n{self.server.log()[-2000:]}")
            if watch is not None:
                watch()
            # The page's own events are handled while Playwright waits.
            self.page.wait_for_timeout(100)
        return run_of(self.server, prompt_id)


@contextlib.contextmanager
def open_front_end(
    server: ComfyServer, renderer: str | None = CLASSIC, size: tuple[int, int] = (1600, 900)
) -> Iterator[FrontEnd]:
    """Open the editor and wait until its first graph is there. Raises NotThere without Playwright or a Chromium.

    `renderer` None: the one that the front end chooses. `size`: (width, height) of the page.
    """
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise NotThere("the editor is tested with playwright: pip install -e '.[test,e2e]'") from None
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    with sync_playwright() as playwright:
        if program is None and not os.path.isfile(playwright.chromium.executable_path):
            raise NotThere(f"no browser was found (looked for {', '.join(PROGRAMS)}): playwright install chromium")
        browser = playwright.chromium.launch(executable_path=program, headless=True, args=OPTIONS)
        context = browser.new_context(viewport={"width": size[0], "height": size[1]})
        # Nothing outside is wanted, and waiting for what cannot be reached would take long.
        context.route(
            lambda url: not url.startswith((server.url, "data:", "blob:")), lambda route: route.abort("blockedbyclient")
        )
        if renderer is not None:
            server.post("/settings", {"Comfy.VueNodes.Enabled": renderer == NODES_2})
        page = context.new_page()
        page.goto(server.url, wait_until="domcontentloaded", timeout=LOAD_SECONDS * 1000)
        # The graph exists before the start workflow is in it; activeWorkflow is set when it is.
        page.wait_for_function(READY, timeout=LOAD_SECONDS * 1000)
        yield FrontEnd(page, server)
        browser.close()
