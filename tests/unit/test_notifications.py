"""What a message of the notification queue reports, whatever it holds."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from titlecard.aws.errors import UnknownNotification
from titlecard.aws.notifications import uploads
from titlecard.domain.batch import Upload, upload_order

THING = {"key": "uploads/pycon/2026+talks.jsonl", "versionId": "v1", "sequencer": "A5", "eTag": "e"}
TIME = "2026-11-20T10:00:00.000Z"
UPLOAD = Upload("uploads", "uploads/pycon/2026 talks.jsonl", "v1", upload_order(TIME, "A5"), "e")
NOT_A_TEXT: list[object] = [5, 1.5, True, ["a"], {"a": "b"}, "\ud800"]


def record(thing: dict[str, Any], **more: object) -> dict[str, Any]:
    """Return S3's notification of an object."""
    return {"Records": [{"eventTime": TIME, "s3": {"bucket": {"name": "uploads"}, "object": thing}} | more]}


def event(thing: dict[str, Any], **more: object) -> dict[str, Any]:
    """Return EventBridge's event of an object."""
    detail = {"bucket": {"name": "uploads"}, "object": thing}
    return {"source": "aws.s3", "detail-type": "Object Created", "time": TIME, "detail": detail} | more


@pytest.mark.parametrize("value", NOT_A_TEXT)
@pytest.mark.parametrize(
    "body",
    [
        lambda value: record(THING | {"key": value}),
        lambda value: record(THING | {"versionId": value}),
        lambda value: record(THING | {"sequencer": value}),
        lambda value: record(THING | {"eTag": value}),
        lambda value: record(THING, eventTime=value),
        lambda value: event({"key": value, "version-id": "v1", "sequencer": "A5"}),
        lambda value: event({"key": "k", "version-id": value, "sequencer": "A5"}),
        lambda value: event({"key": "k", "version-id": "v1", "sequencer": value}),
        lambda value: event({"key": "k"}, time=value),
        lambda value: {"continue": asdict(UPLOAD) | {"order": value}},
        lambda value: {"continue": asdict(UPLOAD) | {"etag": value}},
    ],
)
def test_a_field_that_is_not_text_makes_no_upload(body: Any, value: object) -> None:  # noqa: ANN401 -- a function
    with pytest.raises(UnknownNotification, match=r"not text|not come from S3|not name an object"):
        list(uploads(body(value)))


@pytest.mark.parametrize("body", [{"continue": {}}, {"continue": {"bucket": "b"}}, {"continue": None}])
def test_a_continuation_without_its_upload_makes_none(body: object) -> None:
    with pytest.raises(UnknownNotification):
        list(uploads(body))


@pytest.mark.parametrize(
    "body",
    [
        {"Type": "Notification", "Message": json.dumps(record(THING))},
        {"Records": [{"Sns": {"Message": json.dumps(record(THING))}}]},
        {"Records": [{"body": json.dumps(record(THING))}]},
    ],
)
def test_a_forwarded_notification_makes_its_upload(body: object) -> None:
    assert list(uploads(body)) == [UPLOAD]


def test_a_forwarded_text_that_is_not_json_makes_no_upload() -> None:
    with pytest.raises(UnknownNotification, match="forwarded message is not JSON"):
        list(uploads({"Type": "Notification", "Message": "Records"}))


@pytest.mark.parametrize("rounds", ["x", None, 1.5])
def test_a_continuation_without_a_number_of_rounds_makes_no_upload(rounds: object) -> None:
    assert list(uploads({"continue": asdict(UPLOAD), "rounds": 1})) == [UPLOAD]
    with pytest.raises(UnknownNotification):
        list(uploads({"continue": asdict(UPLOAD), "rounds": rounds}))


@pytest.mark.parametrize(
    "body",
    [
        record(THING | {"sequencer": None}),
        record(THING, eventTime=None),
        event({"key": "k", "sequencer": None}),
        event({"key": "k"}, time=None),
        event({"key": "k"}, detail=None),
    ],
)
def test_an_upload_whose_order_is_unknown_is_not_treated_as_the_oldest(body: object) -> None:
    with pytest.raises(UnknownNotification):
        list(uploads(body))


@pytest.mark.parametrize("name", ["versionId", "eTag"])
def test_a_field_without_a_value_counts_as_missing(name: str) -> None:
    missing = {key: value for key, value in THING.items() if key != name}
    assert list(uploads(record(THING | {name: None}))) == list(uploads(record(missing)))
    assert list(uploads(record(THING))) == [UPLOAD]


_NAMES = (
    "Records",
    "s3",
    "bucket",
    "object",
    "name",
    "key",
    "continue",
    "version",
    "order",
    "source",
    "detail",
    "body",
)
_VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=3) | st.just("aws.s3") | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(_NAMES), inner, max_size=4),
    max_leaves=8,
)


@given(_VALUES, st.sampled_from(["", *THING]), _VALUES)
def test_any_body_makes_uploads_or_is_unknown(body: object, name: str, value: object) -> None:
    for odd in (body, {"Records": [body]}, record(THING | {name: value}), record(THING, s3=body), {"continue": body}):
        try:
            found = list(uploads(odd))
        except UnknownNotification:
            continue
        assert all(it.batch for it in found)
