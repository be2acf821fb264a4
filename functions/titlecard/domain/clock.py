"""The tolerated clock error. Every tolerance for times written by different machines derives from it.

AWS refuses a request signed with a clock that is more than five minutes off (IAM user guide, "Troubleshooting Signature
Version 4"), so every worker that can write has a smaller error. The clocks of two workers may differ by twice as much.
"""

CLOCK_ERROR_SECONDS = 300
"""The largest error of a worker's clock with which AWS accepts its requests, in seconds."""

CLOCKS_APART_SECONDS = 2 * CLOCK_ERROR_SECONDS
"""The largest difference between the clocks of two workers, in seconds."""
