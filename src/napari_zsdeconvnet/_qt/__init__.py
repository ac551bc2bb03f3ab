"""The rooms that know Qt and napari: one dock widget a file; no computing here."""
