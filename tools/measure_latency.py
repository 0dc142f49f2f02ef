"""Measure how fast the preview service answers, and what it holds: the demo model on this machine.

    python tools/measure_latency.py [--requests 200] [--threads 2]

A face is edited by small steps, one request after the other, as by a slider. It prints milliseconds from a request to
its JPEG: of the clock, and of the processor, which other programs do not lengthen; then what is dropped when requests
come faster than they are answered, and the bytes that are held. The browser adds some 10 ms; a test in
tests/e2e/test_comfyui_live.py measures all of it, from the event to the painted picture.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))

from edtalk_core.builtin_files import builtin_file
from edtalk_core.checkpoints import load_model
from edtalk_core.live.controls import measure_controls
from edtalk_core.live.scenes import EditScene
from edtalk_core.live.service import LiveService
from edtalk_core.media.picture import read_picture
from edtalk_core.portrait import portrait_from_picture
from edtalk_core.rendering import Renderer

FLOOD = 50
"""Requests that come at once."""


def request(number: int, track: str, base: str, amount: float) -> dict[str, Any]:
    """A request for a frame with one base changed."""
    text = json.dumps({"format": "edtalk-edit", "format_version": 1, track: {base: amount}})
    return {"graph": "", "node": "1", "client": "tool", "number": number, "text": text, "seconds": 0}


def percentiles(seconds: list[float]) -> str:
    """The median and the 95th percentile in milliseconds."""
    p50, p95 = np.percentile(np.array(seconds) * 1000, [50, 95])
    return f"p50 {p50:.0f} ms, p95 {p95:.0f} ms"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2, help="of torch")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model = load_model("demo")
    portrait, _ = portrait_from_picture(model, read_picture(builtin_file("examples/generated.jpg")))
    start = time.process_time()
    controls = measure_controls(model, portrait, Renderer(model, portrait))
    sys.stdout.write(f"controls and handles of a portrait: {time.process_time() - start:.1f} s of the processor\n")
    service = LiveService(busy=lambda: False)
    service.leave(("", "1"), EditScene(model, portrait, "auto", controls))
    number = 0
    for track, base in (("expression", "smile"), ("pose", "yaw")):
        clock, processor = [], []
        for step in range(args.requests):
            number += 1
            asked = request(number, track, base, 4 * np.sin(step / 10))
            before = time.perf_counter(), time.process_time()
            service.announce(asked)
            assert service.frame(asked) is not None
            clock.append(time.perf_counter() - before[0])
            processor.append(time.process_time() - before[1])
        sys.stdout.write(f"{base}: {percentiles(clock)}; of the processor {percentiles(processor)}\n")
    threads = []
    for step in range(FLOOD):
        asked = request(number + 1 + step, "expression", "smile", step / FLOOD)
        service.announce(asked)
        threads.append(threading.Thread(target=service.frame, args=(asked,)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.stdout.write(f"{FLOOD} at once: {service.dropped} dropped, {FLOOD - service.dropped} rendered\n")
    sys.stdout.write(f"held: {service.bytes_held() / 1e6:.1f} MB\n")


if __name__ == "__main__":
    main()
