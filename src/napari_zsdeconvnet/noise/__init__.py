"""The camera: its noise model, calibrations, bad pixels, maps, and re-corruption."""
