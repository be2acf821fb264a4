"""The use cases of the functions: ingest, parse, requeue, audit, publish."""
