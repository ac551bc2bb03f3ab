"""The dock widgets for napari; they show what the package computes, and compute nothing."""
