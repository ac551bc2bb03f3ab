"""The networks, by name, and their pretrained weights."""
