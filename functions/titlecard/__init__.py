"""Titlecard: clean titles and presenters' names for conference videos, at a bounded cost.

The library that the functions and the console share. Its core (`video`, `survey`, `manifest`, `local`, `grounding`,
`money`) is pure and imports no AWS; its rim (`catalog`, `ledger`, `uploads`, `queues`, `telemetry`) does.
"""
