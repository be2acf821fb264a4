"""The report's page: one HTML file that loads nothing, with strangers' text escaped everywhere."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime
from importlib.resources import files
from typing import TYPE_CHECKING

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from titlecard import __version__
from titlecard_console.output import format_time, format_usd, pluralize, truncate
from titlecard_console.report.charts import spend_chart

if TYPE_CHECKING:
    from titlecard_console.report.content import ReportContent

_ESCAPES = {ord("<"): "\\u003c", ord(">"): "\\u003e", ord("&"): "\\u0026", 0x2028: "\\u2028", 0x2029: "\\u2029"}
"""The characters to escape in JSON inside a script element, since they could end the element."""


def render(content: ReportContent) -> str:
    """Render the page.

    Its content security policy allows this page's own style and script, by their hashes, and embedded images. It allows
    nothing else to be loaded, run or sent.
    """
    style, script = _part("page.css"), _part("page.js")
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    data = {"project": content.project, "layouts": content.layouts, "rows": content.rows}
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(_part("page.html"))
    return template.render(
        content=content,
        policy=policy,
        style=Markup(style),  # noqa: S704 -- our own file
        script=Markup(script),  # noqa: S704 -- our own file
        data=Markup(json.dumps(data, ensure_ascii=False, separators=(",", ":")).translate(_ESCAPES)),  # noqa: S704 -- escaped
        spend_chart=spend_chart(content.charges, content.limit_micro_usd),
        made_at=format_time(datetime.now(UTC)),
        version=__version__,
        format_usd=format_usd,
        pluralize=pluralize,
        truncate=truncate,
    )


def _part(name: str) -> str:
    return files("titlecard_console.report").joinpath(name).read_text("utf-8")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
