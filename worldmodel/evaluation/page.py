"""What the report page is built of: its style, tables and pictures."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path

from PIL import Image

STYLE = """
:root{color-scheme:light dark;--ink:#1d2329;--soft:#5d6874;--line:#d9dee3;--paper:#fff;--card:#f6f8fa;--yes:#1f8a4c;
--no:#c0392b;--accent:#1b6ca8}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ec;--soft:#9aa5b1;--line:#353c44;--paper:#15191d;--card:#1e2328;
--yes:#4cc27f;--no:#f0786a;--accent:#6db3e8}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1060px;padding:2.5rem 1.25rem 4rem;font:16px/1.55 system-ui,-apple-system,"Segoe UI",
Roboto,sans-serif;color:var(--ink);background:var(--paper)}
h1{font-size:1.9rem;margin:0 0 .2rem}h2{font-size:1.35rem;margin:3rem 0 .4rem;padding-top:.8rem;
border-top:1px solid var(--line)}
p{margin:.4rem 0 .9rem;max-width:46rem}.soft{color:var(--soft)}
nav{margin:1rem 0 0;font-size:.95rem}nav a{color:var(--accent);margin-right:1.1rem;text-decoration:none}
.scroll{overflow-x:auto}
table{border-collapse:collapse;margin:.6rem 0 1.2rem;font-variant-numeric:tabular-nums;font-size:.93rem}
th,td{padding:.32rem .8rem .32rem 0;text-align:left;border-bottom:1px solid var(--line);vertical-align:top}
th{font-weight:600;color:var(--soft)}td.number,th.number{text-align:right}
.yes{color:var(--yes);font-weight:600}.no{color:var(--no);font-weight:600}
figure{margin:1rem 0 1.6rem}figure img{max-width:100%;border:1px solid var(--line);border-radius:6px;background:#fff}
figcaption{font-size:.9rem;color:var(--soft);max-width:46rem}
code{font:.88em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow-wrap:anywhere}
.note{background:var(--card);border-left:3px solid var(--soft);padding:.6rem .9rem;border-radius:0 6px 6px 0}
"""


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], numbers: bool = False) -> str:
    """A table; cells are HTML. With `numbers`, all columns but the first are set flush right."""
    style = [' class="number"' if numbers and column else "" for column in range(len(heads))]
    head = "".join(f"<th{s}>{escape(cell)}</th>" for s, cell in zip(style, heads, strict=True))
    lines = "".join(
        "<tr>" + "".join(f"<td{s}>{cell}</td>" for s, cell in zip(style, row, strict=True)) + "</tr>" for row in rows
    )
    head = f"<thead><tr>{head}</tr></thead>" if any(heads) else ""
    return f'<div class="scroll"><table>{head}<tbody>{lines}</tbody></table></div>'


def picture(out: Path, name: str, caption: str) -> str:
    """A PNG of the folder, inside the page: recompressed, as sheets of photographs are large."""
    stream = io.BytesIO()
    Image.open(out / f"{name}.png").convert("RGB").save(stream, "WEBP", quality=90)
    data = base64.b64encode(stream.getvalue()).decode()
    return (
        f'<figure><div class="scroll"><img src="data:image/webp;base64,{data}" alt="{escape(caption)}"></div>'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )
