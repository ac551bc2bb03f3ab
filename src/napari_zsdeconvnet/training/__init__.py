"""Training on the noisy recording itself: pairs, losses, steps, early stopping."""
