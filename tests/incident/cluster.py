"""A Django-Q2 cluster that works on the videos, in its own environment: `python cluster.py`, with `$ORDER` set.

`ORDER` is the path of a JSON file: `database` (a path that is created), `url` (the provider's Responses API),
`requests` (the path of a JSON object: the body of the request about each video), `q_cluster` (Django-Q2's settings),
`one_by_one` (a task per video, instead of one for all of them), `patience` (the timeout of a request, in seconds).

The tasks keep nothing between two tries, as in the incident, and send each request once.
"""

# This file runs in its own environment, which has Django-Q2.
# mypy: ignore-errors

from __future__ import annotations

import json
import os
import urllib.request
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.core.management import call_command

order: dict[str, Any] = json.loads(Path(os.environ["ORDER"]).read_text(encoding="utf-8"))
requests: dict[str, str] = json.loads(Path(order["requests"]).read_text(encoding="utf-8"))


def ask(video: str) -> str:
    """Pay for one video."""
    request = urllib.request.Request(  # noqa: S310 -- the loopback provider's
        order["url"],
        data=requests[video].encode(),
        headers={"content-type": "application/json", "authorization": "Bearer sk-of-the-incident"},
    )
    with urllib.request.urlopen(request, timeout=order["patience"]) as answer:  # noqa: S310 -- likewise
        return str(json.load(answer)["output"][0]["content"][0]["text"])


def ask_all() -> list[str]:
    """The task of the incident: every video in one call."""
    return [ask(video) for video in requests]


def main() -> None:
    """Queue the work, and work on it until this process is killed."""
    settings.configure(
        SECRET_KEY="of the incident",  # noqa: S106 -- Django-Q2 signs its tasks with it
        USE_TZ=True,
        INSTALLED_APPS=["django_q"],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": order["database"],
                # Several processes write: they wait for each other instead of failing.
                "OPTIONS": {"timeout": 20, "transaction_mode": "IMMEDIATE", "init_command": "PRAGMA journal_mode=WAL"},
            }
        },
        Q_CLUSTER=order["q_cluster"],
    )
    django.setup()
    call_command("migrate", verbosity=0)
    from django_q.tasks import async_task  # noqa: PLC0415 -- needs Django to be set up

    if order["one_by_one"]:
        for video in requests:
            async_task("cluster.ask", video)
    else:
        async_task("cluster.ask_all")
    call_command("qcluster")


if __name__ == "__main__":
    main()
