"""Build a data set from a clone of github.com/pyvideo/data: `python -m training.build_dataset CLONE > talks.jsonl`.

The first version of each file is what was scraped from YouTube, the last is what human editors made of it. Rows are
left out where the editors' answer cannot be had from the input: a title with other words, a presenter whom neither
title nor description names. Needs the clone's whole history (no shallow clone) and `git`.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from titlecard.domain.grounding import ungrounded
from titlecard.domain.video import Video

if TYPE_CHECKING:
    from collections.abc import Iterator

_VIDEO = re.compile(r"(?P<event>[^/]+)/videos/[^/]+\.json")
_NOBODY = frozenset(["various speakers", "various", "unknown", "anonymous", "n/a", "tbd", ""])


def main() -> None:
    """The command line."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("clone", type=Path)
    args = cli.parse_args()
    for row in rows(args.clone):
        sys.stdout.write(json.dumps(row, ensure_ascii=False) + "\n")


def rows(clone: Path) -> Iterator[dict[str, Any]]:
    """The rows that can be made of a clone's history, by path."""
    for path, first in sorted(_first_versions(clone).items()):
        event = _VIDEO.fullmatch(path)
        before, after = _json(_git(clone, "show", first)), _json(_git(clone, "show", f"HEAD:{path}"))
        if event and before and after:
            row = _row(path, event["event"], before, after)
            if row:
                yield row


def _first_versions(clone: Path) -> dict[str, str]:
    """For each video of the last commit, the object `commit:path` of its first version; moves are followed."""
    log = _git(clone, "log", "--reverse", "--diff-merges=first-parent", "--name-status", "-M", "--format=@%H")
    first: dict[str, str] = {}
    commit = ""
    for line in log.splitlines():
        status, *paths = line.split("\t")
        if status.startswith("@"):
            commit = status[1:]
        elif status.startswith("R") and paths[0] in first:
            first[paths[1]] = first.pop(paths[0])
        elif status == "D":
            first.pop(paths[0], None)
        elif paths and _VIDEO.fullmatch(paths[-1]):
            first.setdefault(paths[-1], f"{commit}:{paths[-1]}")
    return first


def _row(path: str, event: str, before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any] | None:
    """A row of the data set; None where its answer is missing, or not to be had from the input."""
    title, description = str(before.get("title") or "").strip(), str(before.get("description") or "")
    want = str(after.get("title") or "").strip()
    presenters = [str(name).strip() for name in after.get("speakers") or []]
    presenters = [name for name in presenters if name.casefold() not in _NOBODY]
    if not title or not want:
        return None
    video = Video(id=path.removesuffix(".json"), title=title, description=description)
    if ungrounded(want, presenters, video) is not None:
        return None
    in_title = ungrounded(want, presenters, video.model_copy(update={"description": ""})) is None
    links = before.get("videos") or [{}]
    return {
        "id": video.id,
        "title": title,
        "description": description,
        "url": links[0].get("url"),
        "recorded": before.get("recorded"),
        "language": before.get("language"),
        "event": event,
        "kind": "no_names" if not presenters else "names_in_title" if in_title else "names_in_description",
        "expected": {"title": want, "presenters": presenters},
    }


def _json(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        return None  # some first versions were broken; the editors mended them later
    return found if isinstance(found, dict) else None


def _git(clone: Path, *arguments: str) -> str:
    command = ["git", "-C", str(clone), *arguments]
    done = subprocess.run(command, check=True, capture_output=True, encoding="utf-8", errors="replace")  # noqa: S603  # fixed
    return done.stdout


if __name__ == "__main__":
    main()
