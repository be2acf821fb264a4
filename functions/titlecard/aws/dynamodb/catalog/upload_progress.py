"""The catalog's drafts: how far a batch's results have been written, for batches that take more than one go.

A draft is one item beside the batch. It moves on only from where its writer read it, so that of two writers one goes on
and the other one stops.
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
    """A multipart upload that is under way.

    `version` is the stamp at which the batch itself last moved: it moves on where dead rows are tried again, and a
    draft from before that is of no use. `etags` are those of the parts that are there; `row` is the last row in them,
    and `counts` what they hold.
    """

    version: str
    upload: str
    etags: tuple[str, ...] = ()
    row: int = 0
    counts: Counter[str] = field(default_factory=Counter)


class UploadProgressTable(CatalogTable):
    """What is under way."""

    def draft(self, batch: str, version: str) -> UploadProgress | None:
        """The draft of a batch's results, None where there is none of this version."""
        item = self._get(upload_progress_key(batch))
        if item is None or item["version"] != version:
            return None
        counts = Counter({name: int(value) for name, value in item["counts"].items()})
        return UploadProgress(version, item["upload"], tuple(item["etags"]), int(item["row"]), counts)

    def begin(self, batch: str, draft: UploadProgress) -> bool:
        """Write a first draft; False where somebody else began."""
        of_before = "attribute_not_exists(pk) OR version < :version"
        return self._stored(batch, draft, of_before, {":version": draft.version})

    def move_on(self, batch: str, before: UploadProgress, draft: UploadProgress) -> bool:
        """Replace a draft by the one that goes further; False where it is not as it was read."""
        as_read = "upload = :upload AND #row = :row"
        return self._stored(batch, draft, as_read, {":upload": before.upload, ":row": before.row})

    def forget(self, batch: str, draft: UploadProgress) -> None:
        """Let a draft be of no version whose upload is of no use any more."""
        as_read = "upload = :upload"  # or else another one is under way
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
