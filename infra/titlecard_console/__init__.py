"""The operator's side of Titlecard, installed as `titlecard`: the local cloud, and the commands around the stack."""
