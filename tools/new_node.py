"""Start a node: writes its module, registers it, and adds its texts, help pages, picture maker and test.

    python tools/new_node.py CLASS "NAME" "CHINESE NAME" [--category FOLDER]

For example `python tools/new_node.py TrimMotion "Trim Motion" "裁剪动作" --category motion` starts the node
EDTalkTrimMotion in nodes/trim_motion.py. It runs at once: it takes a motion and hands it on. From there, make it what
it is to be; what is left to do is printed. Nothing is written when a file is in the way.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from string import Template

ROOT = Path(__file__).resolve().parents[1]

MODULE = Template('''"""$name."""

from __future__ import annotations

from comfy_api.latest import io

from ..edtalk_core.motion.motion import Motion
from .schema import search_words
from .sockets import MotionSocket


class $cls(io.ComfyNode):
    """Return the motion unchanged."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="$node_id",
            display_name="EDTalk $name",
            **search_words("$words", "$chinese"),
            category="EDTalk/$category",
            description="Hands the motion on.",
            inputs=[MotionSocket.Input("motion", tooltip="Any motion.")],
            outputs=[MotionSocket.Output("motion", display_name="motion", tooltip="The same motion.")],
        )

    @classmethod
    def execute(cls, motion: Motion) -> io.NodeOutput:
        return io.NodeOutput(motion)
''')

TEST = Template('''"""$name, as ComfyUI runs it."""

from __future__ import annotations

import torch
from comfyui_edtalk.edtalk_core.motion.motion import Motion
from comfyui_edtalk.nodes.$module import $cls
from node_calls import execute


def test_the_motion_is_handed_on():
    motion = Motion(lip=torch.randn(5, 20))
    assert execute($cls, motion=motion).args[0] is motion
''')

PICTURE = Template('''

@picture_of("$node_id")
def $module(studio: Studio) -> Made:
    """Curves of the motion."""
    scene = Scene(studio.graph())
    motion = scene.graph.add("$node_id", motion=scene.acted()[0])[0]
    return studio.look(scene.graph, scene.plot(motion))[0][0]
