"""The whole way on a simulated image or volume whose truth is known: `zsdeconvnet demo`."""
