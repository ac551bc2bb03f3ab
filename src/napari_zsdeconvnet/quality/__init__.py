"""Whether a result can be believed: checks, spectra, resolution, reference metrics."""
