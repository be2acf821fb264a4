"""The local cloud: the embedded AWS with the stack deployed in it."""
