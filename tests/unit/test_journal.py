"""The journal's content after a crash and after many changes."""

from __future__ import annotations

import resource
import signal
from typing import TYPE_CHECKING

import pytest

from titlecard_console.errors import CloudError
from titlecard_console.local_cloud.journal import KEPT, Change, Journal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def change(video: str, answer: str | None, table: str = "CatalogTable") -> Change:
    key = {"pk": {"S": f"video#p#{video}"}, "sk": {"S": "fp#1"}}
    return Change(table, key, None if answer is None else key | {"talk": {"S": answer}})


def test_a_new_state_has_an_empty_journal(tmp_path: Path) -> None:
    assert Journal(tmp_path / "talks.jsonl").load() == []


def test_appended_changes_are_loaded(tmp_path: Path) -> None:
    Journal(tmp_path / "talks.jsonl").append([change("1", "a"), change("2", "b")])
    assert Journal(tmp_path / "talks.jsonl").load() == [change("1", "a"), change("2", "b")]


def test_the_last_change_of_an_item_counts(tmp_path: Path) -> None:
    record = Journal(tmp_path / "talks.jsonl")
    record.append([change("1", "early"), change("2", "b")])
    record.append([change("1", "late")])
    assert record.load() == [change("1", "late"), change("2", "b")]


def test_the_same_key_in_two_tables_is_two_items(tmp_path: Path) -> None:
    record = Journal(tmp_path / "talks.jsonl")
    record.append([change("1", "a"), change("1", "b", "LedgerTable")])
    assert len(record.load()) == 2


@pytest.mark.parametrize("partition", ["video#p#1", "project#p", "budgets", "pauses"])
def test_items_of_payments_and_of_permitted_spending_are_kept(partition: str) -> None:
    assert partition.startswith(KEPT)


@pytest.mark.parametrize("partition", ["batch#b", "tally#b", "breakers"])
def test_items_that_belong_to_one_cloud_alone_are_not_kept(partition: str) -> None:
    assert not partition.startswith(KEPT)


def test_a_removed_item_is_gone(tmp_path: Path) -> None:
    record = Journal(tmp_path / "talks.jsonl")
    record.append([change("1", "a"), change("1", None)])
    assert record.load() == []


def test_loading_leaves_one_line_per_item(tmp_path: Path) -> None:
    record = Journal(tmp_path / "talks.jsonl")
    record.append([change("1", str(number)) for number in range(100)])
    record.load()
    assert len((tmp_path / "talks.jsonl").read_text().splitlines()) == 1


def test_a_line_that_a_crash_cut_short_is_dropped(tmp_path: Path) -> None:
    file = tmp_path / "talks.jsonl"
    Journal(file).append([change("1", "a"), change("2", "b")])
    file.write_bytes(file.read_bytes()[:-20])
    assert Journal(file).load() == [change("1", "a")]


@pytest.mark.parametrize("line", [b"not json", b"\xff", b"{}", b'{"table": "CatalogTable", "new": 1}'])
def test_a_damaged_line_is_named_and_nothing_is_touched(tmp_path: Path, line: bytes) -> None:
    file = tmp_path / "talks.jsonl"
    file.write_bytes(line + b"\n")
    with pytest.raises(CloudError, match=r"talks\.jsonl, line 1"):
        Journal(file).load()
    assert file.read_bytes() == line + b"\n"


@pytest.fixture
def small_files() -> Iterator[None]:
    """Let no file grow above 5,000 bytes: writing beyond fails as on a full disk, after a part is written."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, before)


@pytest.mark.usefixtures("small_files")
def test_changes_that_a_full_disk_cuts_short_can_be_appended_later(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "talks.jsonl")
    journal.append([change("1", "a")])
    with pytest.raises(OSError, match="too large"):
        journal.append([change("2", "b" * 3_000), change("3", "c" * 3_000)])
    journal.append([change("2", "later")])
    assert journal.load() == [change("1", "a"), change("2", "later")]
