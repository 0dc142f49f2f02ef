"""What loading the pack costs and does, in ComfyUI as it stands when it loads custom nodes. Prints JSON.

Run in ComfyUI's Python: measure_start.py CHECKOUT PACK BASE, where BASE is an empty folder.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

NETWORK = ("socket.", "urllib.", "http.", "ftplib.", "smtplib.", "ssl.")
PROCESSES = ("subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.startfile", "pty.")
WRITES = (
    "os.mkdir",
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.link",
    "os.symlink",
    "os.truncate",
    "shutil.",
    "tempfile.",
)


def main(checkout: str, pack: str, base: str) -> None:
    """Load ComfyUI as its main.py does, then the pack, watched."""
    del sys.argv[1:]
    sys.path[0] = checkout
    from comfy.cli_args import args

    args.cpu, args.base_directory = True, base
    import utils.extra_config  # noqa: F401
    import server  # isort: skip
    import nodes  # isort: skip

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    server.PromptServer(loop)
    loop.run_until_complete(nodes.init_builtin_extra_nodes())

    seen: dict[str, list[str]] = {"network": [], "processes": [], "writes": []}
    watching = True

    def watch(event: str, details: tuple[Any, ...]) -> None:
        if not watching:
            return
        if event.startswith(NETWORK):
            seen["network"].append(f"{event} {details}")
        elif event.startswith(PROCESSES):
            seen["processes"].append(f"{event} {details}")
        # Python keeps what it compiled, where it is allowed to; that is not the pack's doing.
        elif "__pycache__" in str(details):
            return
        elif event.startswith(WRITES) or (event == "open" and _writes(*details)):
            seen["writes"].append(f"{event} {details}")

    modules = set(sys.modules)
    sys.addaudithook(watch)
    # Of the processor: nothing else is waited for here, and other programs may keep it from us.
    began = time.process_time()
    loaded = loop.run_until_complete(nodes.load_custom_node(pack, module_parent="custom_nodes"))
    seconds = time.process_time() - began
    watching = False
    ours = [name for name in nodes.NODE_CLASS_MAPPINGS if name.startswith("EDTalk")]
    new = {name.split(".")[0] for name in set(sys.modules) - modules if not name.startswith(pack)}
    sys.stdout.write(
        json.dumps({"loaded": loaded, "seconds": seconds, "nodes": ours, "modules": sorted(new), **seen}) + "\n"
    )
    sys.stdout.flush()
    os._exit(0)  # the server's threads are of no interest


def _writes(path: Any, _mode: str | None, flags: int) -> bool:
    return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND)) and path != os.devnull


if __name__ == "__main__":
    main(*(str(Path(argument).absolute()) for argument in sys.argv[1:]))
