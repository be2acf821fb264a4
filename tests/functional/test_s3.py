"""The uploads bucket: requested versions, deleted and oversized objects."""

from __future__ import annotations

import io
from dataclasses import replace
from hashlib import md5
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from titlecard.aws.errors import ManifestTooLarge, ObjectDeleted

if TYPE_CHECKING:
    from tests.functional.world import World

    from titlecard.domain.batch import Upload


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


def test_an_object_without_a_version_that_another_has_replaced_is_gone(world: World) -> None:
    upload = replace(world.put("older"), version="", etag=md5(b"older").hexdigest())  # noqa: S324 -- as S3's event has it
    assert fetched(world, upload) == b"older"
    world.put("newer")
    with pytest.raises(ObjectDeleted, match="was replaced, and the bucket keeps no versions"):
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
