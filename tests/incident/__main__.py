"""The replay: `python -m tests.incident FOLDER [--hours 1.5]`, from the root of the checkout, on Linux.

Django-Q2 in an environment under FOLDER, and Titlecard on the local cloud, work on events/sample.jsonl, each against
its own loopback provider with the same delay. One factor, `SCALE`, speeds up all clocks: scaled hours are hours / 15.
`django_q2.py` and `titlecard_run.py` name the times that cannot be scaled. Titlecard runs first; Django-Q2 sends the
same requests, byte by byte.

The replay writes results.json, which holds every setting that is not a default, and incident.svg. It skips the
situations that FOLDER already has results for, so an interrupted replay continues.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.incident import django_q2, titlecard_run
from tests.incident.provider import SlowProvider, curve, sums

if TYPE_CHECKING:
    from collections.abc import Mapping

SCALE = 15
"""The factor at which Titlecard's deadline (30 s) and Django-Q2's timeout (90 s) are whole seconds, as required."""

HERE = Path(__file__).parent
MANIFEST = HERE.parents[1] / "events" / "sample.jsonl"

USUAL, SLOW = 4.0, 35.0
"""Seconds that an answer takes. At the usual value, the loop over all videos takes longer than its timeout."""

DEADLY = slice(9, None, 20)
"""The rows whose workers are killed, in the situations with kills."""

POINTS = 90


@dataclass(frozen=True)
class Situation:
    """One situation of the replay.

    Attributes:
        work: the work for Django-Q2; None means Titlecard.
        changed: Titlecard's scaled parameters that differ from the usual ones.
    """

    name: str
    work: django_q2.Work | None = None
    changed: tuple[tuple[str, int], ...] = ()
    seconds_a_call: float = USUAL
    killed: bool = False


REPAIRED = django_q2.Work(one_by_one=True, retry=120, max_attempts=3)

FIRST = Situation("Titlecard")
RIVALS = (
    Situation("Django-Q2, the incident", django_q2.Work(one_by_one=False, retry=60)),
    Situation("Django-Q2, the incident with retry 120 s", django_q2.Work(one_by_one=False, retry=120)),
    Situation("Django-Q2 repaired, 35 s a call", REPAIRED, seconds_a_call=SLOW),
    Situation("Django-Q2 repaired, workers killed", REPAIRED, killed=True),
)
OURS = (
    Situation("Titlecard, 35 s a call", seconds_a_call=SLOW),
    Situation("Titlecard, 35 s a call, deadline 60 s", changed=(("RequestDeadlineSeconds", 60),), seconds_a_call=SLOW),
    Situation("Titlecard, workers killed", killed=True),
)


class Replay:
    """All situations, in one folder."""

    def __init__(self, folder: Path, hours: float) -> None:
        rows = [json.loads(line) for line in MANIFEST.read_text(encoding="utf-8").splitlines()]
        self._videos = {row["title"]: row["id"] for row in rows}
        self._folder = folder.resolve()
        self._hours = hours
        self._bodies: dict[str, str] = {}

    def run(self) -> dict[str, Any]:
        """Run every situation and return the results."""
        django_q2.environment(self._folder / "django-q2")
        results = [self._played(FIRST)]
        with ThreadPoolExecutor(len(RIVALS)) as pool:
            theirs = [pool.submit(self._played, situation) for situation in RIVALS]
            results += [self._played(situation) for situation in OURS]  # one by one, since a cloud keeps a core busy
            results += [future.result() for future in theirs]
        return {
            "scale": SCALE,
            "hours": self._hours,
            "videos": len(self._videos),
            "packages": django_q2.PACKAGES,
            "situations": results,
        }

    def _played(self, situation: Situation) -> dict[str, Any]:
        """Return the result of a situation, from an earlier run or from a new one."""
        folder = self._folder / "".join(letter if letter.isalnum() else "-" for letter in situation.name.lower())
        known, asked = folder.with_suffix(".json"), f"{situation!r} {SCALE} {self._hours}"
        with suppress(FileNotFoundError):
            kept: dict[str, Any] = json.loads(known.read_text(encoding="utf-8"))
            if kept["asked"] == asked:
                self._bodies = self._bodies or kept["bodies"]
                return dict(kept["result"])
        result = self._play(situation, folder)
        kept = {"asked": asked, "result": result, "bodies": self._bodies}
        known.write_text(json.dumps(kept), encoding="utf-8")
        return result

    def _play(self, situation: Situation, folder: Path) -> dict[str, Any]:
        ids = list(self._videos.values())
        deadly = ids[DEADLY] if situation.killed else []
        with SlowProvider(
            self._videos, scale=SCALE, seconds_a_call=situation.seconds_a_call, deadly=deadly
        ) as provider:
            if situation.work is None:
                told = self._titlecard(situation, provider, folder)
            else:
                told = self._django_q(situation.work, provider, folder)
            entries = provider.entries
        return {
            "name": situation.name,
            "seconds_a_call": situation.seconds_a_call,
            "deadly_videos": len(deadly),
            "kills": provider.kills,
            **asdict(sums(entries)),
            **told,
            "curve": [[round(hours, 4), tokens] for hours, tokens in curve(entries, POINTS)],
        }

    def _titlecard(self, situation: Situation, provider: SlowProvider, folder: Path) -> Mapping[str, Any]:
        left = titlecard_run.run(MANIFEST, provider, folder, changed=dict(situation.changed), scale=SCALE)
        if not self._bodies:
            bodies = {video: body.decode() for video, body in provider.bodies.items()}
            self._bodies = {video: bodies[video] for video in self._videos.values()}
        return {
            "settings": titlecard_run.parameters(dict(situation.changed), SCALE),
            "rows": left.rows,
            "charged": {"requests": left.charged.requests, "tokens": left.charged.tokens},
            "limit": {"requests": left.limits.requests, "tokens": left.limits.tokens},
            "told": left.told,
        }

    def _django_q(self, work: django_q2.Work, provider: SlowProvider, folder: Path) -> Mapping[str, Any]:
        left = django_q2.run(work, provider, self._bodies, folder, scale=SCALE, hours=self._hours)
        return {"settings": django_q2.settings(work, SCALE), **asdict(left)}


def main() -> None:
    """Run the replay, and write its results."""
    parser = argparse.ArgumentParser(prog="python -m tests.incident")
    parser.add_argument("folder", type=Path, help="for environments, databases and logs")
    parser.add_argument("--hours", type=float, default=1.5, help="scaled, for what has no end of its own")
    asked = parser.parse_args()
    results = Replay(asked.folder, asked.hours).run()
    (HERE / "results.json").write_text(_lines(results), encoding="utf-8")
    drawing = django_q2.environment(asked.folder / "plot", ["matplotlib==3.11.2"])
    command = [drawing, HERE / "plot.py", HERE / "results.json", HERE / "incident.svg"]
    subprocess.run(command, check=True)  # noqa: S603 -- our own program
    sys.stdout.write(table(results))


def table(results: Mapping[str, Any]) -> str:
    """Format the figures in Markdown."""
    rows = [
        "| | requests | tokens billed | charged | limit | paid more than once | most for one video | over after |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for one in results["situations"]:
        charged, limit = (f"{one[key]['tokens']:,}" if key in one else "" for key in ("charged", "limit"))
        over = "not" if one.get("queued") else f"{one['seconds'] / 3600:.2f} h"
        rows.append(
            f"| {one['name']} | {one['requests']:,} | {one['tokens']:,} | {charged} | {limit} "
            f"| {one['again']} of {results['videos']} | {one['most']} | {over} |"
        )
    return "\n".join(rows) + "\n"


def _lines(results: Mapping[str, Any]) -> str:
    """Write JSON with one line for everything except the points of a curve."""
    curves = {one["name"]: one["curve"] for one in results["situations"]}
    bare = {**results, "situations": [{**one, "curve": f"<{one['name']}>"} for one in results["situations"]]}
    text = json.dumps(bare, indent=2, ensure_ascii=False)
    for name, points in curves.items():
        text = text.replace(json.dumps(f"<{name}>", ensure_ascii=False), json.dumps(points))
    return text + "\n"


if __name__ == "__main__":
    main()
