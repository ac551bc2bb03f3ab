"""Networks applied to recordings of any size."""
