"""The command `zsdeconvnet`."""
