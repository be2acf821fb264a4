"""The incident that Titlecard exists because of, replayed: `python -m tests.incident --help`.

A task looped over all videos in one call, timed out, was tried again without any maximum, and paid for the same videos
all day. Here it does so again, on real Django-Q2, against a provider on loopback; so does Django-Q2 once repaired, and
so does Titlecard, with the same videos, the same requests byte by byte, and the same provider.
"""
