"""The inspection as one HTML page: no script, nothing loaded from elsewhere, all text escaped."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_prep.dataset_folder.card import range_label
from data_prep.inspection.inspecting import Inspection
from data_prep.inspection.problems import counted, problems_of
from pipelines.files import write_text_atomically
from pipelines.files.visible_text import visible

_TEMPLATES = Path(__file__).parent / "templates"
MAX_SHOWN = 25  # reasons, sources and columns; the rest is counted
_MAX_CHARACTERS = 2_000  # of any printed text: longer than every excerpt


def write_page(found: Inspection, path: Path) -> None:
    """Write the page; the same inspection gives the same bytes."""
    write_text_atomically(path, page(found))


def page(found: Inspection) -> str:
    """Return the page's HTML."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # names and reasons too: no character may reorder or hide other text; what a macro returns has been here
        finalize=lambda value: value if isinstance(value, Markup) or not isinstance(value, str) else _shown(value),
    )
    environment.filters |= {
        "thousands": lambda n: f"{n:,}",
        "percent": lambda share: f"{share:.1%}",
        "bars": _bars,
        "counted": counted,
    }
    style = Markup((_TEMPLATES / "inspection.css").read_text(encoding="utf-8"))
    template = environment.get_template("inspection.html.j2")
    return template.render(found=found, problems=problems_of(found), style=style, max_shown=MAX_SHOWN) + "\n"


def _shown(text: str) -> str:
    return visible(text[:_MAX_CHARACTERS])


def _bars(lengths: Mapping[str, Any]) -> list[tuple[str, int, float]]:
    """(range, count, share of all texts) for each bar of a histogram."""
    return [(range_label(limit), count, count / lengths["n"]) for limit, count in lengths["histogram"]]
