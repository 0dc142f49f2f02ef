"""Random graphs through ComfyUI's server: each ends well, is refused, or fails with a sentence of ours."""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from comfy_server import Client, ComfyServer, Rejected, Run
from graphs import Prompt
from random_graphs import PACK_PREFIX, random_prompt, write_media

from edtalk_core import errors

pytestmark = pytest.mark.slow

MODELS = ("tiny.safetensors", "demo (built in)")
OUR_ERRORS = {
    name for name, one in vars(errors).items() if isinstance(one, type) and issubclass(one, errors.EDTalkError)
}
REFUSALS = {
    "bad_linked_input",
    "custom_validation_failed",
    "invalid_input_type",
    "required_input_missing",
    "return_type_mismatch",
    "value_bigger_than_max",
    "value_not_in_list",
    "value_smaller_than_min",
}
"""What ComfyUI says of an input before it runs anything. An exception while it looks is not among it."""
SECONDS = 30
"""Until a graph is cancelled; they take about a second, but some ask for a million frames."""
CANCEL_SECONDS = 60
"""Until a graph that was cancelled counts as hung."""


def refusal(refused: Rejected) -> str | None:
    """What is wrong with how a prompt was refused, None: nothing."""
    types = {type_ for reasons in refused.reasons().values() for type_, _ in reasons}
    return f"was refused: {refused}" if types - REFUSALS else None


def failure(run: Run) -> str | None:
    """What is wrong with how a prompt ended, None: nothing. Exceptions of core's own nodes are not ours to mend."""
    if run.status in ("success", "interrupted") or not run.error["node_type"].startswith(PACK_PREFIX):
        return None
    if run.error["exception_type"].rpartition(".")[2] in OUR_ERRORS:
        return None
    return f"{run.error['node_type']}: {run.error['exception_type']}: {run.error['exception_message']}" + "".join(
        run.error["traceback"]
    )


def outcome(run: Run) -> str:
    """A word for how a prompt ended, for counting."""
    if run.status in ("success", "interrupted"):
        return run.status
    return "error of ours" if run.error["node_type"].startswith(PACK_PREFIX) else "error of core"


def types_executed(prompt: Prompt, run: Run) -> set[str]:
    """Types of the nodes that did their work, also when a later one failed."""
    nodes = prompt if run.status == "success" else run.error["executed"]
    return {prompt[node]["class_type"] for node in nodes}


def run_or_cancel(client: Client, prompt: Prompt) -> Run:
    """Run a prompt to its end, or cancel it after SECONDS. TimeoutError if it does not stop then."""
    prompt_id = client.queue(prompt)
    try:
        return client.wait(prompt_id, SECONDS)
    except TimeoutError:
        client.interrupt()
        return client.wait(prompt_id, CANCEL_SECONDS)


def test_random_graphs_end_well_or_say_what_is_wrong(
    client: Client,
    server: ComfyServer,
    tiny_bundle: Path,
    request: pytest.FixtureRequest,
    record_property: Callable[[str, object], None],
):
    write_media(server.base / "input")
    shutil.copy(tiny_bundle, server.base / "models/edtalk" / MODELS[0])
    info = server.get("/object_info")
    began = time.monotonic()
    outcomes: Counter[str] = Counter()
    executed: set[str] = set()
    wrong: list[str] = []
    for seed in range(request.config.getoption("graphs")):
        prompt = random_prompt(info, MODELS, seed)
        before = len(server.log())
        try:
            run = run_or_cancel(client, prompt)
        except Rejected as refused:
            outcomes["refused"] += 1
            complaint = refusal(refused)
            ended_well = True
        else:
            outcomes[outcome(run)] += 1
            if run.status == "interrupted":
                record_property(f"graph {seed} was cancelled after {SECONDS} s", json.dumps(prompt))
            complaint = failure(run)
            ended_well = run.status == "success"
            executed |= types_executed(prompt, run)
        if complaint is None and ended_well and "Traceback" in server.log()[before:]:
            complaint = server.log()[before:]
        if complaint is not None:
            wrong.append(f"graph {seed} {complaint}\n{json.dumps(prompt)}")
    figures = ", ".join(f"{number} {word}" for word, number in outcomes.most_common())
    record_property("random graphs", f"{figures}; {time.monotonic() - began:.0f} s")
    assert not wrong, f"{len(wrong)} of {sum(outcomes.values())}:\n" + "\n\n".join(wrong)
    assert server.get("/queue") == {"queue_running": [], "queue_pending": []}
    assert outcomes["success"] > 0.2 * sum(outcomes.values()), outcomes
    assert min(outcomes["refused"], outcomes["error of ours"]) > 0, outcomes
    if sum(outcomes.values()) >= 500:
        assert {name for name in info if name.startswith(PACK_PREFIX)} <= executed
