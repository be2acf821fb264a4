"""A plain asyncio script with Pydantic AI at its defaults."""

# It runs in a separate environment.
# mypy: ignore-errors

from __future__ import annotations

import asyncio
import os

from job import Job
from pydantic import BaseModel
from pydantic_ai import Agent


class Talk(BaseModel):
    """The answer."""

    title: str
    presenters: list[str]


async def main() -> None:
    """Ask about every row, with limited concurrency."""
    job = Job()
    os.environ |= {"OPENAI_BASE_URL": job.order["base_url"], "OPENAI_API_KEY": job.order["key"]}
    agent = Agent(f"openai:{job.order['model']}", output_type=Talk, instructions=job.order["instructions"])
    gate = asyncio.Semaphore(job.order["concurrency"])

    async def ask(row: dict[str, str]) -> None:
        async with gate:
            try:
                talk = (await agent.run(row["prompt"])).output
            except Exception as error:  # noqa: BLE001 -- whatever it is, the other rows continue
                job.failed(row["id"], f"{type(error).__name__}: {error}")
            else:
                job.finished(row["id"], talk.title, talk.presenters)

    job.ready()
    await asyncio.gather(*map(ask, job.rows))
    job.done()


if __name__ == "__main__":
    asyncio.run(main())
