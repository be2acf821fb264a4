"""Logs as JSON lines and metrics as CloudWatch's embedded metric format, both by Powertools.

Titles, descriptions and names are never logged: they are strangers' text, and machines read logs. Rows are named by
batch and number.
"""

from __future__ import annotations

from aws_lambda_powertools import Logger, Metrics

logger = Logger()
metrics = Metrics()
