"""ComfyUI's editor in a headless Chromium, operated like by a user."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from comfy_install import CLASSIC, NODES_2, NotInstalled
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
        "[data-testid=queue-button] button",  # the first in the button group, in older front ends
        "button:has([data-testid=linear-run-button-icon])",  # in app mode
    )
)
READY = "() => window.app?.graph && window.app.vueAppReady && window.app.extensionManager?.workflow?.activeWorkflow"
LOAD_SECONDS = 300
EXPECTED_ERRORS = ("/api/userdata/", "/api/view?filename=&")
"""Parts of URLs that fail in normal operation: unsaved settings, the sound of a node without one."""

PREVIEWS = """async id => {
    const node = window.app.graph.getNodeById(id);
    const roots = window.LiteGraph.vueNodesMode
        ? [document.querySelector(`[data-node-id="${id}"]`)]
        : node.widgets.map(widget => widget.element);
    const media = roots.filter(Boolean).flatMap(root => [...root.querySelectorAll("video, img")]);
    const visible = media.filter(element => element.checkVisibility() && element.getBoundingClientRect().width > 0);
    const drawn = window.LiteGraph.vueNodesMode || visible.length ? [] : node.imgs ?? [];
    return Promise.all([...visible, ...drawn].map(async element => {
        const source = decodeURIComponent(element.src);
        if (element.tagName === "IMG") return {kind: "picture", source, ready: element.naturalWidth > 0};
        const preview = {kind: "video", source, ready: element.readyState >= 2, seconds: element.duration};
        if (!preview.ready) return {...preview, seconds: 0};
        element.muted = true;
        const start = element.currentTime;
        await Promise.race([element.play(), new Promise(resolve => setTimeout(resolve, 2000))]);
        for (let tenth = 0; tenth < 30 && element.currentTime === start; tenth++)
            await new Promise(resolve => setTimeout(resolve, 100));
        preview.plays = element.currentTime !== start;
        element.pause();
        return preview;
    }));
}"""
"""Script that returns the previews of a visible node."""
BRING_INTO_VIEW = """id => {
    const canvas = window.app.canvas;
    canvas.ds.scale = 1;
    canvas.centerOnNode(window.app.graph.getNodeById(id));
    canvas.setDirty(true, true);
}"""
PREVIEW_SECONDS = 20
NOTICE_SECONDS = 10
COLLECT_ENDED = """() => {
    if (window.endedPrompts) return;
    window.endedPrompts = new Set();
    for (const end of ["execution_success", "execution_error", "execution_interrupted"])
        window.app.api.addEventListener(end, ({detail}) => window.endedPrompts.add(detail.prompt_id));
}"""
"""Script that collects the ids of prompts whose end the page has been told."""
END_SECONDS = 600
"""Time within which a busy page has handled all messages of a run."""


@dataclass(frozen=True)
class Preview:
    """A picture or video that a node shows in the page."""

    kind: str
    """"picture" or "video"."""
    source: str
    """URL of the media."""
    ready: bool
    """Whether it is loaded and visible."""
    seconds: float = 0.0
    """Duration of a video."""
    plays: bool = False
    """Whether a video advances during playback."""


class FrontEnd:
    """The editor's page. `problems` collects its exceptions, failed requests and logged errors."""

    def __init__(self, page: Any, server: ComfyServer) -> None:
        self.page = page
        self.server = server
        self.problems: list[str] = []
        page.on("pageerror", lambda error: self.problems.append(f"exception: {error}"))
        page.on(
            "response",
            lambda answer: self._record_if(
                answer.status >= 400 and not any(part in answer.url for part in EXPECTED_ERRORS),
                f"HTTP {answer.status}: {answer.url}",
            ),
        )
        page.on(
            "console",
            lambda message: self._record_if(
                message.type == "error" and "Failed to load resource" not in message.text, f"console: {message.text}"
            ),
        )

    def _record_if(self, is_problem: bool, text: str) -> None:
        if is_problem:
            self.problems.append(text)

    def load(self, workflow: dict[str, Any]) -> None:
        """Close dialogs and open a workflow, as when its file is dropped onto the page."""
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
        """Centre a node at full size: the classic renderer only draws videos of visible nodes."""
        self.page.evaluate(BRING_INTO_VIEW, node)
        self.page.wait_for_timeout(500)

    def shown(self, node: int) -> list[Preview]:
        """Pictures and videos that a node shows, once loaded; after some seconds, in their current state."""
        self.bring_into_view(node)
        deadline = time.monotonic() + PREVIEW_SECONDS
        while True:
            items = [Preview(**item) for item in self.page.evaluate(PREVIEWS, node)]
            if (items and all(item.ready for item in items)) or time.monotonic() > deadline:
                return items
            self.page.wait_for_timeout(250)

    def fit(self) -> None:
        """Zoom to show the entire graph."""
        self.page.evaluate("() => window.app.extensionManager.command.execute('Comfy.Canvas.FitView')")
        self.page.wait_for_timeout(1500)

    def dialogs(self) -> list[str]:
        """Texts of open dialogs and error messages."""
        return self.page.locator(
            ".p-dialog, .p-toast-message-error, [data-testid=toast][data-toast-kind=error]"
        ).all_inner_texts()

    def wait_for_notice(self, text: str) -> None:
        """Wait until a notice in the corner of the page contains a text. TimeoutError if none does."""
        notice = self.page.locator(".p-toast-message, [data-testid=toast]").filter(has_text=text)
        notice.first.wait_for(timeout=NOTICE_SECONDS * 1000)

    def prompt(self) -> dict[str, Any]:
        """The graph in API format, as the editor queues it."""
        return self.page.evaluate("async () => (await window.app.graphToPrompt()).output")

    def run(self, seconds: float, watch: Callable[[], None] | None = None) -> Run:
        """Press Run and wait until the page shows the end; `watch` is called repeatedly meanwhile.

        Raises RuntimeError when the prompt is not queued, TimeoutError after `seconds`.
        """
        self.page.evaluate(COLLECT_ENDED)
        with self.page.expect_response(
            lambda answer: answer.url.endswith("/api/prompt") and answer.request.method == "POST", timeout=60_000
        ) as response_info:
            self.page.locator(RUN_BUTTON).first.click()
        response = response_info.value.json()
        if response_info.value.status != 200:
            raise RuntimeError(f"The editor's prompt was rejected: {response}")
        prompt_id = response["prompt_id"]
        end = time.monotonic() + seconds
        while prompt_id not in self.server.get(f"/history/{prompt_id}"):
            if time.monotonic() > end:
                raise TimeoutError(f"{prompt_id} did not end within {seconds} s:\n{self.server.log()[-2000:]}")
            if watch is not None:
                watch()
            # The page's own events are handled while Playwright waits.
            self.page.wait_for_timeout(100)
        self.page.wait_for_function("id => window.endedPrompts.has(id)", arg=prompt_id, timeout=END_SECONDS * 1000)
        return run_of(self.server, prompt_id)


@contextlib.contextmanager
def open_browser() -> Iterator[Any]:
    """A Chromium without a window, a Browser of Playwright. Raises NotInstalled without Playwright or Chromium."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise NotInstalled("pages are tested with playwright: pip install -e '.[test,e2e]'") from None
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    with sync_playwright() as playwright:
        if program is None and not os.path.isfile(playwright.chromium.executable_path):
            raise NotInstalled(f"no browser was found (looked for {', '.join(PROGRAMS)}): playwright install chromium")
        browser = playwright.chromium.launch(executable_path=program, headless=True, args=OPTIONS)
        yield browser
        browser.close()


@contextlib.contextmanager
def open_front_end(
    server: ComfyServer, renderer: str | None = CLASSIC, size: tuple[int, int] = (1600, 900)
) -> Iterator[FrontEnd]:
    """Open the editor and wait for its first graph. Raises NotInstalled without Playwright or Chromium.

    `renderer` None: the front end's default. `size`: (width, height) of the page.
    """
    with open_browser() as browser:
        context = browser.new_context(viewport={"width": size[0], "height": size[1]})
        # Block external requests: without a network connection, they would time out slowly.
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
