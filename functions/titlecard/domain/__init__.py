"""The domain: videos, batches, talks, money and text. It does no input or output."""
