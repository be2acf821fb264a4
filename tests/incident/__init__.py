"""A replay of the incident that Titlecard exists to prevent: `python -m tests.incident --help`.

A task looped over all videos in one call, timed out, was retried without a maximum, and paid for the same videos all
day. The replay runs it again on real Django-Q2, against a provider on loopback, then a repaired Django-Q2, then
Titlecard, with the same videos, the same requests byte by byte, and the same provider.
"""
