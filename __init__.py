"""EDTalk for ComfyUI, which looks at this file alone: everything else is imported when it asks for the nodes."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .nodes import EDTalkExtension

WEB_DIRECTORY = "./nodes/web"


async def comfy_entrypoint() -> EDTalkExtension:
    """What ComfyUI calls for the pack's nodes."""
    try:
        from .nodes import EDTalkExtension
    except Exception:
        # ComfyUI itself logs a single line, which does not say what is missing.
        logging.getLogger("edtalk").exception("EDTalk cannot be loaded. Are its requirements installed?")
        raise
    return EDTalkExtension()
