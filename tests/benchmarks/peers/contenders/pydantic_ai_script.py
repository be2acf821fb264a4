"""A plain asyncio script with Pydantic AI at its defaults."""

# It runs in a separate environment.
# mypy: ignore-errors

from __future__ import annotations

import asyncio
import os

from desk import Desk
from pydantic import BaseModel
from pydantic_ai import Agent


class Talk(BaseModel):
    """The answer."""

    title: str
    presenters: list[str]


async def main() -> None:
    """Ask about every row, with limited concurrency."""
    desk = Desk()
    os.environ |= {"OPENAI_BASE_URL": desk.order["base_url"], "OPENAI_API_KEY": desk.order["key"]}
    agent = Agent(f"openai:{desk.order['model']}", output_type=Talk, instructions=desk.order["instructions"])
    gate = asyncio.Semaphore(desk.order["concurrency"])

    async def ask(row: dict[str, str]) -> None:
        async with gate:
            try:
                talk = (await agent.run(row["prompt"])).output
            except Exception as error:  # noqa: BLE001 -- whatever it is, the other rows go on
                desk.failed(row["id"], f"{type(error).__name__}: {error}")
            else:
                desk.finished(row["id"], talk.title, talk.presenters)

    desk.ready()
    await asyncio.gather(*map(ask, desk.rows))
    desk.done()


if __name__ == "__main__":
    asyncio.run(main())
