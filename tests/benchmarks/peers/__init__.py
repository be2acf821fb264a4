"""A race of Titlecard and its peers: `python -m tests.benchmarks.peers --help`.

Every contender works on the same rows, asks the same loopback provider with the same latency, and is hit by the same
faults. What each of them finishes, loses, pays and takes stands in `../peers.md`, which the race writes.
"""
