"""Make the pictures of the nodes' help pages anew: each node is run in a ComfyUI server, on the examples that ship.

    python tools/make_help_pictures.py [NODE_ID ...]

All of them, or those named, are written to nodes/web/docs/pictures. Run it after the demo weights or what a node makes
have changed; it takes some minutes, and needs what the tests against a server need (the extra `e2e` and ComfyUI, see
CONTRIBUTING.md). It prints what each picture weighs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests/support"))

import live_pictures  # noqa: F401 - adds its makers
from comfy_install import find_comfyui
from comfy_server import Client, ComfyServer
from help_pictures import MAKERS, Made
from picture_scenes import ANIMATION_FPS, Studio

PICTURES = ROOT / "nodes/web/docs/pictures"


def save(made: Made, path: Path) -> None:
    """As WebP: small, and every browser shows it, moving or not."""
    if isinstance(made, list):
        made[0].save(
            path,
            save_all=True,
            append_images=made[1:],
            duration=round(1000 / ANIMATION_FPS),
            loop=0,
            quality=55,
            method=6,
        )
    else:
        made.save(path, quality=80, method=6)


def main() -> None:
    """Make the requested pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nodes", nargs="*", metavar="NODE_ID", help=f"of {', '.join(MAKERS)}; default: all")
    node_ids = parser.parse_args().nodes or list(MAKERS)
    if unknown := set(node_ids) - set(MAKERS):
        parser.error(f"no picture is known of {', '.join(sorted(unknown))}")
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        server = ComfyServer(find_comfyui(), Path(folder, "base"))
        server.start()
        try:
            client = Client(server)
            studio = Studio(server, client)
            for node_id in node_ids:
                path = PICTURES / f"{node_id}.webp"
                save(MAKERS[node_id](studio), path)
                sys.stdout.write(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1000:.0f} kB\n")
                sys.stdout.flush()
            client.close()
        finally:
            server.stop()
    total = sum(file.stat().st_size for file in PICTURES.iterdir())
    sys.stdout.write(f"all pictures: {total / 1000:.0f} kB\n")


if __name__ == "__main__":
    main()
