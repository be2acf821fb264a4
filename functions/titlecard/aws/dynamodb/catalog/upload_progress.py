"""The upload progress of a batch's results, for batches whose results take more than one call.

The progress, or draft, is one item beside the batch. A writer can advance it only from the state that it read, so that
of two writers one continues and the other stops.
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

    `version` is the batch's `marked_at`. A redrive changes it and so makes an earlier draft useless. `etags` are those
    of the uploaded parts, `row` is their last row, and `counts` counts their rows.
    """

    version: str
    upload: str
    etags: tuple[str, ...] = ()
    row: int = 0
    counts: Counter[str] = field(default_factory=Counter)


class UploadProgressTable(CatalogTable):
    """The uploads in progress."""

    def draft(self, batch: str, version: str) -> UploadProgress | None:
        """Return the draft of a batch's results, None if there is none of this version."""
        item = self._get(upload_progress_key(batch))
        if item is None or item["version"] != version:
            return None
        counts = Counter({name: int(value) for name, value in item["counts"].items()})
        return UploadProgress(version, item["upload"], tuple(item["etags"]), int(item["row"]), counts)

    def begin(self, batch: str, draft: UploadProgress) -> bool:
        """Store the first draft of a version; return False if another writer has."""
        of_before = "attribute_not_exists(pk) OR version < :version"
        return self._stored(batch, draft, of_before, {":version": draft.version})

    def move_on(self, batch: str, before: UploadProgress, draft: UploadProgress) -> bool:
        """Replace a draft with a more advanced one; return False if it has changed since it was read."""
        as_read = "upload = :upload AND #row = :row"
        return self._stored(batch, draft, as_read, {":upload": before.upload, ":row": before.row})

    def forget(self, batch: str, draft: UploadProgress) -> None:
        """Clear the version of a draft whose upload is useless, so that no writer continues it."""
        as_read = "upload = :upload"  # otherwise another upload has replaced it
        self._accepted(
            upload_progress_key(batch), "SET version = :none", as_read, {":none": "", ":upload": draft.upload}
        )

    def _stored(self, batch: str, draft: UploadProgress, condition: str, values: Mapping[str, Any]) -> bool:
        item: dict[str, Any] = {
            **upload_progress_key(batch),
            "version": draft.version,
            "upload": draft.upload,
            "etags": list(draft.etags),
            "row": draft.row,
            "counts": dict(draft.counts),
        }
        return self._put(item, condition, values)
