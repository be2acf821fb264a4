"""A plain asyncio script with instructor at its defaults."""

# It runs in a separate environment, which has instructor.
# mypy: ignore-errors

from __future__ import annotations

import asyncio

import instructor
from job import Job
from openai import AsyncOpenAI
from pydantic import BaseModel


class Talk(BaseModel):
    """The answer."""

    title: str
    presenters: list[str]


async def main() -> None:
    """Ask about every row, with limited concurrency."""
    job = Job()
    order = job.order
    client = instructor.from_openai(AsyncOpenAI(api_key=order["key"], base_url=order["base_url"]))
    gate = asyncio.Semaphore(order["concurrency"])

    async def ask(row: dict[str, str]) -> None:
        messages = [
            {"role": "system", "content": order["instructions"]},
            {"role": "user", "content": row["prompt"]},
        ]
        async with gate:
            try:
                talk = await client.chat.completions.create(
                    model=order["model"], response_model=Talk, messages=messages
                )
            except Exception as error:  # noqa: BLE001 -- whatever it is, the other rows continue
                job.failed(row["id"], f"{type(error).__name__}: {error}")
            else:
                job.finished(row["id"], talk.title, talk.presenters)

    job.ready()
    await asyncio.gather(*map(ask, job.rows))
    job.done()


if __name__ == "__main__":
    asyncio.run(main())
