"""The uploads bucket: requested versions, deleted and oversized objects, and an upload's own limits."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from titlecard.aws.errors import InvalidLimit, ManifestTooLarge, ObjectDeleted
from titlecard.aws.s3 import own_limits
from titlecard.domain.money import Total

if TYPE_CHECKING:
    from tests.functional.world import World

    from titlecard.domain.batch import Upload

STACK = Total(requests=100, tokens=10_000, micro_usd=1_000)


def fetched(world: World, upload: Upload, max_bytes: int = 1_000) -> bytes:
    file = io.BytesIO()
    world.uploads.fetch(upload, file, max_bytes=max_bytes)
    return file.read()


def test_an_object_is_fetched_and_read_from_its_start(world: World) -> None:
    assert fetched(world, world.put("the content")) == b"the content"


def test_the_version_that_was_asked_for_is_fetched_and_not_the_newest(world: World) -> None:
    older = world.put("older")
    world.put("newer")
    assert fetched(world, older) == b"older"


def test_metadata_comes_with_an_object(world: World) -> None:
    upload = world.put("content", metadata={"limit-requests": "5"})
    assert world.uploads.fetch(upload, io.BytesIO(), max_bytes=1_000) == {"limit-requests": "5"}


def test_a_deleted_version_is_gone(world: World) -> None:
    upload = world.put("content")
    world.s3.delete_object(Bucket=upload.bucket, Key=upload.key, VersionId=upload.version)
    with pytest.raises(ObjectDeleted, match="was deleted"):
        fetched(world, upload)


def test_a_key_that_never_existed_counts_as_deleted(world: World) -> None:
    with pytest.raises(ObjectDeleted):
        fetched(world, replace(world.put("content"), key="uploads/djangocon/other.jsonl", version=""))


def test_an_object_that_was_deleted_without_its_version_can_still_be_fetched(world: World) -> None:
    upload = world.put("content")
    world.s3.delete_object(Bucket=upload.bucket, Key=upload.key)
    assert fetched(world, upload) == b"content"


def test_a_refused_access_does_not_count_as_a_deleted_object(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = world.put("content")

    def forbidden(**_: object) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "GetObject")

    monkeypatch.setattr(world.s3, "get_object", forbidden)
    with pytest.raises(ClientError, match="AccessDenied"):
        fetched(world, upload)


def test_an_object_of_the_largest_size_is_fetched(world: World) -> None:
    assert len(fetched(world, world.put("x" * 1_000), max_bytes=1_000)) == 1_000


def test_an_object_above_the_largest_size_is_not_fetched(world: World) -> None:
    with pytest.raises(ManifestTooLarge, match="split it"):
        fetched(world, world.put("x" * 1_001), max_bytes=1_000)


def test_a_report_is_read_as_it_was_written(world: World) -> None:
    upload = world.put("content")
    world.uploads.write_report(upload, "report.json", b"a report")
    assert world.uploads.read_report(upload, "report.json") == b"a report"


def test_a_report_that_was_deleted_is_gone(world: World) -> None:
    with pytest.raises(ObjectDeleted, match=r"report\.json"):
        world.uploads.read_report(world.put("content"), "report.json")


def test_a_report_lies_under_its_batch(world: World) -> None:
    upload = world.put("content")
    world.uploads.write_report(upload, "report.json", b"a report")
    found = world.s3.list_objects_v2(Bucket=upload.bucket, Prefix="reports/")["Contents"]
    assert [it["Key"] for it in found] == [f"reports/{upload.batch}/report.json"]


def test_an_upload_without_limits_of_its_own_has_the_stacks() -> None:
    assert own_limits(STACK, {"other": "x"}) == STACK


def test_an_upload_lowers_each_limit_by_itself() -> None:
    own = {"limit-requests": "7", "limit-tokens": "99999"}
    assert own_limits(STACK, own) == Total(requests=7, tokens=10_000, micro_usd=1_000)


@pytest.mark.parametrize(
    "name", ["limit-usds", "limit_usd", "limit_requests", "limit-micro_usd", "limit-microusd", "limits", "Limit-Token"]
)
def test_a_limit_by_a_name_that_is_not_quite_right_is_refused(name: str) -> None:
    with pytest.raises(InvalidLimit, match=rf"{name.lower()}.* is not a known limit: use .*limit-usd"):
        own_limits(STACK, {name: "5"})


@pytest.mark.parametrize(("value", "micro_usd"), [("0.0005", 500), ("0", 0), ("0.0000019", 1), ("7", 1_000)])
def test_a_limit_may_be_in_dollars(value: str, micro_usd: int) -> None:
    assert own_limits(STACK, {"limit-usd": value}).micro_usd == micro_usd


def test_the_lower_of_two_money_limits_applies() -> None:
    assert own_limits(STACK, {"limit-usd": "0.0005", "limit-micro-usd": "700"}).micro_usd == 500
    assert own_limits(STACK, {"limit-usd": "0.0005", "limit-micro-usd": "300"}).micro_usd == 300


@pytest.mark.parametrize("value", ["", "-1", "$1", "1e3", "1,5", "nan", "0.5 "])
def test_dollars_that_cannot_be_read_are_refused(value: str) -> None:
    with pytest.raises(InvalidLimit, match=r"limit-usd is .* dollars, as in 0\.50"):
        own_limits(STACK, {"limit-usd": value})


@pytest.mark.parametrize("value", ["", "-1", "1.5", "ten", "1_000", "١٢", " 5", "9" * 19])
def test_a_limit_that_cannot_be_read_is_refused(value: str) -> None:
    with pytest.raises(InvalidLimit, match=r"limit-tokens is .* whole number"):
        own_limits(STACK, {"limit-tokens": value})