''')

ENGLISH_PAGE = Template("""Hands the motion on.

![Curves of the motion](pictures/$node_id.webp)

## Plug in

- **Before**: any node that makes a motion.
- **After**: any node that takes one.

## Inputs

| Input | When to change it |
| :-- | :-- |
| **motion** | Any motion. |

## Outputs

| Output | What to do with it |
| :-- | :-- |
| **motion** | The same motion. |

## Tips

- Its curves are seen with **Plot Motion**.

## When something goes wrong

- **Nothing changes**: it hands on the motion as it is.
""")

CHINESE_PAGE = Template("""原样传递动作。

![动作的曲线](pictures/$node_id.webp)

## 连接

- **之前**：任何产生动作的节点。
- **之后**：任何接受动作的节点。

## 输入

| 输入 | 什么时候改 |
| :-- | :-- |
| **动作** | 任意动作。 |

## 输出

| 输出 | 怎么用 |
| :-- | :-- |
| **动作** | 同一个动作。 |

## 技巧

- 曲线可以用**$plot**查看。

## 出了问题怎么办

- **没有变化**：动作原样传递。
""")

LEFT = Template("""Started the node $node_id in nodes/$module.py. Left to do:
1. Write the node, then its test in tests/comfy/test_$module.py.
2. Say in nodes/web/docs/$node_id.md, and in $node_id/zh.md beside it, what it is for.
3. python tools/make_help_pictures.py $node_id, once tools/help_pictures.py shows what it does.
4. make snapshot: promises users its inputs and outputs, and writes locales/en anew; then translate locales/zh.
5. A line in CHANGELOG.md, and in README.md where it lists nodes.
""")


def snake_case(name: str) -> str:
    """TrimMotion -> trim_motion."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def registered(text: str, module: str, cls: str) -> str:
    """The text of nodes/__init__.py with the node imported, in alphabetical order, and last in the list."""
    line = f"from .{module} import {cls}\n"
    imports = re.findall(r"^from \.\w+ import .*\n", text, re.MULTILINE)
    behind = next((other for other in imports if other.split()[1] > f".{module}"), None)
    if behind is not None:
        text = text.replace(behind, line + behind, 1)
    else:
        text = text.replace(imports[-1], imports[-1] + line, 1)
    nodes = max(re.findall(r"(?:^ +[A-Z]\w+,\n)+", text, re.MULTILINE), key=len)
    indent = re.match(" +", nodes)
    assert indent is not None
    return text.replace(nodes, f"{nodes}{indent[0]}{cls},\n", 1)


def node_texts(name: str, texts: tuple[str, str, str, str]) -> dict[str, object]:
    """An entry of nodeDefs.json; `texts`: description, what the socket is called, tooltips of input and output."""
    description, socket, before, after = texts
    return {
        "display_name": f"EDTalk {name}",
        "description": description,
        "inputs": {"motion": {"name": socket, "tooltip": before}},
        "outputs": {"0": {"name": socket, "tooltip": after}},
    }


def with_texts(path: Path, node_id: str, entry: dict[str, object]) -> str:
    """The content of a nodeDefs.json with one node more."""
    content = json.loads(path.read_text(encoding="utf-8"))
    return json.dumps(dict(sorted({**content, node_id: entry}.items())), ensure_ascii=False, indent=2) + "\n"


def files_of(cls: str, name: str, chinese: str, category: str, root: Path = ROOT) -> dict[Path, str]:
    """Every file that the node needs, with its content: new ones, and those that get an entry more.

    Raises FileExistsError when there is a node or a module of this name.
    """
    node_id, module = f"EDTalk{cls}", snake_case(cls)
    english_defs, chinese_defs = (root / f"locales/{language}/nodeDefs.json" for language in ("en", "zh"))
    plot = json.loads(chinese_defs.read_text(encoding="utf-8"))["EDTalkPlotMotion"]["display_name"]
    fields = {
        "cls": cls,
        "module": module,
        "node_id": node_id,
        "name": name,
        "words": name.lower(),
        "chinese": chinese,
        "category": category,
        "plot": re.sub(r"^EDTalk ", "", plot),
    }
    docs = root / "nodes/web/docs"
    new = {
        root / f"nodes/{module}.py": MODULE,
        root / f"tests/comfy/test_{module}.py": TEST,
        docs / f"{node_id}.md": ENGLISH_PAGE,
        docs / node_id / "zh.md": CHINESE_PAGE,
    }
    if existing := [path for path in new if path.exists()]:
        raise FileExistsError(f"{existing[0].relative_to(root)} is there already; choose another name.")
    files = {path: template.substitute(fields) for path, template in new.items()}
    init, pictures = root / "nodes/__init__.py", root / "tools/help_pictures.py"
    files[init] = registered(init.read_text(encoding="utf-8"), module, cls)
    files[pictures] = pictures.read_text(encoding="utf-8") + PICTURE.substitute(fields)
    files[english_defs] = with_texts(
        english_defs, node_id, node_texts(name, ("Hands the motion on.", "motion", "Any motion.", "The same motion."))
    )
    files[chinese_defs] = with_texts(
        chinese_defs, node_id, node_texts(chinese, ("原样传递动作。", "动作", "任意动作。", "同一个动作。"))
    )
    return files


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cls", metavar="CLASS", help="the class, such as TrimMotion; its id is EDTalkTrimMotion")
    parser.add_argument("name", metavar="NAME", help="what the editor calls it, without EDTalk")
    parser.add_argument("chinese", metavar="CHINESE", help="what the editor calls it in Chinese")
    parser.add_argument("--category", default="motion", help="folder in the menu below EDTalk (default: motion)")
    args = parser.parse_args()
    if not re.fullmatch(r"(?:[A-Z][a-z0-9]+)+", args.cls):
        parser.error(f"a class is named like TrimMotion, not {args.cls}")
    try:
        files = files_of(args.cls, args.name, args.chinese, args.category)
    except FileExistsError as error:
        parser.error(str(error))
    for path, content in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    sys.stdout.write(LEFT.substitute(node_id=f"EDTalk{args.cls}", module=snake_case(args.cls)))


if __name__ == "__main__":
    main()
