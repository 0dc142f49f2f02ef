"""ComfyUI's own editor in a headless Chromium, used as a person uses it."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from typing import Any

from comfy_install import CLASSIC, NODES_2, NotThere
from comfy_server import ComfyServer, Run, run_of

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
OPTIONS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
)
RUN_BUTTON = "button[data-testid=queue-button], [data-testid=queue-button] button"
"""The button itself, or as before 1.40 the first one in the group of that name."""
READY = "() => window.app?.graph && window.app.vueAppReady && window.app.extensionManager?.workflow?.activeWorkflow"
LOAD_SECONDS = 120
USUAL_REFUSALS = ("/api/userdata/", "/api/view?filename=&")
"""Parts of what the editor asks for in vain: settings that nobody has saved yet, the sound of a node without one."""


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

    def dialogs(self) -> list[str]:
        """The texts of the dialogs and error messages that lie over the graph."""
        return self.page.locator(".p-dialog, .p-toast-message-error").all_inner_texts()

    def prompt(self) -> dict[str, Any]:
        """The graph in the API's format, as the editor would queue it."""
        return self.page.evaluate("async () => (await window.app.graphToPrompt()).output")

    def run(self, seconds: float) -> Run:
        """Press Run and wait for the end. RuntimeError when it is not queued, TimeoutError after `seconds`."""
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
            # The page's own events are handled while Playwright waits.
            self.page.wait_for_timeout(100)
        return run_of(self.server, prompt_id)


@contextlib.contextmanager
def open_front_end(server: ComfyServer, renderer: str = CLASSIC) -> Iterator[FrontEnd]:
    """Open the editor and wait until its first graph is there. Raises NotThere without Playwright or a Chromium."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise NotThere("the editor is tested with playwright: pip install -e '.[test,e2e]'") from None
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    with sync_playwright() as playwright:
        if program is None and not os.path.isfile(playwright.chromium.executable_path):
            raise NotThere(f"no browser was found (looked for {', '.join(PROGRAMS)}): playwright install chromium")
        browser = playwright.chromium.launch(executable_path=program, headless=True, args=OPTIONS)
        context = browser.new_context(viewport={"width": 1600, "height": 900})
        # Nothing outside is wanted, and waiting for what cannot be reached would take long.
        context.route(
            lambda url: not url.startswith((server.url, "data:", "blob:")), lambda route: route.abort("blockedbyclient")
        )
        server.post("/settings", {"Comfy.VueNodes.Enabled": renderer == NODES_2})
        page = context.new_page()
        page.goto(server.url, wait_until="domcontentloaded", timeout=LOAD_SECONDS * 1000)
        # The graph exists before the start workflow is in it; activeWorkflow is set when it is.
        page.wait_for_function(READY, timeout=LOAD_SECONDS * 1000)
        yield FrontEnd(page, server)
        browser.close()
