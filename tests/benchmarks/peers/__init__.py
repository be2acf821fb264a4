"""A race of Titlecard and its peers: `python -m tests.benchmarks.peers --help`.

All contenders work on the same rows, ask the same loopback provider with the same latency, and meet the same faults.
The race writes `../peers.md`, which says what each of them finishes, loses, pays and takes.
"""
