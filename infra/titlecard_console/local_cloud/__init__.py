"""The local cloud: MiniStack with the stack deployed in it."""
