"""A ComfyUI server with the pack installed, for the tests, and a client of its API."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from comfy_install import ComfyInstall, NotInstalled

Message = tuple[float, str, dict[str, Any]]
"""Time of arrival (time.monotonic()), type, data."""

ROOT = Path(__file__).resolve().parents[2]
PACK = "edtalk"
START_SECONDS = 180
STOP_SECONDS = 30
PROMPT_SECONDS = 1800
"""Time limit of a prompt, generous for busy machines."""
RELEASE_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
"""Makes glibc release memory as soon as it is free, so that the memory use of a process can be measured."""


class ComfyServer:
    """ComfyUI on a free port, with separate folders and the repository as the only custom node."""

    def __init__(
        self, install: ComfyInstall, base: Path, front_end: Path | None = None, first_start: bool = False
    ) -> None:
        """Create the folders below `base`; `start` starts the server. Raises NotInstalled without a client's packages.

        `front_end`: folder of a front end to use instead of the installed one. `first_start`: show the templates
        dialog of a new user, which covers the graph.
        """
        missing = [module for module in ("psutil", "websocket") if find_spec(module) is None]
        if missing:
            raise NotInstalled(f"a ComfyUI server is tested with {' and '.join(missing)}: pip install -e '.[test,e2e]'")
        self.install = install
        self.front_end = front_end
        self.base = base
        self.log_path = base / "server.log"
        models = (f"models/{folder}" for folder in (PACK, "checkpoints", "upscale_models"))
        for name in ("custom_nodes", "input", "output", "temp", "user/default", *models):
            (base / name).mkdir(parents=True)
        (base / "custom_nodes" / PACK).symlink_to(ROOT, target_is_directory=True)
        shutil.copy(install.checkout / "input/example.png", base / "input")  # part of every ComfyUI
        if not first_start:
            settings = {"Comfy.TutorialCompleted": True, "Comfy.InstalledVersion": install.front_end}
            (base / "user/default/comfy.settings.json").write_text(json.dumps(settings))

    def start(self) -> None:
        """Start the server and wait until it responds. Raises RuntimeError with its log when it does not."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        # As for users: bytecode is cached, and no other modules are on the path.
        removed = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
        environment = {key: value for key, value in os.environ.items() if key not in removed}
        with self.log_path.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *(self.install.python, "main.py", "--cpu", "--listen", "127.0.0.1", "--port", str(self.port)),
                    *("--base-directory", self.base, "--database-url", f"sqlite:///{self.base / 'comfyui.db'}"),
                    *(() if self.front_end is None else ("--front-end-root", self.front_end)),
                ],
                cwd=self.install.checkout,
                env=environment | {"HF_HUB_OFFLINE": "1"} | RELEASE_MEMORY,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._responds():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"ComfyUI did not start:\n{self.log()}")
            time.sleep(0.1)
        self.start_log = self.log()

    def _responds(self) -> bool:
        try:
            self.get("/system_stats")
        except OSError:
            return False
        return True

    def stop(self) -> None:
        """Stop the server like Ctrl-C; kill it if that has no effect."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM if sys.platform == "win32" else signal.SIGINT)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    @property
    def url(self) -> str:
        """Address of the editor, without a trailing slash."""
        return f"http://127.0.0.1:{self.port}"

    def log(self) -> str:
        """Log of the server so far."""
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def resident(self) -> int:
        """Resident memory of the server in bytes."""
        import psutil

        return psutil.Process(self._process.pid).memory_info().rss

    def busy(self) -> float:
        """CPU time of the server in seconds."""
        import psutil

        times = psutil.Process(self._process.pid).cpu_times()
        return times.user + times.system

    def get(self, path: str) -> Any:
        """JSON response to a GET of `path`. Raises urllib's errors, which are OSErrors."""
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            return json.load(answer)

    def post(self, path: str, content: dict[str, Any]) -> Any:
        """JSON response to a POST of JSON, or None if empty. Raises urllib's errors, which are OSErrors."""
        request = urllib.request.Request(
            self.url + path, json.dumps(content).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            body = answer.read()
        return json.loads(body) if body else None

    def file(self, output: dict[str, str]) -> Path:
        """Path of an output: filename, subfolder, and type "output", "temp" or "input"."""
        return self.base / output["type"] / output["subfolder"] / output["filename"]


class Rejected(Exception):
    """A prompt rejected by ComfyUI: `.error` is the overall reason, `.node_errors` that of each node."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        super().__init__(f"HTTP {status}: {json.dumps(body, indent=1)}")
        self.error: dict[str, Any] = body["error"]
        self.node_errors: dict[str, Any] = body["node_errors"]

    def reasons(self) -> dict[str, list[tuple[str, str]]]:
        """Node -> (type, input) of its errors."""
        return {
            node: [(error["type"], error["extra_info"].get("input_name", "")) for error in errors["errors"]]
            for node, errors in self.node_errors.items()
        }


@dataclass
class Run:
    """Result of a prompt."""

    status: str
    """"success", "error" or "interrupted"."""
    outputs: dict[str, dict[str, Any]]
    """Outputs shown by output nodes, by node."""
    error: dict[str, Any]
    """The message `execution_error` or `execution_interrupted`; empty if there was none."""
    messages: list[Message] = field(default_factory=list)
    """Messages of the server during the run."""

    def files(self, server: ComfyServer) -> list[Path]:
        """All files of the outputs, in order."""
        return [
            server.file(item)
            for output in self.outputs.values()
            for items in output.values()
            for item in items
            if isinstance(item, dict) and "filename" in item
        ]

    def texts(self) -> list[str]:
        """Status texts of nodes during the run."""
        return [data["text"] for _, kind, data in self.messages if kind == "text"]


class Client:
    """Client that queues prompts in API format and receives messages."""

    def __init__(self, server: ComfyServer) -> None:
        import websocket

        self.server = server
        self.id = uuid.uuid4().hex
        self._socket = websocket.create_connection(f"ws://127.0.0.1:{server.port}/ws?clientId={self.id}", timeout=60)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def queue(self, prompt: dict[str, Any], workflow: dict[str, Any] | None = None) -> str:
        """Queue a prompt, with the editor's `workflow` for saved files. Returns its id; raises Rejected."""
        content: dict[str, Any] = {"prompt": prompt, "client_id": self.id}
        if workflow is not None:
            content["extra_data"] = {"extra_pnginfo": {"workflow": workflow}}
        try:
            return self.server.post("/prompt", content)["prompt_id"]
        except urllib.error.HTTPError as answer:
            raise Rejected(answer.code, json.load(answer)) from None

    def wait(
        self, prompt_id: str, seconds: float = PROMPT_SECONDS, listen: Callable[[str, Any], None] | None = None
    ) -> Run:
        """Wait for the end of a prompt; `listen` is called with each message. Raises TimeoutError after `seconds`."""
        from websocket import WebSocketTimeoutException

        messages: list[Message] = []
        end = time.monotonic() + seconds
        while True:
            self._socket.settimeout(max(0.01, end - time.monotonic()))
            try:
                received = self._socket.recv()
            except WebSocketTimeoutException:
                raise TimeoutError(f"The prompt did not end within {seconds} s:\n{self.server.log()[-2000:]}") from None
            kind, data = _message(received)
            messages.append((time.monotonic(), kind, data))
            if listen is not None:
                listen(kind, data)
            # The history is complete at this message, but not yet at execution_success.
            if kind == "executing" and data["node"] is None and data["prompt_id"] == prompt_id:
                break
        return run_of(self.server, prompt_id, messages)

    def run(
        self, prompt: dict[str, Any], seconds: float = PROMPT_SECONDS, workflow: dict[str, Any] | None = None
    ) -> Run:
        """Queue a prompt and wait for its end."""
        return self.wait(self.queue(prompt, workflow), seconds)

    def free(self) -> None:
        """Unload models and execution cache, as from the editor's menu. The server responds before it is done."""
        self.server.post("/free", {"unload_models": True, "free_memory": True})

    def interrupt(self) -> None:
        """Interrupt the current prompt, like the editor's Cancel."""
        self.server.post("/interrupt", {})


def run_of(server: ComfyServer, prompt_id: str, messages: Sequence[Message] = ()) -> Run:
    """Result of a finished prompt, from the server's history."""
    history = server.get(f"/history/{prompt_id}")[prompt_id]
    statuses = dict(history["status"]["messages"])
    error = statuses.get("execution_error") or statuses.get("execution_interrupted") or {}
    status = "interrupted" if "execution_interrupted" in statuses else history["status"]["status_str"]
    return Run(status, history["outputs"], error, list(messages))


def _message(received: str | bytes) -> tuple[str, dict[str, Any]]:
    """Type and data of a message. Binary messages are the "preview" and "text" of a node."""
    if isinstance(received, str):
        message = json.loads(received)
        return message["type"], message["data"]
    event, rest = int.from_bytes(received[:4], "big"), received[4:]
    if event == 3:
        length = int.from_bytes(rest[:4], "big")
        return "text", {"node": rest[4 : 4 + length].decode(), "text": rest[4 + length :].decode()}
    return "preview", {"event": event, "bytes": rest}
