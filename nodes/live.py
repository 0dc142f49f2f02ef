"""Routes of the live editors, and what their nodes leave for them; the logic is in `edtalk_core.live`.

All routes are POST with JSON below /edtalk. They are on ComfyUI's own route table, so its rules on origins hold for
them as well.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aiohttp import web
from comfy_api.latest import io
from comfy_execution.utils import get_executing_context
from server import PromptServer

from ..edtalk_core.live.controls import Controls, measure_controls
from ..edtalk_core.live.scenes import Scene
from ..edtalk_core.live.service import LiveService, Refusal
from ..edtalk_core.motion.files import parse_json
from ..edtalk_core.motion.motion import TRACKS
from ..edtalk_core.motion.presets import save_preset
from ..edtalk_core.rendering import Renderer
from .execution import Progress, describe, on_device
from .files import next_file
from .language import translate
from .sockets import EncodedPortrait

logger = logging.getLogger("edtalk")

MAX_BODY_BYTES = 2 << 20
"""Of a request: the longest text of a performance, and some."""
PRESETS_FOLDER = "presets"
UI_KEY = "edtalk_live"
"""Name in a node's `ui` output of what nodes/web/live/ needs of a run."""


def _graph_runs() -> bool:
    server = getattr(PromptServer, "instance", None)
    return server is not None and server.prompt_queue.get_tasks_remaining() > 0


SERVICE = LiveService(_graph_runs)
_WORKER = ThreadPoolExecutor(1, "edtalk-live")


def controls_of(cls: type[io.ComfyNode], portrait: EncodedPortrait, tracks: Sequence[str] = TRACKS) -> Controls:
    """Return the controls of a portrait: those of the node's last run if its portrait is the same, else measured."""
    key = _key(cls)
    scene = SERVICE.scene(key) if key is not None else None
    if scene is not None and scene.portrait is portrait.portrait:
        return scene.controls
    renderer = Renderer(on_device(portrait.model), portrait.portrait, precision=portrait.model.precision)
    progress = Progress("faces")
    controls = measure_controls(portrait.model.edtalk, portrait.portrait, renderer, progress, tracks)
    progress.conclude(describe(portrait.own))
    return controls


def leave_scene(cls: type[io.ComfyNode], scene: Scene, text: str) -> dict[str, Any]:
    """Leave what the node's editor renders from; return the node's `ui` output: where it lies, and the text that ran.

    `cls` is the class as ComfyUI runs it.
    """
    key = _key(cls)
    if key is None:
        return {}
    SERVICE.leave(key, scene)
    graph, node = key
    return {UI_KEY: [{"graph": graph, "node": node, "text": text}]}


def _key(cls: type[io.ComfyNode]) -> tuple[str, str] | None:
    """The workflow's id, empty for prompts of the API, and the node's id; None outside of a run."""
    context = get_executing_context()
    if context is None:
        return None
    workflow = ((cls.hidden.extra_pnginfo if cls.hidden is not None else None) or {}).get("workflow")
    graph = workflow.get("id") if isinstance(workflow, dict) else None
    return str(graph or ""), str(context.node_id)


def add_live_routes() -> None:
    """Add the routes; nothing if ComfyUI runs without a server."""
    server = getattr(PromptServer, "instance", None)
    if server is None:
        return
    for name, answer in (("describe", _describe), ("frame", _frame), ("sound", _sound), ("preset", _preset)):
        server.routes.post(f"/edtalk/{name}")(_handler(answer))


def _handler(answer: Callable[[object], Any]) -> Any:
    async def handle(request: web.Request) -> web.Response:
        try:
            return await answer(await _body(request))
        except Refusal as refusal:
            return web.json_response({"error": translate(str(refusal))}, status=refusal.status)

    return handle


async def _body(request: web.Request) -> object:
    """Read the JSON of a request. Raises Refusal for anything else, and as soon as it is too long."""
    if request.content_type != "application/json":  # which pages of other origins cannot send unasked
        raise Refusal(415, "Expected JSON.")
    body = bytearray()
    try:
        async for block in request.content.iter_any():
            body += block
            if len(body) > MAX_BODY_BYTES:
                raise Refusal(413, f"A request has at most {MAX_BODY_BYTES:,} bytes.")
        return parse_json(body.decode())
    except (ValueError, web.HTTPException) as error:
        raise Refusal(400, "The request is not readable as JSON.") from error


async def _in_worker(function: Callable[[object], Any], request: object) -> Any:
    return await asyncio.get_running_loop().run_in_executor(_WORKER, function, request)


async def _describe(request: object) -> web.Response:
    return web.json_response(SERVICE.describe(request))


async def _frame(request: object) -> web.Response:
    SERVICE.announce(request)
    frame = await _in_worker(SERVICE.frame, request)
    if frame is None:
        return web.Response(status=204)
    headers = {"Cache-Control": "no-store", "EDTalk-Handles": frame.handles}
    return web.Response(body=frame.jpeg, content_type="image/jpeg", headers=headers)


async def _sound(request: object) -> web.Response:
    return web.Response(body=SERVICE.sound(request), content_type="audio/wav", headers={"Cache-Control": "no-store"})


async def _preset(request: object) -> web.Response:
    preset = SERVICE.preset(request)
    path, saved = next_file(f"{PRESETS_FOLDER}/{preset.name}", "json")
    await _in_worker(lambda _: save_preset(preset, path), None)
    return web.json_response({"file": f"{saved.subfolder}/{saved.filename}"})
