"""What knows nothing of microscopy: errors, whole files, memory, devices, tiles."""
