"""Pages of one file: they work offline, in light and dark, and on paper."""

from __future__ import annotations

import base64
from html import escape
from pathlib import Path

import numpy as np

from ..errors import PictureError
from ..media.picture import read_picture

STYLE = """
:root{color-scheme:light dark;--ground:#fff;--text:#1c2024;--quiet:#60646c;--rule:#d9dce1;--mark:#0b62b8;
--other:#c4501b;--third:#3a7d44;--panel:#f5f6f8}
@media(prefers-color-scheme:dark){:root{--ground:#15171a;--text:#e8eaed;--quiet:#9aa0a8;--rule:#363b42;--mark:#69b1ff;
--other:#ff9a62;--third:#7fce8d;--panel:#1d2024}}
*{box-sizing:border-box}body{margin:0 auto;padding:24px;max-width:1180px;background:var(--ground);color:var(--text);
font:15px/1.5 system-ui,sans-serif}h1{font-size:26px;margin:0 0 4px}h2{font-size:20px;margin:36px 0 4px;
border-top:1px solid var(--rule);padding-top:16px}h3{font-size:16px;margin:20px 0 4px}p{margin:4px 0 10px}
.quiet,.axis,small{color:var(--quiet);fill:var(--quiet)}
.scroll{overflow-x:auto}table{border-collapse:collapse;
margin:8px 0 16px;font-variant-numeric:tabular-nums}th,td{padding:4px 10px;text-align:left;border-bottom:1px solid
var(--rule);vertical-align:middle}td.number,th.number{text-align:right;white-space:nowrap}
thead th{position:sticky;top:0;
background:var(--ground)}svg{max-width:100%;height:auto;display:block}.axis{font-size:11px}polyline{fill:none;
stroke-width:1.6}.line0{stroke:var(--mark)}.name0{fill:var(--mark)}.line1{stroke:var(--other)}
.name1{fill:var(--other)}
.line2{stroke:var(--third)}.name2{fill:var(--third)}
.frame{stroke:var(--rule)}.dot{fill:var(--mark);fill-opacity:.55}
.mean{stroke:var(--other);stroke-width:2}.confusion td{text-align:center}
.cell{background:color-mix(in srgb,var(--mark)
calc(var(--share)*70%),transparent)}.clip{background:var(--panel);border:1px solid var(--rule);border-radius:8px;
padding:12px;margin:12px 0;break-inside:avoid}.clip img{max-width:100%;border-radius:4px;display:block;margin:6px 0}
.better{color:var(--third)}.worse{color:var(--other)}code{font-size:13px;overflow-wrap:anywhere}
nav a{margin-right:14px}
a{color:var(--mark)}
@media print{body{max-width:none;padding:0;font-size:11px}nav{display:none}h2{break-after:avoid}
.scroll{overflow:visible}
table{font-size:10px}:root{--ground:#fff;--text:#000;--panel:#fff}}
"""
"""CSS of all pages."""


def html_page(title: str, body: str, script: str = "", style: str = "") -> str:
    """A whole HTML document that loads nothing else; `script` is JavaScript for the end of its body."""
    ending = f"<script>{script}</script>" if script else ""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<style>{STYLE}{style}</style></head><body>{body}{ending}</body></html>\n"
    )


def inline_picture(path: Path, alt: str, largest: int = 900) -> str:
    """A picture inside the page, at most `largest` px wide, as JPEG; an empty string if it cannot be read."""
    import cv2

    try:
        picture = read_picture(path)
    except PictureError:
        return ""
    height, width = picture.shape[:2]
    if width > largest:
        picture = cv2.resize(picture, (largest, round(height * largest / width)), interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".jpg", np.ascontiguousarray(picture[:, :, ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 85])
    text = base64.b64encode(data.tobytes()).decode()
    return f'<img alt="{escape(alt)}" src="data:image/jpeg;base64,{text}">'
