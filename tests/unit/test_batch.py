"""Batches, messages and a batch's limits: pure names and numbers."""

from __future__ import annotations

from dataclasses import asdict
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from titlecard.domain.batch import Message, Upload, project_name, upload_order
from titlecard.domain.money import Total
from titlecard.domain.video import Video

KEY = "uploads/djangocon/2019 Talks.jsonl.gz"
TIME = "2026-01-05T12:00:00.000Z"


def upload(key: str = KEY, version: str = "v1", bucket: str = "uploads-bucket") -> Upload:
    return Upload(bucket, key, version, upload_order(TIME, "1"))


@pytest.mark.parametrize(
    ("key", "project"),
    [
        ("uploads/djangocon/x.jsonl", "djangocon"),
        ("uploads/djangocon/2019/x.jsonl", "djangocon"),
        ("uploads/PyCon-US_2.0/x", "PyCon-US_2.0"),
        ("uploads/x.jsonl", None),
        ("uploads/djangocon/", None),
        ("uploads//x.jsonl", None),
        ("uploads/.hidden/x.jsonl", None),
        ("uploads/two words/x.jsonl", None),
        ("reports/djangocon/x.jsonl", None),
        ("uploads/" + "a" * 65 + "/x.jsonl", None),
    ],
)
def test_the_project_is_the_first_folder_under_uploads(key: str, project: str | None) -> None:
    assert upload(key).project == project


def test_one_version_of_an_object_is_one_batch() -> None:
    later_event = Upload("uploads-bucket", KEY, "v1", upload_order("2026-01-06T00:00:00.000Z", "2"))
    assert later_event.batch == upload().batch


@pytest.mark.parametrize("other", [upload(version="v2"), upload(bucket="another"), upload(KEY + "x")])
def test_any_difference_makes_another_batch(other: Upload) -> None:
    assert other.batch != upload().batch


def test_parts_of_a_batchs_identity_stay_separate() -> None:
    assert upload(key="uploads/a/bc", version="d").batch != upload(key="uploads/a/b", version="cd").batch


def test_a_batchs_name_begins_with_the_files() -> None:
    assert upload().batch.startswith("2019-talks-")


@given(st.text(max_size=200), st.text(max_size=50))
def test_a_batchs_name_fits_into_a_key_whatever_the_file_is_called(name: str, version: str) -> None:
    assert set(upload(f"uploads/p/{name}", version).batch) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


@given(st.integers(0, 2**64), st.integers(0, 2**64))
def test_sequencers_of_any_length_sort_as_numbers(one: int, other: int) -> None:
    assert (upload_order(TIME, f"{one:X}") < upload_order(TIME, f"{other:X}")) == (one < other)


def test_a_later_event_sorts_after_an_earlier_one_for_any_sequencer() -> None:
    assert upload_order("2026-01-05T12:00:00.000Z", "FF") < upload_order("2026-01-05T12:00:00.001Z", "01")


def test_an_uploads_own_limit_only_lowers() -> None:
    stack = Total(requests=10, tokens=10, micro_usd=10)
    assert stack.lowered_by(requests=5, tokens=20, micro_usd=None) == Total(requests=5, tokens=10, micro_usd=10)


def test_an_own_limit_of_zero_is_a_limit() -> None:
    assert Total(requests=10, tokens=10, micro_usd=10).lowered_by(requests=0).requests == 0


def test_a_limit_is_never_negative() -> None:
    with pytest.raises(ValueError, match=r"requests=-1.* has a negative number"):
        Total(requests=-1, tokens=1, micro_usd=1)


def test_a_stored_limit_is_read_back() -> None:
    limit = Total(requests=5, tokens=10, micro_usd=0)
    assert Total.from_item({name: Decimal(number) for name, number in limit.as_map().items()}) == limit


@pytest.mark.parametrize(
    ("edit", "error"),
    [({"tokens": Decimal("1.5")}, ValueError), ({"tokens": "x"}, ValueError), ({"tokens": None}, TypeError)],
)
def test_a_stored_limit_that_was_edited_is_refused(edit: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error):
        Total.from_item({"requests": 1, "tokens": 1, "micro_usd": 1, **edit})


def test_a_stored_limit_without_a_number_is_refused() -> None:
    with pytest.raises(KeyError):
        Total.from_item({"requests": 1, "tokens": 1})


def test_a_message_comes_back_as_it_was_sent() -> None:
    message = Message(batch="b", project="p", row=7, video=Video(id="1", title="Ünïcode 🎉", description='"\\\n'))
    assert Message.model_validate_json(message.model_dump_json()) == message


def test_a_message_with_a_field_of_a_newer_version_is_read_without_it() -> None:
    message = Message(batch="b", project="p", row=1, video=Video(id="v", title="A talk"))
    newer = message.model_dump_json().replace('"id":', '"language":"en","id":')[:-1] + ',"priority":1}'
    assert Message.model_validate_json(newer) == message


def test_uploads_to_one_key_without_versions_are_different_batches() -> None:
    first, second = (Upload("b", "uploads/p/x.jsonl", "null", f"2026-01-01T00:00:00Z#{n:032}", "etag") for n in (1, 2))
    assert first.batch != second.batch
    assert first.batch == Upload.of({**asdict(first), "unknown": "1"}).batch


def test_a_valid_project_name_is_returned() -> None:
    assert project_name("djangocon-us.2019") == "djangocon-us.2019"
