"""`titlecard report`: the page and its numbers, with every stranger's text as plain text."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest
from tests.functional.finished import Console, end, ended, talk
from tests.functional.world import PROJECT, World

from titlecard.domain.batch import RowState
from titlecard.domain.money import Total
from titlecard.domain.video import Video

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from selenium.webdriver import Chrome

CANARY = """</script><script>document.title='broken'</script><img src=x onerror=alert(1)>"'&{{7*7}}"""


@pytest.fixture
def console(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Console:
    monkeypatch.chdir(tmp_path)
    return Console(world, monkeypatch)


class Reading(HTMLParser):
    """Reads a page's elements and its data."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record an element."""
        self.tags.append((tag, dict(attrs)))


def data_of(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    data: dict[str, Any] = json.loads(found[1])
    return data


def page_of(console: Console, tmp_path: Path, *words: str) -> str:
    console.said("report", *words, "--output", "page.html")
    return (tmp_path / "page.html").read_text("utf-8")


def test_page_shows_each_row_before_and_after(world: World, console: Console, tmp_path: Path) -> None:
    videos = [Video(id="a", title="PyCon 2019 - Ada Byron - Compilers", description="With Ada Byron.")]
    batch, messages = world.batch(*videos)
    end(world, batch, messages, [talk("Compilers", "Ada Byron")])
    (row,) = data_of(page_of(console, tmp_path, batch.id))["rows"]
    assert row["raw"] == [["c", "PyCon 2019 - "], ["n", "Ada Byron"], ["c", " - "], ["k", "Compilers"]]
    assert (row["title"], row["who"], row["about"]) == (
        "Compilers",
        ["Ada Byron"],
        [["p", "With "], ["n", "Ada Byron"], ["p", "."]],
    )


def test_a_project_is_reported_with_all_its_batches(world: World, console: Console, tmp_path: Path) -> None:
    ended(world, {"a": talk("Linkers")})
    ended(world, {"b": talk("Loaders")})
    assert [row["id"] for row in data_of(page_of(console, tmp_path, PROJECT))["rows"]] == ["a", "b"]
    assert [row["id"] for row in data_of(page_of(console, tmp_path))["rows"]] == ["a", "b"]


def test_a_file_that_was_refused_as_a_whole_is_named_with_its_reason(
    world: World, console: Console, tmp_path: Path
) -> None:
    upload = world.put(b"%PDF-1.7", name=f"{CANARY}.pdf")
    now = world.clock()
    taken = world.catalog.open_batch(upload, PROJECT, Total(), lease="first", until=now, now=now)
    world.catalog.refuse(taken, f"The file is a PDF {CANARY}.")
    page = page_of(console, tmp_path, PROJECT)
    assert "The file is a PDF &lt;/script&gt;" in page
    assert "No row was rejected" not in page


def test_an_unknown_name_is_refused_with_a_sentence(world: World, console: Console) -> None:
    ended(world, {"a": talk()})
    assert "There is no batch and no project 'nothing'" in str(console.type("report", "nothing").exception)


def test_dead_rows_are_grouped_by_cause(world: World, console: Console, tmp_path: Path) -> None:
    batch = ended(world, {"a": RowState.DEAD, "b": RowState.DEAD, "c": talk()})
    page = page_of(console, tmp_path, batch.id)
    assert "titlecard dlq redrive --cause" in page
    assert f" --batch {batch.id}</code>" in page
    assert len([row for row in data_of(page)["rows"] if row["state"] == "dead"]) == 2


def test_talks_to_review_carry_their_reason(world: World, console: Console, tmp_path: Path) -> None:
    batch = ended(world, {"a": talk("Linkers", review="low_confidence"), "b": talk("Loaders")})
    rows = data_of(page_of(console, tmp_path, batch.id))["rows"]
    assert [row.get("review") for row in rows] == ["low_confidence", None]


def hostile(world: World) -> str:
    """Make a batch with markup in every field."""
    videos = [
        Video(id=f"{CANARY}{n}", title=f"{CANARY} title", description=f"{CANARY} text", url=f"javascript:{CANARY}")
        for n in (1, 2)
    ]
    batch, messages = world.batch(*videos)
    end(world, batch, messages, [talk(f"{CANARY} title", CANARY, review="low_confidence"), RowState.DEAD])
    return batch.id


def test_markup_in_any_field_stays_text(world: World, console: Console, tmp_path: Path) -> None:
    page = page_of(console, tmp_path, hostile(world))
    tags = Reading(page).tags
    assert [attributes for tag, attributes in tags if tag == "script"] == [
        {"type": "application/json", "id": "data"},
        {},
    ]
    assert not [tag for tag, attributes in tags if any(name.startswith("on") for name in attributes)]
    assert "{{7*7}}" in page
    assert data_of(page)["rows"][0]["title"] == f"{CANARY} title"
    assert not [row for row in data_of(page)["rows"] if "url" in row]


def test_page_loads_nothing_and_its_policy_allows_nothing(world: World, console: Console, tmp_path: Path) -> None:
    page = page_of(console, tmp_path, ended(world, {"a": talk()}).id)
    tags = Reading(page).tags
    policies = [attributes["content"] for tag, attributes in tags if attributes.get("http-equiv")]
    assert [str(policy).split(";")[0] for policy in policies] == ["default-src 'none'"]
    assert "unsafe" not in str(policies)
    sources = [
        attributes.get("src") or attributes.get("srcset") or "" for tag, attributes in tags if tag in {"img", "source"}
    ]
    assert all(source.startswith("data:") for source in sources)
    assert not [tag for tag, _ in tags if tag in {"link", "iframe", "object", "embed", "base"}]


# ------------------------------------------------------------------------------------------------- in a real browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    """Start the machine's headless Chromium; nothing is downloaded."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not program or not driver:
        # The README requires only Python and pip, so these tests run only if the machine has a browser.
        pytest.skip("chromium and chromedriver are not installed, so the page was not opened in a browser")
    from selenium.webdriver import Chrome, ChromeOptions  # noqa: PLC0415 -- only if there is a browser
    from selenium.webdriver.chrome.service import Service  # noqa: PLC0415 -- as above

    options = ChromeOptions()
    options.binary_location = program
    for argument in ("headless=new", "no-sandbox", "disable-gpu", "disable-background-networking", "no-first-run"):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = Chrome(options, Service(driver))
    yield chrome
    chrome.quit()


def opened(browser: Chrome, page: Path) -> None:
    browser.get(page.resolve().as_uri())
    assert browser.execute_script("return document.body.dataset.ready") == "true"


def shown(browser: Chrome) -> list[str]:
    found: list[str] = browser.execute_script(
        "return [...document.querySelectorAll('#rows .id')].map((it) => it.textContent)"
    )
    return found


def test_browser_runs_no_markup_of_a_stranger(world: World, console: Console, tmp_path: Path, browser: Chrome) -> None:
    page_of(console, tmp_path, hostile(world))
    opened(browser, tmp_path / "page.html")
    assert browser.title.endswith(": Titlecard report")
    assert browser.execute_script("return document.querySelectorAll('main img[src=x], main script').length") == 0
    assert shown(browser) == [f"{CANARY}1", f"{CANARY}2"]
    log: list[dict[str, str]] = browser.get_log("browser")  # type: ignore[no-untyped-call]
    assert [entry for entry in log if entry["level"] == "SEVERE"] == []


def test_browser_copies_commands_for_ids_that_begin_with_a_dash(
    world: World, console: Console, tmp_path: Path, browser: Chrome
) -> None:
    ended(world, {"-a": talk("=1+1", review="low_confidence")})
    page_of(console, tmp_path)
    opened(browser, tmp_path / "page.html")
    accept, correct = (it.get_attribute("data-copy") for it in browser.find_elements("css selector", "[data-copy]"))
    assert accept == f"titlecard review accept --project {PROJECT} -- -a"
    assert str(correct).endswith(f"--project {PROJECT} -- -a")
    assert " --title '=1+1' " in str(correct)  # zsh looks for a program behind a bare `=`
    assert "-a: =1+1" in console.said(*str(accept).split()[1:])


def test_browser_writes_each_text_in_its_own_direction(
    world: World, console: Console, tmp_path: Path, browser: Chrome
) -> None:
    ended(world, {"a": talk("מבוא לקומפיילרים", "Ada Byron")})
    page_of(console, tmp_path)
    opened(browser, tmp_path / "page.html")
    _, title, presenters, *_ = browser.find_elements("css selector", "#rows td > :first-child")
    assert [it.value_of_css_property("direction") for it in (title, presenters)] == ["rtl", "ltr"]


def test_browser_gives_a_long_word_no_more_room_than_others(
    world: World, console: Console, tmp_path: Path, browser: Chrome
) -> None:
    ended(world, {"a": talk("x" * 3_000), "b": talk()})
    page_of(console, tmp_path)
    opened(browser, tmp_path / "page.html")
    widths = [it.size["width"] for it in browser.find_elements("css selector", "#rows thead th")]
    assert min(widths) > 80


def test_browser_filters_ten_thousand_rows_and_more_are_shown_on_demand(tmp_path: Path, browser: Chrome) -> None:
    page = tmp_path / "large.html"
    page.write_text(large_page(10_000), "utf-8")
    assert page.stat().st_size < 10_000_000
    opened(browser, page)
    assert len(shown(browser)) == 100
    browser.execute_script("document.getElementById('more').click()")
    assert len(shown(browser)) == 200
    browser.execute_script(
        "const search = document.getElementById('search'); search.value = 'speaker 7777';"
        "search.dispatchEvent(new Event('input', {bubbles: true}))"
    )
    assert shown(browser) == ["video-7777"]
    browser.execute_script("const box = document.getElementById('review'); box.click()")
    assert browser.find_element("id", "count").text.startswith("0 of 10,000")


def large_page(rows: int) -> str:
    """Render a page with this many rows and descriptions, as for a site's owner."""
    from tests.benchmarks.report import content  # noqa: PLC0415 -- only this test needs it

    from titlecard_console.report.page import render  # noqa: PLC0415 -- as above

    return render(content(rows))
