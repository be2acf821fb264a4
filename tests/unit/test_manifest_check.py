"""`titlecard check` predicts what ingest does."""

from __future__ import annotations

from pathlib import Path

import pytest

from titlecard.manifests.errors import NotAManifest
from titlecard_console.local_cloud import template
from titlecard_console.manifest import FIRST_REFUSED, Manifest, read_manifest

FORMS = Path(__file__).parents[2] / "events" / "forms"


def check(path: Path) -> Manifest:
    return read_manifest(path, template.load().values({}))


def test_a_report_says_what_the_file_is_and_how_it_is_read() -> None:
    manifest = check(FORMS / "semicolons.csv")
    assert manifest.report.form == "CSV with semicolons"
    assert manifest.columns == {"title": "Name", "description": "Description", "url": "Link"}


def test_a_report_counts_the_rows() -> None:
    report = check(FORMS / "with-mistakes.jsonl").report
    assert (report.accepted, report.refused, report.repeated) == (4, 3, 1)


def test_a_report_names_the_refused_rows() -> None:
    assert [row.number for row in check(FORMS / "with-mistakes.jsonl").first_refused] == [3, 4, 6]


def test_a_report_names_the_first_refused_rows_only(tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text("{}\n" * 100)
    manifest = check(path)
    assert (manifest.report.refused, len(manifest.first_refused)) == (100, FIRST_REFUSED)


def test_a_file_that_is_not_a_manifest_gets_no_report(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("<html></html>")
    with pytest.raises(NotAManifest):
        check(path)
