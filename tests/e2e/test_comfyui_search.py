"""The search for nodes in ComfyUI's own editor: artists look for what a node does, not for its name."""

from __future__ import annotations

import pytest
from front_end import FrontEnd

pytestmark = [pytest.mark.slow, pytest.mark.any_renderer]

SCREEN = {"width": 1366, "height": 768}
"""A small one: the first page is what is seen of the list without scrolling."""
WORDS = {
    "talk": "Talking Head: EDTalk Render Video",
    "talking head": "Talking Head: EDTalk Render Video",
    "lip sync": "EDTalk Lip Sync from Audio",
    "face": "EDTalk Load Portrait (Face)",
    "head": "Talking Head: EDTalk Render Video",
    "portrait": "EDTalk Load Portrait (Face)",
    "emotion": "EDTalk Emotion Contact Sheet",
    "dub": "EDTalk Dub Video",
}
"""Words, and a node that every editor lists on the first page for them."""
BY_ALIAS = {
    "avatar": "Talking Head: EDTalk Render Video",
    "speech": "EDTalk Encode Audio",
    "animate": "Talking Portrait (animate a face with speech)",
    "blink": "EDTalk Weights from Video",
    "wav2lip": "EDTalk Lip Sync from Audio",
    "live portrait": "EDTalk Weights from Video",
    "说话头像": "Talking Head: EDTalk Render Video",
    "口型同步": "EDTalk Lip Sync from Audio",
    "人脸": "EDTalk Load Portrait (Face)",
    "数字人": "Talking Head: EDTalk Render Video",
    "语音": "EDTalk Encode Audio",
    "肖像": "EDTalk Load Portrait (Face)",
    "情绪": "EDTalk Expression Preset",
    "配音": "EDTalk Dub Video",
    "眨眼": "EDTalk Weights from Video",
}
"""Those that lead to it by search words, or to a blueprint: ComfyUI 0.11 and newer."""
KNOWS_ALIASES = "() => LiteGraph.registered_node_types.EDTalkRenderVideo.nodeData.search_aliases?.length > 0"
SEEN = """() => {
    const list = document.querySelector("#results-list, .p-autocomplete-list-container");
    const bottom = list.getBoundingClientRect().bottom;
    return [...list.querySelectorAll("[data-testid=result-item], li")]
        .filter(one => one.getBoundingClientRect().bottom <= bottom + 2)
        .map(one => one.innerText.split("\\n")[0].trim());
}"""


def test_nodes_are_found_by_what_they_do(editor: FrontEnd):
    page = editor.page
    before = page.viewport_size
    page.set_viewport_size(SCREEN)
    page.evaluate("window.app.graph.clear()")
    page.mouse.dblclick(700, 500)
    page.locator("input:focus").wait_for()
    words = WORDS | (BY_ALIAS if page.evaluate(KNOWS_ALIASES) else {})
    missed = {}
    for word, node in words.items():
        page.locator("input:focus").fill(word)
        page.wait_for_timeout(700)
        first_page = page.evaluate(SEEN)
        if node not in first_page:
            missed[word] = first_page
    page.keyboard.press("Escape")
    page.set_viewport_size(before)
    assert missed == {}
