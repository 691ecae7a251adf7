"""The page in a browser: it works with keys alone, says what it should, asks the network for nothing, fits a phone."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from pipelines.report import write_report
from tests.report.samples.hostile_records import NAME, write_hostile_records
from tests.report.samples.sample_answers import SIMILAR_ID, responses
from tests.report.samples.sample_records import write_records

_CONTRASTS = (Path(__file__).parent / "contrasts.js").read_text(encoding="utf-8")
PHONE, DESKTOP = (360, 740), (1280, 900)


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Addresses of a page of ordinary and of one of hostile records."""
    ordinary = write_report(*write_records(tmp_path_factory.mktemp("ordinary"), responses(30)))[0]
    hostile = write_report(*write_hostile_records(tmp_path_factory.mktemp("hostile")))[0]
    return {"ordinary": ordinary.as_uri(), "hostile": hostile.as_uri()}


class Opened:
    """A page with everything it complained of and asked for."""

    def __init__(self, browser: Browser, url: str, size: tuple[int, int], scheme: str = "light") -> None:
        self.page = browser.new_page(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(f"dialog {dialog.message}"))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(url)

    def close(self) -> None:
        """Close it, and see that it was quiet."""
        self.page.close()
        assert self.complaints == []
        assert [url for url in self.requests if not url.startswith(("file:", "data:"))] == []


@pytest.fixture
def opened(browser: Browser, urls: dict[str, str]) -> Iterator[Page]:
    """The ordinary page on a desktop."""
    opened = Opened(browser, urls["ordinary"], DESKTOP)
    yield opened.page
    opened.close()


def shown(page: Page) -> int:
    return page.locator("details.prompt:visible").count()


def focused(page: Page) -> str:
    return page.evaluate("document.activeElement.closest('details.prompt')?.id ?? document.activeElement.id")


def test_search_and_filters_show_what_they_count(opened):
    assert shown(opened) == 20
    expect(opened.locator("#count")).to_have_text("1 to 20 of 31 prompts")
    option = opened.locator("#flips option", has_text="gained: parses")
    n = int(option.inner_text().split("(")[1].rstrip(")"))
    opened.locator("#flips").select_option(option.get_attribute("value"))
    assert shown(opened) == min(n, 20)
    opened.locator("#category").select_option(index=1)
    assert 0 < shown(opened) < n
    expect(opened.locator("#count")).to_have_text(f"{shown(opened)} of 31 prompts")
    opened.locator("#flips").select_option("")
    opened.locator("#category").select_option("")
    opened.locator("#search").fill("FIND_MAX largest")
    expect(opened.locator("#count")).to_have_text("1 of 31 prompts")


def test_keys_alone_walk_open_and_search(opened):
    opened.locator("#answers-title").scroll_into_view_if_needed()
    opened.locator("details.prompt summary").first.focus()
    opened.keyboard.press("j")
    opened.keyboard.press("j")
    assert focused(opened) == "prompt-2"
    assert opened.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    opened.keyboard.press("k")
    assert focused(opened) == "prompt-1"
    opened.keyboard.press("Enter")
    assert opened.locator("#prompt-1").evaluate("element => element.open")
    opened.keyboard.press("/")
    assert focused(opened) == "search"
    opened.keyboard.type("jk?")
    assert opened.locator("#search").input_value() == "jk?", "in the search field they are letters"
    opened.keyboard.press("Escape")
    assert opened.locator("#search").input_value() == ""
    assert shown(opened) == 20


def test_answers_are_paged_by_twenty(opened):
    expect(opened.locator("#previous")).to_be_disabled()
    opened.locator("#next").click()
    assert shown(opened) == 11
    expect(opened.locator("#count")).to_have_text("21 to 31 of 31 prompts")
    expect(opened.locator("#next")).to_be_disabled()
    opened.evaluate("location.hash = '#prompt-2'")
    expect(opened.locator("#prompt-2")).to_be_visible()
    expect(opened.locator("#count")).to_have_text("1 to 20 of 31 prompts")
    opened.locator("#search").fill("no such words")
    expect(opened.locator("#count")).to_have_text("0 of 31 prompts")
    expect(opened.locator("#pages")).to_be_hidden()


def test_the_list_of_keys_opens_and_can_turn_them_off(opened):
    similar = opened.locator(f"#prompt-{SIMILAR_ID} > summary")
    similar.evaluate("element => { element.scrollIntoView(); element.focus({ preventScroll: true }) }")
    opened.keyboard.press("?")
    expect(opened.locator("#keys")).to_be_visible()
    opened.keyboard.press("d")
    assert opened.locator("details.diff[open]").count() == 0, "keys mean nothing to the page below the list"
    opened.locator("#keys-on").uncheck()
    opened.keyboard.press("Escape")
    expect(opened.locator("#keys")).to_be_hidden()
    opened.keyboard.press("j")
    assert focused(opened) == f"prompt-{SIMILAR_ID}"


