"""Pass 1: its counts, the parts that it keeps, and that every pass gives the same."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from titlecard import manifests
from titlecard.manifests import ReadingLimits, validation
from titlecard.manifests.validation import Bitmap, ValidationReport

if TYPE_CHECKING:
    from pathlib import Path


def line(video: str, title: str = "T", **more: str) -> str:
    return json.dumps({"id": video, "title": title, **more})


MIXED = "\n".join(
    [
        line("a"),
        "broken",
        line("b"),
        line("a"),
        line("a", "Other"),
        line("b", description="Other"),
        "",
        line("c", url="https://example.org/1"),
        line("c", url="https://example.org/2"),
    ]
)


def take(text: str, scratch: Path, *, sample_max: int = 100) -> tuple[ValidationReport, list[dict[str, object]]]:
    rejects = io.StringIO()
    reading = manifests.read(io.BytesIO(text.encode()), ReadingLimits())
    counted = validation.validate(reading, scratch=scratch, rejects=rejects, sample_max=sample_max)
    return counted, [json.loads(entry) for entry in rejects.getvalue().splitlines()]


def test_rows_are_counted(tmp_path: Path) -> None:
    counted, _ = take(MIXED, tmp_path)
    assert (counted.accepted, counted.refused, counted.repeated, counted.last) == (3, 3, 2, 9)


def test_the_validation_keeps_the_manifests_form(tmp_path: Path) -> None:
    assert take(MIXED, tmp_path)[0].form == "JSON Lines"


def test_the_bitmap_holds_the_accepted_rows(tmp_path: Path) -> None:
    assert list(take(MIXED, tmp_path)[0].bitmap) == [1, 3, 8]


def test_every_refused_row_is_reported_once(tmp_path: Path) -> None:
    assert [entry["row"] for entry in take(MIXED, tmp_path)[1]] == [2, 5, 6]


def test_a_refused_row_is_one_line_of_the_report_however_lines_are_split(tmp_path: Path) -> None:
    rejects = take("\n".join([line("a"), "broken \x85 \u2028 \u2029 row"]), tmp_path)[1]
    assert [entry["excerpt"] for entry in rejects] == ["broken \x85 \u2028 \u2029 row"]


def test_a_duplicate_id_with_different_content_names_the_row_that_is_kept(tmp_path: Path) -> None:
    reason = "Duplicate id, with content that differs from row 3; the first one is kept."
    assert take(MIXED, tmp_path)[1][2] == {"row": 6, "reason": reason, "excerpt": "b: T"}


def test_a_row_that_names_another_speaker_of_the_same_talk_is_refused_and_not_only_counted(tmp_path: Path) -> None:
    speakers = ("Ada Byron", "Grace Hopper", "Ada Byron")
    lines = [json.dumps({"id": "a", "title": "A", "speaker": name}) for name in speakers]
    counted, rejects = take("\n".join(lines), tmp_path)
    assert (counted.accepted, counted.repeated) == (1, 1)
    assert [entry["row"] for entry in rejects] == [2]


def test_a_row_of_a_table_that_names_another_speaker_of_the_same_talk_adds_the_speaker(tmp_path: Path) -> None:
    counted, rejects = take("id,title,speaker\na,A,Ada Byron\na,A,Grace Hopper\na,A,Ada Byron\n", tmp_path)
    assert (counted.accepted, counted.repeated, rejects) == (1, 2, [])
    assert [video.presenters for _, video in counted.sample] == [("Ada Byron", "Grace Hopper")]


def test_the_same_bytes_give_the_same_report(tmp_path: Path) -> None:
    assert take(MIXED, tmp_path) == take(MIXED, tmp_path)


def test_leftovers_of_a_killed_run_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "validation.sqlite").write_bytes(b"half a database")
    assert take(MIXED, tmp_path)[0].accepted == 3


def test_the_scratch_folder_is_left_empty(tmp_path: Path) -> None:
    take(MIXED, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_sample_is_as_large_as_it_may_be(tmp_path: Path) -> None:
    rows = "\n".join(line(str(number)) for number in range(500))
    assert len(take(rows, tmp_path, sample_max=40)[0].sample) == 40


def test_a_sample_is_taken_from_the_whole_manifest(tmp_path: Path) -> None:
    rows = "\n".join(line(str(number)) for number in range(1000))
    places = [int(video.id) for _, video in take(rows, tmp_path, sample_max=50)[0].sample]
    assert places == sorted(places)
    assert max(later - earlier for earlier, later in zip([0, *places], [*places, 1000], strict=True)) < 60


def test_a_sample_may_be_empty(tmp_path: Path) -> None:
    assert take(MIXED, tmp_path, sample_max=0)[0].sample == ()


def test_long_texts_are_cut_in_the_sample(tmp_path: Path) -> None:
    counted, _ = take(line("a", "t" * 9000, description="d" * 9000), tmp_path)
    ((row, video),) = counted.sample
    assert (row, len(video.title), len(video.description)) == (1, 4000, 4000)


@pytest.mark.parametrize(("after", "expected"), [(0, [1, 3, 8]), (1, [3, 8]), (2, [3, 8]), (7, [8]), (8, [])])
def test_the_accepted_rows_are_read_again_from_a_checkpoint_on(after: int, expected: list[int], tmp_path: Path) -> None:
    bitmap = take(MIXED, tmp_path)[0].bitmap
    again = manifests.read(io.BytesIO(MIXED.encode()), ReadingLimits())
    assert [row.number for row in validation.accepted(again, bitmap, after)] == expected


def test_the_accepted_rows_of_a_manifest_that_breaks_are_read_again(tmp_path: Path) -> None:
    text = "[" + line("a") + "," + line("b") + "," + line("c")[:-1]
    counted, rejects = take(text, tmp_path)
    again = manifests.read(io.BytesIO(text.encode()), ReadingLimits())
    assert [row.video.id for row in validation.accepted(again, counted.bitmap)] == ["a", "b"]
    assert [entry["row"] for entry in rejects] == [3]


def test_twenty_thousand_duplicates_are_refused_one_by_one(tmp_path: Path) -> None:
    rows = "\n".join(line("same", str(number)) for number in range(20_000))
    counted, rejects = take(rows, tmp_path)
    assert (counted.accepted, counted.refused, len(rejects)) == (1, 19_999, 19_999)


numbers = st.sets(st.integers(0, 3000))


@given(numbers)
def test_a_bitmap_is_a_set_of_numbers(members: set[int]) -> None:
    bitmap = Bitmap(members)
    assert list(bitmap) == sorted(members)
    assert len(bitmap) == len(members)


@given(numbers, st.integers(-5, 4000))
def test_a_bitmap_knows_its_members(members: set[int], number: int) -> None:
    assert (number in Bitmap(members)) == (number in members)


@given(numbers)
def test_a_bitmap_is_read_back_from_its_bytes(members: set[int]) -> None:
    assert Bitmap.from_bytes(Bitmap(members).to_bytes()) == Bitmap(members)


def test_a_bitmap_takes_one_bit_a_row() -> None:
    assert len(Bitmap([999_999]).to_bytes()) == 125_000
