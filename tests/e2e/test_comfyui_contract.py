"""The nodes as ComfyUI describes them to its editor: the compatibility contract, help, and translations."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import pytest
from comfy_server import PACK, ComfyServer
from contract import breaches, contract_of

ROOT = Path(__file__).resolve().parents[2]
SNAPSHOT = ROOT / "tests/data/object_info.json"
LANGUAGES = ("en", "zh")


@pytest.fixture(scope="module")
def object_info(server: ComfyServer) -> dict:
    """The pack's part of /object_info."""
    ours = {name: info for name, info in server.get("/object_info").items() if name.startswith("EDTalk")}
    assert ours, server.log()
    return ours


@pytest.fixture(scope="module")
def present(server: ComfyServer, object_info: dict) -> dict:
    """The contract of the nodes as they are, without files that happen to lie in the server's folders."""
    files = {
        path.relative_to(folder).as_posix()
        for folder in (server.base / name for name in ("input", "output", f"models/{PACK}"))
        for path in folder.rglob("*")
    }
    return contract_of(object_info, files)


def test_saved_workflows_keep_working(present, request):
    promised = json.loads(SNAPSHOT.read_text(encoding="utf-8")) if SNAPSHOT.exists() else {}
    assert list(breaches(promised, present)) == []
    if request.config.getoption("snapshot"):
        SNAPSHOT.write_text(json.dumps(present, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        promised = present
    # From its first release on, what is new is promised as well.
    assert present == promised, "the nodes have more than the snapshot: add it with `make snapshot`"


def test_all_ids_are_ours_for_ever(object_info):
    assert all(info["python_module"] == f"custom_nodes.{PACK}" for info in object_info.values())
    assert all(info["category"].split("/")[0] == "EDTalk" for info in object_info.values())


def test_everything_is_explained(object_info):
    unexplained = []
    for name, info in object_info.items():
        if not info["description"]:
            unexplained.append(name)
        for group in ("required", "optional"):
            for key, (_, details) in info["input"].get(group, {}).items():
                if not details.get("tooltip"):
                    unexplained.append(f"{name}: input {key}")
        tooltips = info.get("output_tooltips") or [None] * len(info["output"])
        unexplained += [
            f"{name}: output {key}" for key, tooltip in zip(info["output_name"], tooltips, strict=True) if not tooltip
        ]
    assert unexplained == []


def test_every_node_has_a_help_page(server: ComfyServer, object_info):
    missing = []
    for name in object_info:
        try:
            with urllib.request.urlopen(f"{server.url}/extensions/{PACK}/docs/{name}.md", timeout=60) as page:
                text = page.read().decode("utf-8")
        except OSError:
            text = ""
        if len(text) < 100:
            missing.append(name)
    assert missing == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_node_is_translated(server: ComfyServer, object_info, language):
    given = server.get("/i18n").get(language, {}).get("nodeDefs", {})
    missing = []
    for name, info in object_info.items():
        texts = given.get(name, {})
        missing += [f"{name}: {key}" for key in ("display_name", "description") if not texts.get(key)]
        inputs = [key for group in ("required", "optional") for key in info["input"].get(group, {})]
        for kind, keys in (("inputs", inputs), ("outputs", [str(number) for number in range(len(info["output"]))])):
            told = texts.get(kind, {})
            missing += [
                f"{name}: {kind} {key}: {part}"
                for key in keys
                for part in ("name", "tooltip")
                if not told.get(key, {}).get(part)
            ]
            missing += [f"{name}: {kind} {key} is translated and is not there" for key in told if key not in keys]
    assert missing == []


def test_translations_are_only_of_what_is_there(server: ComfyServer, object_info):
    for language in LANGUAGES:
        given = server.get("/i18n").get(language, {}).get("nodeDefs", {})
        assert {name for name in given if name.startswith("EDTalk")} <= set(object_info)
