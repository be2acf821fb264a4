"""The upload progress of a batch's results, for batches whose results take more than one call.

The progress is one item beside the batch. A writer can advance it only from the state that it read, so that of two
writers one continues and the other stops.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from titlecard.aws.dynamodb.catalog.keys import upload_progress_key
from titlecard.aws.dynamodb.catalog.table import CatalogTable

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class UploadProgress:
    """The progress of a multipart upload.

    `version` is the batch's `marked_at`. A redrive changes it and so makes earlier progress useless. `etags` are those
    of the uploaded parts, `row` is their last row, and `counts` counts their rows.
    """

    version: str
    upload: str
    etags: tuple[str, ...] = ()
    row: int = 0
    counts: Counter[str] = field(default_factory=Counter)


class UploadProgressTable(CatalogTable):
    """The uploads in progress."""

    def read(self, batch: str, version: str) -> UploadProgress | None:
        """Return the progress of a batch's results, None if there is none of this version."""
        item = self._get(upload_progress_key(batch))
        if item.get("version") != version:
            return None
        counts = Counter({name: int(value) for name, value in item["counts"].items()})
        return UploadProgress(version, item["upload"], tuple(item["etags"]), int(item["row"]), counts)

    def begin(self, batch: str, progress: UploadProgress) -> bool:
        """Store a version's progress after its first part; return False if another writer already has.

        Versions have no order: the clock of the machine that ran a redrive may be behind that of an earlier change.
        """
        of_before = "attribute_not_exists(pk) OR version <> :version"
        return self._stored(batch, progress, of_before, {":version": progress.version})

    def advance(self, batch: str, before: UploadProgress, progress: UploadProgress) -> bool:
        """Replace the progress; return False if it has changed since it was read."""
        as_read = "upload = :upload AND #row = :row"
        return self._stored(batch, progress, as_read, {":upload": before.upload, ":row": before.row})

    def forget(self, batch: str, progress: UploadProgress) -> None:
        """Clear the version of a progress whose upload is useless, so that no writer continues the upload."""
        as_read = "upload = :upload"  # otherwise another upload has replaced it
        self._update(
            upload_progress_key(batch), "SET version = :none", as_read, {":none": "", ":upload": progress.upload}
        )

    def _stored(self, batch: str, progress: UploadProgress, condition: str, values: Mapping[str, Any]) -> bool:
        item: dict[str, Any] = {
            **upload_progress_key(batch),
            "version": progress.version,
            "upload": progress.upload,
            "etags": list(progress.etags),
            "row": progress.row,
            "counts": dict(progress.counts),
        }
        return self._put(item, condition, values)
