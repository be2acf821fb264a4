"""The time that the report's page takes to open and to filter, and its size.

    python -m tests.benchmarks.report [--rows 10000] [--screenshot FOLDER]

It needs chromium. `--screenshot` also writes pictures of the page: light, dark and narrow.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

from titlecard import extraction, manifests
from titlecard.domain.batch import BatchState, Upload
from titlecard.domain.money import Total
from titlecard.extraction.surveying import take_survey
from titlecard.manifests import Accepted, ReadingLimits
from titlecard_console.report.content import Charge, DeadGroup, ReportContent, TierTotals
from titlecard_console.report.markup import layout, mark_description, mark_title
from titlecard_console.report.page import render

SAMPLE = Path(__file__).parents[2] / "events" / "sample.jsonl"
FILTERS = ("compilers", "speaker 77", "python 3", "a", "nothing at all like this")


def content(rows: int) -> ReportContent:
    """Return the content of a page with this many rows, with descriptions, charges and dead letters."""
    limits = Total(requests=rows, tokens=rows * 900, micro_usd=rows * 120)
    began = datetime(2026, 11, 1, tzinfo=UTC)
    upload = Upload("bucket", "uploads/pycon/talks.jsonl", "v1", "1")
    batch: Any = argparse.Namespace(id=upload.batch, project="pycon", limits=limits, state=BatchState.FINISHED)
    page = ReportContent("pycon", "pycon", [batch], limit_micro_usd=limits.micro_usd, refused=12, repeated=3)
    layouts: dict[str, int] = {}
    for number in range(rows):
        name, title = f"Speaker {number} Example", f"How we made compilers {number} times faster in production"
        raw = f"{title} - {name} - PyCon US 2019"
        about = f"{name} tells how a team of three came to change everything, twice, and why. " * 3
        pieces = mark_title(raw, title, [name])
        row: dict[str, Any] = {
            "id": f"video-{number}",
            "state": "parsed",
            "raw": [[piece.mark, piece.text] for piece in pieces],
            "layout": layouts.setdefault(layout(pieces), len(layouts)),
            "title": title,
            "who": [name],
            "tier": "model" if number % 7 == 0 else "local",
            "sure": 0.97,
            "about": [[piece.mark, piece.text] for piece in mark_description(about, [name])],
            "url": f"https://www.youtube.com/watch?v={number:011}",
        }
        if number % 40 == 0:
            row["review"] = "low_confidence"
        if number % 7 == 0:
            page.charges.append(Charge(began + timedelta(seconds=number), 90))
        page.rows.append(row)
    page.layouts = list(layouts)
    page.states.update({"parsed": rows})
    page.tiers = {"local": TierTotals(rows * 6 // 7), "model": TierTotals(rows // 7, rows * 60, rows * 12)}
    page.dead = {"bad_request": DeadGroup("bad_request", "bad_request: the provider refused it", 2, 180, ["a", "b"])}
    page.rejects.update({"it has no title": 9, "the id is used twice": 3})
    return page


def sample_content() -> ReportContent:
    """Return the content for the sample manifest, parsed by the local tier, as in the README's picture."""
    with SAMPLE.open("rb") as file:
        reading = manifests.read(file, ReadingLimits())
        videos = [row.video for row in reading if isinstance(row, Accepted)]
    survey, page = take_survey(videos), content(0)
    layouts: dict[str, int] = {}
    for number, video in enumerate(videos):
        answer = extraction.parse(video, survey)
        pieces = mark_title(video.title, answer.title, answer.presenters)
        row: dict[str, Any] = {
            "id": video.id,
            "state": "parsed",
            "raw": [[piece.mark, piece.text] for piece in pieces],
            "layout": layouts.setdefault(layout(pieces), len(layouts)),
            "title": answer.title,
            "who": list(answer.presenters),
            "tier": "local",
            "sure": round(answer.confidence, 2),
            "about": [[it.mark, it.text] for it in mark_description(video.description, answer.presenters)],
        }
        if not answer.sure:
            row["review"] = "low_confidence"
        page.rows.append(row)
        if number % 6 == 0:
            page.charges.append(Charge(datetime(2026, 11, 1, 12, number, tzinfo=UTC), 90))
    page.layouts, page.limit_micro_usd = list(layouts), 1500
    page.states.update({"parsed": len(videos)})
    page.tiers = {"local": TierTotals(len(videos) - 9), "model": TierTotals(9, 3100, 810)}
    return page


def chromium(*arguments: str) -> Chrome:
    """A headless browser of the machine's own."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not program or not driver:
        raise SystemExit("Install chromium and chromedriver first (on Debian: apt install chromium chromium-driver).")
    options = ChromeOptions()
    options.binary_location = program
    for argument in ("headless=new", "no-sandbox", "disable-gpu", "disable-background-networking", *arguments):
        options.add_argument(f"--{argument}")
    return Chrome(options, Service(driver))


def main() -> None:
    """Measure and print; take pictures on request."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=10_000)
    options.add_argument("--runs", type=int, default=5)
    options.add_argument("--screenshot", type=Path)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder, "page.html")
        page.write_text(render(content(given.rows)), "utf-8")
        browser = chromium()
        opens, filters = [], []
        for _ in range(given.runs):
            browser.get(page.as_uri())
            timing = "const t = performance.getEntriesByType('navigation')[0]; return t.loadEventEnd - t.startTime"
            opens.append(browser.execute_script(timing))
            for text in FILTERS:
                browser.execute_script(
                    "const box = document.getElementById('search'); box.value = arguments[0];"
                    "box.dispatchEvent(new Event('input', {bubbles: true}))",
                    text,
                )
                filters.append(float(browser.execute_script("return document.body.dataset.filterMs")))
        browser.quit()
        print(f"{given.rows:,} rows: {page.stat().st_size:,} bytes")
        print(f"opens in {statistics.median(opens):.0f} ms (worst {max(opens):.0f})")
        print(f"filters in {statistics.median(filters):.0f} ms (worst {max(filters):.0f})")
        if given.screenshot:
            page.write_text(render(sample_content()), "utf-8")
            for name, arguments in {
                "light": ("window-size=1280,900",),
                "dark": ("window-size=1280,900", "force-dark-mode", "blink-settings=preferredColorScheme=0"),
                "narrow": ("window-size=500,900",),
            }.items():
                browser = chromium(*arguments)
                browser.get(page.as_uri())
                browser.save_screenshot(str(given.screenshot / f"report-{name}.png"))
                browser.quit()


if __name__ == "__main__":
    main()
