"""One rendered report for all tests that only look at it."""

import json
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from pipelines.report import write_report
from tests.report.samples.sample_answers import responses
from tests.report.samples.sample_records import write_records

_CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all tests of this module."""
    if _CHROMIUM is None:
        pytest.skip("no chromium or google-chrome on this machine")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=_CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


class Page(HTMLParser):
    """A parsed report: its elements with attributes, its visible text, and the text of single elements."""

    VOID = frozenset({"meta", "link", "input", "line", "rect", "circle", "path", "wbr", "br"})
    BLOCKS = frozenset({"td", "th", "tr", "dt", "dd", "div", "p", "li", "h1", "h2", "h3", "h4", "label"})

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.source = source
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.pieces: dict[str, list[list[str]]] = {}
        self.open: list[str] = []
        self.mistakes: list[str] = []
        self.feed(source)
        self.close()
        self.texts = {tag: ["".join(some) for some in every] for tag, every in self.pieces.items()}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in self.BLOCKS:
            self.handle_data(" ")
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)
            self.pieces.setdefault(tag, []).append([])

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open[-1] != tag:
            self.mistakes.append(f"</{tag}> closes {self.open[-1:]}")
        else:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        for tag in set(self.open):
            self.pieces[tag][-1].append(data)

    @property
    def text(self) -> str:
        """The page's text with runs of white space as one space."""
        return " ".join(self.texts["body"][0].split())

    def having(self, tag: str, **attributes: str) -> list[dict[str, str | None]]:
        """Attributes of the elements `tag` that have all of `attributes`."""
        found = [have for name, have in self.elements if name == tag]
        return [have for have in found if all(have.get(key) == value for key, value in attributes.items())]


@pytest.fixture(scope="session")
def records(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A comparison folder and a run folder with every record, and the report in the first."""
    compared, trained = write_records(tmp_path_factory.mktemp("report"))
    write_report(compared, trained)
    return compared, trained


@pytest.fixture(scope="session")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison folder with six prompts, which is rendered in no time; without a report."""
    return write_records(tmp_path_factory.mktemp("few"), responses(6))[0]


@pytest.fixture(scope="session")
def comparison_record(records: tuple[Path, Path]) -> dict[str, Any]:
    """comparison.json of `records`: copy it before changing it."""
    return json.loads((records[0] / "comparison.json").read_text())


@pytest.fixture(scope="session")
def page(records: tuple[Path, Path]) -> Page:
    """report.html of `records`, parsed."""
    return Page((records[0] / "report.html").read_text())


@pytest.fixture(scope="session")
def markdown(records: tuple[Path, Path]) -> str:
    """report.md of `records`."""
    return (records[0] / "report.md").read_text()
