"""Translations and help pages of the nodes agree with each other, and with what the nodes are called and say."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest
from node_texts import HELP, LOCALES, ROOT, flat, read_texts, short_name

LANGUAGES = sorted(path.name for path in LOCALES.iterdir())
OTHERS = [language for language in LANGUAGES if language != "en"]
FILES = ("main", "nodeDefs")
NODES = read_texts("en", "nodeDefs")
PICTURES = HELP / "pictures"
PICTURES_BYTES = 1_500_000
"""Everybody who installs the pack downloads them."""

HEADINGS = {
    "en": ["Plug in", "Inputs", "Outputs", "Tips", "When something goes wrong"],
    "zh": ["连接", "输入", "输出", "技巧", "出了问题怎么办"],
}
CORE_NODES = {
    "en": {
        *("Audio Concat", "Create Video", "Get Video Components", "Load Audio", "Load Image", "Load Upscale Model"),
        *("Load Video", "Preview Image", "Save Image", "Save Video", "Upscale Image (using Model)"),
    },
    "zh": {
        *("Audio Concat", "创建视频", "获取视频组件", "加载音频", "加载图像", "加载放大模型", "加载视频", "预览图像"),
        *("保存图像", "保存视频", "使用模型放大图像"),
    },
}
"""Nodes of ComfyUI that help pages name, as its editor calls them."""


def page(node_id: str, language: str) -> str:
    name = f"{node_id}.md" if language == "en" else f"{node_id}/{language}.md"
    return (HELP / name).read_text(encoding="utf-8")


def rows(text: str) -> list[str]:
    """The first cells of a page's tables, without their headings."""
    return re.findall(r"^\| \*\*(.*?)\*\*(?:<br>.*?)? \|", text.replace("<wbr>", ""), re.MULTILINE)


def numbers(text: str) -> list[str]:
    return sorted(re.findall(r"\d+(?:\.\d+)?", text))


@cache
def messages() -> str:
    """All texts in the code of the library and the nodes; "…" stands for what is filled in."""
    found = []
    for path in (*(ROOT / "edtalk_core").rglob("*.py"), *(ROOT / "nodes").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
            elif isinstance(node, ast.JoinedStr):
                parts = (part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
                found.append("".join(map(str, parts)))
    return "\n".join(found)


def test_there_are_english_and_chinese():
    assert LANGUAGES == ["en", "zh"]


@pytest.mark.parametrize("language", OTHERS)
@pytest.mark.parametrize("name", FILES)
def test_a_translation_has_the_same_texts(language, name):
    english, other = flat(read_texts("en", name)), flat(read_texts(language, name))
    assert sorted(set(english) - set(other)) == []
    assert sorted(set(other) - set(english)) == []
    assert list(other) == list(english)  # so that two files can be compared side by side


@pytest.mark.parametrize("language", OTHERS)
@pytest.mark.parametrize("name", FILES)
def test_a_translation_has_the_same_numbers(language, name):
    english, other = flat(read_texts("en", name)), flat(read_texts(language, name))
    assert {key: other[key] for key, text in english.items() if numbers(text) != numbers(other[key])} == {}


@pytest.mark.parametrize("name", FILES)
def test_chinese_is_chinese(name):
    plain = {key: text for key, text in flat(read_texts("zh", name)).items() if not re.search("[\u4e00-\u9fff]", text)}
    assert plain.pop("nodeCategories.EDTalk", "EDTalk") == "EDTalk"
    # Formats of files and numbers are called the same everywhere.
    assert {key: text for key, text in plain.items() if not key.endswith(f".options.{text}")} == {}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", FILES)
def test_no_text_means_something_to_the_editors_translator(language, name):
    """vue-i18n fills {names} in, follows @links, and takes what | separates for singular and plural."""
    assert {key: text for key, text in flat(read_texts(language, name)).items() if re.search(r"[{}@|\\]", text)} == {}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_node_has_a_help_page_and_nothing_else_has(language):
    found = HELP.glob("*.md") if language == "en" else HELP.glob(f"*/{language}.md")
    assert {path.stem if language == "en" else path.parent.name for path in found} == set(NODES)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("node_id", NODES)
def test_a_help_page_is_complete(node_id, language):
    text = page(node_id, language)
    expected = HEADINGS[language]
    if "inputs" not in NODES[node_id]:
        expected = [expected[0], *expected[2:]]
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == expected
    names = read_texts(language, "nodeDefs")[node_id]
    assert rows(text) == [one["name"] for part in ("inputs", "outputs") for one in names.get(part, {}).values()]
    assert f"](pictures/{node_id}.webp)" in text
    # As many tips and troubles in all languages.
    assert len(re.findall("^- ", text, re.MULTILINE)) == len(re.findall("^- ", page(node_id, "en"), re.MULTILINE))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("node_id", NODES)
def test_a_help_page_names_nodes_as_the_editor_does(node_id, language):
    known = {short_name(texts["display_name"]) for texts in read_texts(language, "nodeDefs").values()}
    # What is bold is a node, but for the beginnings of rows and list entries.
    named = re.findall(
        r"\*\*(.*?)\*\*", re.sub(r"^(\||-) \*\*.*?\*\*", "", page(node_id, language), flags=re.MULTILINE)
    )
    assert set(named) - known - CORE_NODES[language] == set()


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("node_id", NODES)
def test_a_help_page_quotes_messages_as_they_are(node_id, language):
    headings = re.findall(r"^- \*\*(.*?)\*\*[:：]", page(node_id, language), re.MULTILINE)
    for quoted in re.findall("“([^“”]+)”", "\n".join(one for one in headings if "“" in one)):
        parts = [re.escape(part.strip()) for part in quoted.split("…") if part.strip()]
        assert re.search(r"[^\n]*".join(parts), messages()), quoted


def test_messages_are_translated_as_they_are_written():
    texts = set(messages().split("\n"))
    for language in OTHERS:
        translations = read_texts(language, "messages")
        assert {one for one in translations if one.replace("{}", "…") not in texts} == set()
        for english, other in translations.items():
            filled = re.findall(r"\{\d*\}", other)
            assert len(filled) <= english.count("{}"), english
            other.format(*range(english.count("{}")))


def test_pictures_are_there_and_small():
    assert {path.stem for path in PICTURES.iterdir()} == set(NODES)
    assert all(path.suffix == ".webp" for path in PICTURES.iterdir())
    assert sum(path.stat().st_size for path in PICTURES.iterdir()) <= PICTURES_BYTES


def test_pictures_can_be_made_anew():
    makers = "".join(
        (ROOT / f"tools/{name}.py").read_text(encoding="utf-8") for name in ("help_pictures", "live_pictures")
    )
    assert set(re.findall(r'^@picture_of\("(\w+)"\)$', makers, re.MULTILINE)) == set(NODES)
