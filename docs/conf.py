"""Sphinx's settings for both languages: `-t zh` with docs/zh, without it with docs/en."""

import re
import sys
import typing
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from latex2mathml.converter import convert
from sphinx.locale import _
from sphinx.util.docutils import SphinxDirective

sys.path.insert(0, str(Path(__file__).parent))
from chinese_search import SearchChinese

from clipper.exercises import exercises

# jaxtyping then writes shapes as they stand in the source.
setattr(typing, "GENERATING_DOCUMENTATION", True)  # noqa: B010

zh = tags.has("zh")  # type: ignore[name-defined]
project = "Clipper"
author = "the Clipper authors"
language = "zh_CN" if zh else "en"
extensions = ["myst_parser", "sphinx.ext.autodoc"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_inherit_docstrings = False  # of torch.nn.Module, whose markup is its own
html_theme = "furo"
html_title = "Clipper 文档" if zh else "Clipper"
html_math_renderer = "mathml"
html_show_copyright = False
html_copy_source = False
html_show_search_summary = False  # they are fetched, which browsers refuse for pages on the disk
html_static_path = ["_static"]
html_css_files = ["clipper.css"]
templates_path = ["_templates"]
html_sidebars = {
    "**": [
        f"sidebar/{part}.html" for part in ("brand", "language", "search", "scroll-start", "navigation", "scroll-end")
    ]
}
html_context = {"other": "en" if zh else "zh", "other_name": "English" if zh else "中文"}

ARCHITECTURE = "```{include} ../architecture.md\n```"  # its links are those of docs/
LINK = re.compile(r"\[([^\]]+)\]\((\.\./[^)#]+)(#[^)]*)?\)")
# A line's end is a space in HTML, which Chinese has none of.
WRAPPED = re.compile(
    r"(?<=[\u3001-\u9fff\uff01-\uff5e])\n(?=[\u3001-\u9fff])|(?<=[、。，：；！？）])\n(?=[^\s`|#>*$:!-])"
)
WORDS = {"Next": "下一页", "Previous": "上一页", "On this page": "本页内容", "Home": "首页"}
NAMED = re.compile(r"<mi>(?=(?:log|exp|tanh)<)(\w+)</mi>|<mo>([A-Za-z]{2,})</mo>")
BEFORE_BRACKET = re.compile(r'rspace="0.17em"(>\w+</mo>(?:<mo stretchy="false">&#x00028;|<mrow><mo ))')
CODE = re.compile(r"(``.*?``)")


def leave(app: Any, page: str, source: list[str]) -> None:
    """Links that leave the pages: a file comes along as a download, of a folder only the name stays."""
    folder = Path(app.srcdir, page).parent
    text = (folder / "../architecture.md").read_text(encoding="utf-8") if ARCHITECTURE in source[0] else ""
    body = re.sub(r"\]\((?!\w+:|#)", "](../", text.partition("\n")[2]).replace("](../en/", "](")
    source[0] = source[0].replace(ARCHITECTURE, body)

    def replace(link: re.Match[str]) -> str:
        if (folder / link[2]).is_dir():
            return link[1]
        page = link[2].endswith(".md") and not (folder / link[2]).resolve().is_relative_to(app.srcdir)
        return f"[{link[1]}](path:{link[2]})" if page else link[0]

    source[0] = WRAPPED.sub("", LINK.sub(replace, source[0]))


def as_written(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Docstrings are read as they look: |x| is a bar, * a product, an equation has its own line, a list its items, code
    (after a paragraph that ends with ::) its indentation.
    """
    paragraphs = "\n".join(lines).strip().split("\n\n")
    written, before = [], ""
    for paragraph in paragraphs:
        if before.endswith("::"):
            written += [*paragraph.splitlines(), ""]
            before = ""
            continue
        before = paragraph
        parts = CODE.split(paragraph)
        text = "".join(p if CODE.match(p) else re.sub(r"([|*\\`_])", r"\\\1", p) for p in parts)
        rows = text.splitlines()
        equations = len(rows) > 1 and all(" = " in row for row in rows)
        listed = text.startswith("- ")
        marks = ["| " if equations else "  " if listed and not row.startswith("- ") else "" for row in rows]
        written += [start + row.strip() for start, row in zip(marks, rows, strict=True)] + [""]
    lines[:] = written


def mathml(text: str, **options: Any) -> str:
    """LaTeX → MathML, with the thin space around log, KL and the like that LaTeX has there."""
    spaced = NAMED.sub(r'<mo lspace="0.17em" rspace="0.17em">\1\2</mo>', convert(text, **options))
    return BEFORE_BRACKET.sub(r'rspace="0"\1', spaced)


def inline_formula(writer: Any, node: nodes.math) -> None:
    """LaTeX → MathML, which browsers show without a script or a font from elsewhere."""
    writer.body.append(mathml(node.astext()))
    raise nodes.SkipNode


def formula(writer: Any, node: nodes.math_block) -> None:
    """Likewise, on a line of its own."""
    writer.body.append(f'<div class="math">{mathml(node.astext(), display="block")}</div>')
    raise nodes.SkipNode


class Exercises(SphinxDirective):
    """The exercises of the page that is named: their titles, their tasks, and the command that checks an answer."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        lines = []
        for number, exercise in enumerate(exercises()[self.arguments[0]], 1):
            title, task = (getattr(words, "zh" if zh else "en") for words in (exercise.title, exercise.task))
            lines += [f"**{number}. {title}**", "", *WRAPPED.sub("", task.strip()).splitlines(), ""]
            command = f"clipper check-exercise {exercise.name}"
            lines += ["```sh", f"{command} --start", f"{command} {exercise.function}.py", "```", ""]
        holder = nodes.container()
        self.state.nested_parse(StringList(lines, source=self.env.docname), 0, holder)
        return holder.children


def in_chinese(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """The words of the theme that Sphinx's own catalogue lacks."""
    if zh:
        context["_"] = lambda text: WORDS.get(text) or _(text)


def setup(app: Any) -> None:
    """Connect the above."""
    app.add_search_language(SearchChinese)
    app.add_directive("exercises", Exercises)
    app.connect("source-read", leave)
    app.connect("html-page-context", in_chinese)
    app.connect("autodoc-process-docstring", as_written)
    app.add_html_math_renderer("mathml", (inline_formula, None), (formula, None))
