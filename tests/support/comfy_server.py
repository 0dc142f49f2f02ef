"""A ComfyUI server with the pack in it, started for the tests, and a client of its API."""

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

from comfy_install import ComfyInstall, NotThere

Message = tuple[float, str, dict[str, Any]]
"""When it came (time.monotonic()), its type, its data."""

ROOT = Path(__file__).resolve().parents[2]
PACK = "edtalk"
START_SECONDS = 180
STOP_SECONDS = 30
PATIENCE = 1800
"""Seconds until a prompt that has not ended counts as hung; on a busy machine one may take long."""
GIVES_BACK = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
"""Has the C library of Linux give memory back as soon as it is free, so that what a process holds can be measured."""


class ComfyServer:
    """ComfyUI on a free port, with folders of its own that hold the repository as its only custom node."""

    def __init__(
        self, install: ComfyInstall, base: Path, front_end: Path | None = None, first_start: bool = False
    ) -> None:
        """Lay the folders out below `base`; `start` starts it. NotThere without what a client needs.

        `front_end`: the folder of another front end than the one that is installed. `first_start`: the editor greets a
        new user with the templates, which lie over the graph.
        """
        missing = [module for module in ("psutil", "websocket") if find_spec(module) is None]
        if missing:
            raise NotThere(f"a ComfyUI server is tested with {' and '.join(missing)}: pip install -e '.[test,e2e]'")
        self.install = install
        self.front_end = front_end
        self.base = base
        self.log_path = base / "server.log"
        models = (f"models/{folder}" for folder in (PACK, "checkpoints", "upscale_models"))
        for name in ("custom_nodes", "input", "output", "temp", "user/default", *models):
            (base / name).mkdir(parents=True)
        (base / "custom_nodes" / PACK).symlink_to(ROOT, target_is_directory=True)
        shutil.copy(install.checkout / "input/example.png", base / "input")  # every ComfyUI has it
        if not first_start:
            settings = {"Comfy.TutorialCompleted": True, "Comfy.InstalledVersion": install.front_end}
            (base / "user/default/comfy.settings.json").write_text(json.dumps(settings))

    def start(self) -> None:
        """Start it and wait until it answers. RuntimeError with its log when it does not."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        # Users have compiled modules; and Python may not be told where to look for others.
        hidden = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
        environment = {key: value for key, value in os.environ.items() if key not in hidden}
        with self.log_path.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *(self.install.python, "main.py", "--cpu", "--listen", "127.0.0.1", "--port", str(self.port)),
                    *("--base-directory", self.base, "--database-url", f"sqlite:///{self.base / 'comfyui.db'}"),
                    *(() if self.front_end is None else ("--front-end-root", self.front_end)),
                ],
                cwd=self.install.checkout,
                env=environment | {"HF_HUB_OFFLINE": "1"} | GIVES_BACK,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        latest = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > latest:
                self.stop()
                raise RuntimeError(f"ComfyUI did not start:\n{self.log()}")
            time.sleep(0.1)
        self.start_log = self.log()

    def _answers(self) -> bool:
        try:
            self.get("/system_stats")
        except OSError:
            return False
        return True

    def stop(self) -> None:
        """Stop it as Ctrl-C does, and if that does not help, the hard way."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM if sys.platform == "win32" else signal.SIGINT)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    @property
    def url(self) -> str:
        """Of its front page, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    def log(self) -> str:
        """All it has said so far."""
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def resident(self) -> int:
        """Bytes of memory that it holds."""
        import psutil

        return psutil.Process(self._process.pid).memory_info().rss

    def busy(self) -> float:
        """Seconds that the processor has worked for it."""
        import psutil

        spent = psutil.Process(self._process.pid).cpu_times()
        return spent.user + spent.system

    def get(self, path: str) -> Any:
        """What a GET of `path` answers, JSON. urllib's errors are OSErrors."""
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            return json.load(answer)

    def post(self, path: str, content: dict[str, Any]) -> Any:
        """What a POST of JSON answers, JSON or None for nothing. urllib's errors are OSErrors."""
        request = urllib.request.Request(
            self.url + path, json.dumps(content).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            body = answer.read()
        return json.loads(body) if body else None

    def file(self, saved: dict[str, str]) -> Path:
        """The file that an output describes: filename, subfolder, and type "output", "temp" or "input"."""
        return self.base / saved["type"] / saved["subfolder"] / saved["filename"]


class Rejected(Exception):
    """A prompt that ComfyUI does not queue: `.error` says why on the whole, `.node_errors` for each node."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        super().__init__(f"HTTP {status}: {json.dumps(body, indent=1)}")
        self.error: dict[str, Any] = body["error"]
        self.node_errors: dict[str, Any] = body["node_errors"]

    def reasons(self) -> dict[str, list[tuple[str, str]]]:
        """For each node, (type, input) of its errors."""
        return {
            node: [(error["type"], error["extra_info"].get("input_name", "")) for error in errors["errors"]]
            for node, errors in self.node_errors.items()
        }


@dataclass
class Run:
    """What became of a prompt."""

    status: str
    """"success", "error" or "interrupted"."""
    outputs: dict[str, dict[str, Any]]
    """What the output nodes show, by node."""
    error: dict[str, Any]
    """The message `execution_error` or `execution_interrupted`; empty when there was none."""
    messages: list[Message] = field(default_factory=list)
    """All that the server told meanwhile."""

    def files(self, server: ComfyServer) -> list[Path]:
        """All files that the outputs name, in order."""
        return [
            server.file(item)
            for output in self.outputs.values()
            for shown in output.values()
            for item in shown
            if isinstance(item, dict) and "filename" in item
        ]

    def texts(self) -> list[str]:
        """What nodes said of themselves while they ran."""
        return [data["text"] for _, kind, data in self.messages if kind == "text"]


class Client:
    """Somebody who queues prompts in the API's format, and listens."""

    def __init__(self, server: ComfyServer) -> None:
        import websocket

        self.server = server
        self.id = uuid.uuid4().hex
        self._socket = websocket.create_connection(f"ws://127.0.0.1:{server.port}/ws?clientId={self.id}", timeout=60)

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def queue(self, prompt: dict[str, Any], workflow: dict[str, Any] | None = None) -> str:
        """Queue a prompt, with the editor's `workflow` to be kept in what is saved. Its id, or Rejected."""
        content: dict[str, Any] = {"prompt": prompt, "client_id": self.id}
        if workflow is not None:
            content["extra_data"] = {"extra_pnginfo": {"workflow": workflow}}
        try:
            return self.server.post("/prompt", content)["prompt_id"]
        except urllib.error.HTTPError as answer:
            raise Rejected(answer.code, json.load(answer)) from None

    def wait(self, prompt_id: str, seconds: float = PATIENCE, listen: Callable[[str, Any], None] | None = None) -> Run:
        """Wait for the end of a prompt; `listen` hears each message. TimeoutError after `seconds`."""
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
            # The history is written before this message, and after execution_success.
            if kind == "executing" and data["node"] is None and data["prompt_id"] == prompt_id:
                break
        return run_of(self.server, prompt_id, messages)

    def run(self, prompt: dict[str, Any], seconds: float = PATIENCE, workflow: dict[str, Any] | None = None) -> Run:
        """Queue a prompt and wait for its end."""
        return self.wait(self.queue(prompt, workflow), seconds)

    def free(self) -> None:
        """What the editor's "Unload Models and Execution Cache" does. The server answers before it has."""
        self.server.post("/free", {"unload_models": True, "free_memory": True})

    def interrupt(self) -> None:
        """What the editor's Cancel does."""
        self.server.post("/interrupt", {})


def run_of(server: ComfyServer, prompt_id: str, messages: Sequence[Message] = ()) -> Run:
    """The end of a prompt that has ended, as the server's history has it."""
    past = server.get(f"/history/{prompt_id}")[prompt_id]
    told = dict(past["status"]["messages"])
    error = told.get("execution_error") or told.get("execution_interrupted") or {}
    status = "interrupted" if "execution_interrupted" in told else past["status"]["status_str"]
    return Run(status, past["outputs"], error, list(messages))


def _message(received: str | bytes) -> tuple[str, dict[str, Any]]:
    """A message's type and data. Binary ones are "preview" and "text", of a node."""
    if isinstance(received, str):
        message = json.loads(received)
        return message["type"], message["data"]
    event, rest = int.from_bytes(received[:4], "big"), received[4:]
    if event == 3:
        length = int.from_bytes(rest[:4], "big")
        return "text", {"node": rest[4 : 4 + length].decode(), "text": rest[4 + length :].decode()}
    return "preview", {"event": event, "bytes": rest}
