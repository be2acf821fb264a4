"""The contenders, their packages and their settings.

Each is a separate program, `MODULE.py ORDER`, in its own environment; Titlecard's runs in the project's. `job.py`
describes its input and output.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Contender:
    """One contender.

    Attributes:
        name: its name for people.
        module: the program, a file of this folder without its ending; empty if the race's own process answers.
        packages: the packages of its environment; none means that it runs in the project's.
        settings: its settings that are not defaults, for people.
        trail: where a failed row is found and what a person does with it, for people.
        restarted: whether its program is a single process that a supervisor restarts after a kill.
        tier: Titlecard's tier policy.
        rule: the name of the rule that answers without a model.
    """

    name: str
    module: str
    settings: str
    trail: str
    packages: tuple[str, ...] = ()
    restarted: bool = False
    tier: str = ""
    rule: str = ""


CONTENDERS = (
    Contender(
        "asyncio and Pydantic AI",
        "pydantic_ai_script",
        "Everything at its default. A semaphore holds the concurrency. Each answer is written to a file as it comes, "
        "and a restarted script skips what is in it.",
        "A line in the script's own file. To try again, a person deletes the line.",
        ("pydantic-ai-slim[openai]==2.68.0",),
        restarted=True,
    ),
    Contender(
        "asyncio and instructor",
        "instructor_script",
        "Everything at its default, which is Chat Completions with a tool. Semaphore, file and restart as above.",
        "The same.",
        ("instructor==1.17.0",),
        restarted=True,
    ),
    Contender(
        "LangExtract",
        "langextract_script",
        "Its OpenAI provider (Chat Completions with a schema made of one example), one document a row in a pool of "
        "threads, `max_char_buffer` above the longest row, `suppress_parse_errors` off, so that a parse error is not "
        "dropped silently. File and restart as above.",
        "The same. At its default it logs a warning for an answer that it cannot read, and returns nothing.",
        ("langextract[openai]==1.7.1",),
        restarted=True,
    ),
    Contender(
        "Django-Q2 (repaired)",
        "django_q2",
        "ORM broker on SQLite, one task a video, `max_attempts` 3, `timeout` 9 s and `retry` 12 s (a tenth of 90 and "
        "120), `queue_limit` the concurrency, a worker process for every concurrent request, which sends each request "
        "once with the standard library.",
        "A failed task in the admin, with its traceback; the admin can send it again.",
        ("django==5.2.19", "django-q2==1.11.1"),
    ),
    Contender(
        "Celery",
        "celery_tasks",
        "Filesystem broker and result backend, prefork pool with a process for every concurrent request, `acks_late`, "
        "`reject_on_worker_lost`, `worker_prefetch_multiplier` 1, `autoretry_for` connection errors, 429 and 5xx, "
        "`retry_backoff` with jitter, `max_retries` 3. Requests as with Django-Q2.",
        "The state FAILURE with a traceback in the result backend, for a day, and a line in the worker's log. Celery "
        "itself keeps no list of failed tasks to work through, and has no command that sends one again.",
        ("celery==5.7.0",),
    ),
    Contender(
        "RubyEvents' title rules",
        "",
        "The rules of `YouTube::VideoMetadata`: the event's name goes, the rest is split at the last ` by `. It is "
        "given the event's name as the titles spell it.",
        "It never fails: a wrong talk looks like a right one.",
        rule="rubyevents",
    ),
    Contender(
        "separator split",
        "",
        "The title is split at ` - `, ` | `, ` by ` and the like. The part that looks like names, two or three "
        "capitalised words each, is the presenters.",
        "The same.",
        rule="split",
    ),
    Contender(
        "Titlecard (cascade)",
        "titlecard_stack",
        "The template on the local cloud, two parsers with ten messages each. Times are shortened: request deadline "
        "8 s, parser time-out 20 s, visibility 120 s (six times that, AWS's rule; 720 s as shipped), back-off 2 s.",
        "A dead letter with its cause, charge and history: `titlecard dlq`, `dlq show`, `dlq redrive --cause`. An "
        "answer that is no talk leaves the local tier's talk, flagged for review.",
        tier="auto",
    ),
    Contender(
        "Titlecard (model tier alone)",
        "titlecard_stack",
        "The same, with `TierPolicy` model.",
        "The same.",
        tier="model",
    ),
)
