"""The doctor's page in a browser: quiet, readable in both themes, no wider than a phone, walked by keys."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from pipelines.report import write_diagnosis_page
from tests.report.samples.sample_diagnosis import clean_diagnosis, diagnosis, hostile_diagnosis
from tests.report.test_browser import _CONTRASTS, DESKTOP, PHONE, Opened

_KINDS = {"ordinary": diagnosis, "hostile": hostile_diagnosis, "clean": clean_diagnosis}


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Addresses of the pages of three records."""
    folder: Path = tmp_path_factory.mktemp("doctor")
    for kind, record in _KINDS.items():
        write_diagnosis_page(folder / f"{kind}.html", record())
    return {kind: (folder / f"{kind}.html").as_uri() for kind in _KINDS}


@pytest.mark.parametrize("kind", _KINDS)
@pytest.mark.parametrize("size", [PHONE, DESKTOP])
def test_it_is_quiet_and_never_scrolls_sideways(browser, urls, kind, size):
    opened = Opened(browser, urls[kind], size)
    opened.page.locator(".token").last.click()
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= size[0]
    assert opened.page.locator("script").count() == 1
    opened.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kind", ["ordinary", "clean"])
def test_text_has_enough_contrast(browser, urls, scheme, kind):
    opened = Opened(browser, urls[kind], DESKTOP, scheme)
    assert opened.page.evaluate(_CONTRASTS) == []
    opened.close()


def test_a_token_tells_its_id_by_key_and_by_hover(browser, urls):
    opened = Opened(browser, urls["ordinary"], DESKTOP)
    tip, tokens = opened.page.locator("#tip"), opened.page.locator(".row .token")
    tokens.first.focus()
    expect(tip).to_contain_text("id 1 · the start")
    opened.page.keyboard.press("ArrowRight")
    expect(tip).to_contain_text("id 2 · prompt, not in the loss")
    tokens.nth(3).hover()
    expect(tip).to_contain_text("id 4 · answer, in the loss")
    opened.page.locator("#theme").focus()
    opened.page.locator("h1").hover()
    expect(tip).to_be_hidden()
    opened.close()
