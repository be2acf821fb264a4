"""How wrong a clock may be. Every tolerance of times that different machines have written follows from this one number.

AWS refuses requests that are signed with a clock which is more than five minutes off (IAM user guide, "Troubleshooting
Signature Version 4"), so a worker that can write anything has a clock that is less wrong than that. Two of them may
differ by twice as much.
"""

CLOCK_ERROR_SECONDS = 300
"""The most by which the clock of a worker is wrong whose requests AWS takes."""

CLOCKS_APART_SECONDS = 2 * CLOCK_ERROR_SECONDS
"""The most by which the clocks of two such workers differ."""
