"""Layers of the viewer: read, made, restored."""
