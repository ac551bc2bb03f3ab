"""A trained model: its file, its origin, and the folder of kept models."""
