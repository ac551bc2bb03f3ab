"""The point spread function: from a file, from beads, or simulated."""
