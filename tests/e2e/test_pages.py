"""Reports and studies in a browser: they load nothing, follow the theme, and give the answers that were clicked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from front_end import NotInstalled, open_browser
from protocol_runs import write_run

from edtalk_core.evaluation.report import write_report
from edtalk_core.evaluation.study import read_answers, read_key, study_table, write_study


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    try:
        with open_browser() as opened:
            yield opened
    except NotInstalled as error:
        pytest.skip(str(error))


def open_page(browser: Any, path: Path, **options: Any) -> tuple[Any, list[str]]:
    """A page from a file; the second is what it asks of the network or complains of."""
    page = browser.new_page(**options)
    troubles: list[str] = []
    page.on("request", lambda r: None if r.url.startswith(("file:", "data:", "blob:")) else troubles.append(r.url))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
    page.goto(path.as_uri())
    return page, troubles


def test_report_in_both_themes_and_on_paper(browser: Any, tmp_path: Path):
    write_run(tmp_path / "a", 21)
    write_run(tmp_path / "b", 20)
    path, *_ = write_report(tmp_path / "a", tmp_path / "report.html", tmp_path / "b")
    grounds = []
    for scheme in ("light", "dark"):
        page, troubles = open_page(browser, path, color_scheme=scheme, viewport={"width": 1280, "height": 900})
        assert troubles == []
        grounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        # Pictures are decoded, charts have a size, and nothing is wider than the window.
        assert page.evaluate("[...document.images].every((image) => image.naturalWidth > 0)")
        assert page.evaluate(
            "[...document.querySelectorAll('svg')].every((svg) => svg.getBoundingClientRect().width > 50)"
        )
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert page.locator("polyline").count() == 50
        page.screenshot(path=str(tmp_path / f"{scheme}.png"), full_page=True)
        page.close()
    assert grounds == ["rgb(255, 255, 255)", "rgb(21, 23, 26)"]
    page, _ = open_page(browser, path)
    assert page.pdf()[:5] == b"%PDF-"
    page.close()


def test_study_is_answered_left_and_continued(browser: Any, tmp_path: Path):
    methods = {}
    for method in ("Ours", "Theirs"):
        methods[method] = tmp_path / method
        methods[method].mkdir()
        for clip in ("a", "b"):
            (methods[method] / f"{clip}.webm").write_bytes(b"no video, which the page survives")
    path = tmp_path / "study.html"
    key = write_study(methods, path, labels={"a": "happy", "b": "sad"})
    study, items = read_key(key)
    context = browser.new_context(accept_downloads=True)
    page = context.new_page()
    page.goto(path.as_uri())
    page.click("#start")
    assert page.inner_text("#place") == "Clip 1 of 4"
    page.click("#next")  # without answers it stays
    assert page.inner_text("#place") == "Clip 1 of 4"

    def answer() -> None:
        shown = page.evaluate("state.order[state.at]")
        page.check(f"#lip input[value='{5 if items[shown].method == 'Ours' else 2}']")
        page.check("#real input[value='3']")
        page.check("#emotion input[value='happy']")
        page.click("#next")

    answer()
    answer()
    participant, order = page.evaluate("state.participant"), page.evaluate("state.order")
    page.close()
    # Later, in the same browser: the same order, at the same place.
    page = context.new_page()
    page.goto(path.as_uri())
    assert page.inner_text("#place") == "Clip 3 of 4"
    assert page.evaluate("state.order") == order
    page.click("#back")
    assert page.is_checked("#real input[value='3']")
    page.click("#next")
    answer()
    answer()
    with page.expect_download() as download:
        page.click("#save")
    answers = tmp_path / "answers.json"
    download.value.save_as(answers)
    assert json.loads(answers.read_text())["participant"] == participant
    table = study_table(items, read_answers([answers], study, items))
    assert {method: row["lip"].mean for method, row in table.items()} == {"Ours": 5, "Theirs": 2}
    assert {method: row["emotion"].mean for method, row in table.items()} == {"Ours": 0.5, "Theirs": 0.5}
    context.close()
    # Somebody else has another order, sooner or later.
    orders = set()
    for _ in range(8):
        context = browser.new_context()
        page = context.new_page()
        page.goto(path.as_uri())
        orders.add(tuple(page.evaluate("state.order")))
        context.close()
    assert len(orders) > 1
