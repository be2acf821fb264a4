"""What the functions do: ingest, parse, requeue, audit, publish."""
