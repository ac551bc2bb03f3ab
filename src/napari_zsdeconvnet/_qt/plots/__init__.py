"""Curves, spectra and pictures."""
