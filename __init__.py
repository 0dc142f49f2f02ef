"""Entry point of the ComfyUI node pack. ComfyUI imports this file; the rest is imported when it asks for the nodes."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .nodes import EDTalkExtension

WEB_DIRECTORY = "./nodes/web"


async def comfy_entrypoint() -> EDTalkExtension:
    """Return the extension that lists the pack's nodes; ComfyUI calls this once, at its start."""
    from .edtalk_core.requirements import installation_advice, missing_requirements

    requirements = Path(__file__).with_name("requirements.txt")
    if missing := missing_requirements(requirements):
        logging.getLogger("edtalk").warning(installation_advice(missing, requirements))
    try:
        from .nodes import EDTalkExtension
    except Exception:
        # ComfyUI logs a single line without the traceback.
        logging.getLogger("edtalk").exception("EDTalk cannot be loaded.")
        raise
    return EDTalkExtension()
