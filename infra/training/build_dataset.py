"""Build a data set from a clone of a repository: `python -m training.build_dataset SOURCE CLONE > talks.jsonl`.

| source | repository | the input | the answer |
| --- | --- | --- | --- |
| pyvideo | github.com/pyvideo/data (CC0 1.0) | the first version of each file, as scraped | the last version |
| rubyevents | github.com/rubyevents/rubyevents (MIT) | `raw_title`, as on YouTube | `title` and `speakers` |
| codeandtalk | github.com/szabgab/codeandtalk.com (Apache-2.0) | the first version of each file | the last version |

A row is left out if the editors' answer cannot be derived from the input: the title has other words, or neither title
nor description names one of several presenters. If the input contains no word of any presenter's name, the right answer
is that nobody is named. codeandtalk contributes only files whose title was edited, or whose description names the
presenters. Needs `git`, and the clone's whole history (no shallow clone) except for rubyevents.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from titlecard.domain.grounding import ungrounded
from titlecard.domain.text import is_placeholder, one_line, words
from titlecard.domain.video import Video

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_PYVIDEO = re.compile(r"(?P<event>[^/]+)/videos/[^/]+\.json")
_CODEANDTALK = re.compile(r"data/videos/(?P<event>[^/]+)/[^/]+\.json")
_RUBYEVENTS = re.compile(r"data/(?P<series>[^/]+)/(?P<event>[^/]+)/videos\.yml")
_YEAR = re.compile(r"-?(?:19|20)\d\d$")
_YOUTUBE = "https://www.youtube.com/watch?v="


def main() -> None:
    """Run the command line."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("source", choices=sorted(SOURCES))
    cli.add_argument("clone", type=Path)
    args = cli.parse_args()
    for row in SOURCES[args.source](args.clone):
        sys.stdout.write(json.dumps(row, ensure_ascii=False) + "\n")


def pyvideo(clone: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of pyvideo/data, by path."""
    for path, event, before, after in _edited(clone, _PYVIDEO):
        links = before.get("videos") or [{}]
        row = _row(
            path.removesuffix(".json"),
            event,
            (before.get("title"), before.get("description")),
            (after.get("title"), after.get("speakers") or []),
            url=links[0].get("url"),
            language=before.get("language"),
        )
        if row:
            yield row


def codeandtalk(clone: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of szabgab/codeandtalk.com, by path. The names of files identify speakers."""
    names: dict[str, str] = {}
    every_series = _json(_git(clone, "show", "HEAD:data/series.json")) or {}
    for path, event, before, after in _edited(clone, _CODEANDTALK):
        speakers = after.get("speakers") or []
        for speaker in speakers:
            if speaker not in names:
                person = _json(_git(clone, "show", f"HEAD:data/people/{speaker}.json", may_fail=True)) or {}
                names[speaker] = str(person.get("name") or "")
        code = (before.get("videos") or [{}])[0].get("code")
        row = _row(
            path.removesuffix(".json"),
            event,
            (before.get("title"), before.get("description")),
            (after.get("title"), [names[speaker] for speaker in speakers]),
            url=f"{_YOUTUBE}{code}" if code else None,
            series=max((name for name in every_series if event.startswith(f"{name}-")), key=len, default=None),
        )
        is_edited = one_line(str(before.get("title"))) != one_line(str(after.get("title")))
        if row and (is_edited or row["kind"] == "names_in_description"):
            yield row


def rubyevents(clone: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of rubyevents/rubyevents, by path."""
    for path in _git(clone, "ls-tree", "-r", "--name-only", "HEAD", "data").splitlines():
        found = _RUBYEVENTS.fullmatch(path)
        if not found:
            continue
        talks = yaml.safe_load(_git(clone, "show", f"HEAD:{path}"))
        for talk in talks if isinstance(talks, list) else ():
            code = talk.get("video_id")
            row = _row(
                f"{found['event']}/{talk.get('id')}",
                found["event"],
                (talk.get("raw_title"), talk.get("description")),
                (talk.get("title"), talk.get("speakers") or []),
                series=found["series"],
                language=talk.get("language"),
                url=f"{_YOUTUBE}{code}" if code and talk.get("video_provider") == "youtube" else None,
            )
            if row:
                yield row


SOURCES: Mapping[str, Callable[[Path], Iterator[dict[str, Any]]]] = {
    "pyvideo": pyvideo,
    "rubyevents": rubyevents,
    "codeandtalk": codeandtalk,
}


def _edited(clone: Path, pattern: re.Pattern[str]) -> Iterator[tuple[str, str, dict[str, Any], dict[str, Any]]]:
    """Yield the files of the last commit, by path: path, event, first version and last version."""
    for path, first in sorted(_first_versions(clone, pattern).items()):
        event = pattern.fullmatch(path)
        before, after = _json(_git(clone, "show", first)), _json(_git(clone, "show", f"HEAD:{path}"))
        if event and before and after:
            yield path, event["event"], before, after


def _first_versions(clone: Path, pattern: re.Pattern[str]) -> dict[str, str]:
    """Map each file of the last commit to the object `commit:path` of its first version; follow moves."""
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
        elif paths and pattern.fullmatch(paths[-1]):
            first.setdefault(paths[-1], f"{commit}:{paths[-1]}")
    return first


def _row(
    name: str,
    event: str,
    given: tuple[object, object],
    wanted: tuple[object, Sequence[object]],
    *,
    url: object = None,
    language: object = None,
    series: str | None = None,
) -> dict[str, Any] | None:
    """Return a row of the data set; None if its answer is missing or cannot be derived from the input.

    Args:
        name: the row's id.
        event: its conference, with the year.
        given: title and description as they were.
        wanted: title and presenters as the editors have them.
        url: the address of the video.
        language: its language, as the source names it.
        series: the conference without the year, if the source knows it.
    """
    title, description = str(given[0] or "").strip(), str(given[1] or "")
    want = str(wanted[0] or "").strip()
    presenters = [str(person).strip() for person in wanted[1]]
    presenters = [person for person in presenters if person and not is_placeholder(person)]
    if not title or not want:
        return None
    video = Video(id=name, title=title, description=description)
    said = {*words(title), *words(description)}
    if said.isdisjoint(word for person in presenters for word in words(person)):
        presenters = []
    if ungrounded(want, presenters, video) is not None:
        return None
    in_title = ungrounded(want, presenters, video.model_copy(update={"description": ""})) is None
    return {
        "id": video.id,
        "title": title,
        "description": description,
        "url": url,
        "language": language,
        "event": event,
        "series": series or _YEAR.sub("", event),
        "kind": "no_names" if not presenters else "names_in_title" if in_title else "names_in_description",
        "expected": {"title": want, "presenters": presenters},
    }


def _json(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        return None  # some first versions were broken, and the editors repaired them later
    return found if isinstance(found, dict) else None


def _git(clone: Path, *arguments: str, may_fail: bool = False) -> str:
    command = ["git", "-C", str(clone), *arguments]
    done = subprocess.run(command, check=not may_fail, capture_output=True, encoding="utf-8", errors="replace")  # noqa: S603  # fixed
    return done.stdout


if __name__ == "__main__":
    main()
