"""The uploads bucket: manifests in, reports out."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any, BinaryIO

from titlecard.aws.errors import ManifestTooLarge, ObjectDeleted
from titlecard.domain.batch import REPORTS, Upload

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef

_REPLACED = {"PreconditionFailed", "412"}
_GONE = {"NoSuchKey", "NoSuchVersion", "NoSuchBucket", "404", "MethodNotAllowed"}


class UploadsBucket:
    """The uploads bucket of the stack, which also holds the reports."""

    def __init__(self, client: S3Client) -> None:
        self._s3 = client

    def fetch(self, upload: Upload, into: BinaryIO, *, max_bytes: int) -> dict[str, str]:
        """Copy one version of an object into a file, and return its user-defined metadata.

        This copies the whole object instead of streaming it: pass 2 reads only as fast as it sends, and S3 drops an
        idle connection.

        Args:
            max_bytes: the largest stored size that is accepted, in bytes.

        Raises:
            ObjectDeleted: the version was deleted or, in a bucket without versions, another upload has replaced it.
            ManifestTooLarge: the object is larger than `max_bytes`.
        """
        found = self._get(upload.bucket, upload.key, upload.version, "" if upload.is_versioned else upload.etag)
        with found["Body"] as body:
            if found["ContentLength"] > max_bytes:
                raise ManifestTooLarge(
                    f"{upload.key} has {found['ContentLength']:,} bytes; at most {max_bytes:,} are allowed: split it"
                )
            shutil.copyfileobj(body, into, 1 << 20)
        into.seek(0)
        return found["Metadata"]

    def write_report(self, upload: Upload, name: str, content: bytes | BinaryIO) -> None:
        """Write `reports/<batch>/<name>`; repeating the write for a batch writes the same content."""
        self._s3.put_object(Bucket=upload.bucket, Key=report_key(upload.batch, name), Body=content)

    def read_report(self, upload: Upload, name: str) -> bytes:
        """Read a report that `write_report` wrote.

        Raises:
            ObjectDeleted: the report was deleted.
        """
        return self._get(upload.bucket, report_key(upload.batch, name))["Body"].read()

    def _get(self, bucket: str, key: str, version: str = "", etag: str = "") -> GetObjectOutputTypeDef:
        wanted: dict[str, Any] = {"VersionId": version} if version else {}
        if etag:
            wanted["IfMatch"] = etag
        try:
            return self._s3.get_object(Bucket=bucket, Key=key, **wanted)
        except self._s3.exceptions.ClientError as error:
            if error.response["Error"].get("Code") in _REPLACED:
                message = f"{key} was replaced, and the bucket keeps no versions: the earlier file is gone"
                raise ObjectDeleted(message) from error
            if error.response["Error"].get("Code") in _GONE:
                raise ObjectDeleted(f"{key} was deleted") from error
            raise


def report_key(batch: str, name: str) -> str:
    """Return the key of a batch's report in the bucket."""
    return f"{REPORTS}{batch}/{name}"
