"""The networks that see, one file each: plain modules with the parameter names of the released checkpoints."""
