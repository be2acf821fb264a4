"""The domain: videos, batches, talks, money and text. Pure: it does no input or output."""
