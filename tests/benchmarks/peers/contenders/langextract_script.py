"""A script with LangExtract and its OpenAI provider, one document per row."""

# It runs in a separate environment, which has LangExtract.
# mypy: ignore-errors

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import langextract as lx
from job import Job
from langextract.factory import ModelConfig, create_model

CHARACTERS = 20_000
"""More than any row has, so that a row is one request."""

EXAMPLE = lx.data.ExampleData(
    text="Title: Notes on Engines | Ada Lovelace | ExampleConf 1843\nDescription: A talk about engines.",
    extractions=[
        lx.data.Extraction("title", "Notes on Engines"),
        lx.data.Extraction("presenter", "Ada Lovelace"),
    ],
)


def main() -> None:
    """Ask about every row, with limited concurrency."""
    job = Job()
    order = job.order
    config = ModelConfig(
        model_id=order["model"],
        provider="OpenAILanguageModel",
        provider_kwargs={"api_key": order["key"], "base_url": order["base_url"]},
    )
    model = create_model(config, examples=[EXAMPLE], use_schema_constraints=True)

    def ask(row: dict[str, str]) -> None:
        try:
            found = lx.extract(
                row["text"],
                prompt_description=order["instructions"],
                examples=[EXAMPLE],
                model=model,
                use_schema_constraints=False,  # the model has them already
                max_char_buffer=CHARACTERS,
                resolver_params={"suppress_parse_errors": False},
                show_progress=False,
            ).extractions
        except Exception as error:  # noqa: BLE001 -- whatever it is, the other rows continue
            job.failed(row["id"], f"{type(error).__name__}: {error}")
            return
        titles = [it.extraction_text for it in found or () if it.extraction_class == "title"]
        names = [it.extraction_text for it in found or () if it.extraction_class == "presenter"]
        if titles:
            job.finished(row["id"], titles[0], names)
        else:
            job.failed(row["id"], "no title among the extractions")

    with ThreadPoolExecutor(order["concurrency"]) as pool:
        job.ready()
        list(pool.map(ask, job.rows))
    job.done()


if __name__ == "__main__":
    main()