def test_the_difference_is_shown_by_a_key_and_by_a_button(opened):
    diff = opened.locator(f"#prompt-{SIMILAR_ID} details.diff pre")
    opened.locator(f"#prompt-{SIMILAR_ID} > summary").focus()
    opened.keyboard.press("d")
    expect(diff).to_be_visible()
    expect(diff.locator("del").first).to_contain_text("yield")
    opened.keyboard.press("d")
    expect(diff).to_be_hidden()
    opened.locator("#diff-all").click()
    expect(diff).to_be_visible()


def test_token_probabilities_show_on_focus_hover_and_tap(opened):
    tip, tokens = opened.locator("#tip"), opened.locator("#prompt-0 section").last.locator(".token")
    tokens.first.focus()
    expect(tip).to_contain_text("Likeliest here:")
    assert tokens.first.get_attribute("aria-describedby") == "tip"
    opened.keyboard.press("ArrowRight")
    expect(tip).to_contain_text("␣find_max(numbers):")
    assert [tokens.nth(n).get_attribute("tabindex") for n in (0, 1)] == ["-1", "0"]
    opened.keyboard.press("Escape")
    expect(tip).to_be_hidden()
    tokens.nth(2).hover()
    expect(tip).to_contain_text("␣other0")
    opened.locator("#answers-title").hover()
    opened.locator("#search").focus()
    expect(tip).to_be_hidden()
    tokens.nth(3).click()
    expect(tip).to_be_visible()


def test_the_theme_can_be_chosen(browser, urls):
    opened = Opened(browser, urls["ordinary"], DESKTOP, scheme="dark")
    paper = "getComputedStyle(document.body).backgroundColor"
    dark = opened.page.evaluate(paper)
    button = opened.page.locator("#theme")
    button.click()
    expect(button).to_have_text("Theme: light")
    light = opened.page.evaluate(paper)
    assert light != dark
    button.click()
    assert opened.page.evaluate(paper) == dark
    opened.close()


@pytest.mark.parametrize("kind", ["ordinary", "hostile"])
def test_a_phone_never_scrolls_sideways(browser, urls, kind):
    opened = Opened(browser, urls[kind], PHONE)
    opened.page.evaluate("document.querySelectorAll('details').forEach((element) => { element.open = true })")
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
    opened.page.locator(".token").nth(2).click()
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
    opened.close()


def test_hostile_records_run_nothing_and_are_read_as_text(browser, urls):
    opened = Opened(browser, urls["hostile"], DESKTOP)
    page = opened.page
    assert page.locator("script, img, iframe, link[rel=stylesheet]").count() == 1
    assert page.locator("style").count() == 1
    name = NAME.replace("\u202e", "⟨U+202E⟩")
    page.locator("#prompt-0 section").last.locator(".token").first.focus()
    expect(page.locator("#tip")).to_contain_text(name)
    page.locator("#flips").select_option(index=1)
    page.locator("#category").select_option(index=1)
    page.locator("#open-all").click()
    page.locator("#diff-all").click()
    page.locator("#search").fill("alert(1)")
    expect(page.locator("#count")).to_contain_text(" of 18 prompts")
    opened.close()


def test_text_has_enough_contrast_in_both_themes(browser, urls):
    for scheme in ("light", "dark"):
        opened = Opened(browser, urls["ordinary"], DESKTOP, scheme)
        opened.page.locator("#diff-all").click()
        assert opened.page.evaluate(_CONTRASTS) == []
        opened.close()


def test_without_its_script_the_page_shows_everything(browser, urls):
    page = browser.new_page(java_script_enabled=False)
    page.goto(urls["ordinary"])
    assert shown(page) == 31
    expect(page.locator("#controls")).to_be_hidden()
    expect(page.locator("#theme")).to_be_hidden()
    page.close()


def test_the_file_is_the_only_thing_that_is_needed(browser, urls, tmp_path):
    alone = tmp_path / "alone.html"
    alone.write_bytes(Path(urls["ordinary"].removeprefix("file://")).read_bytes())
    opened = Opened(browser, alone.as_uri() + "#prompt-5", DESKTOP)
    assert opened.page.locator("#prompt-5").evaluate("element => element.open"), "a link leads to an open prompt"
    opened.close()
