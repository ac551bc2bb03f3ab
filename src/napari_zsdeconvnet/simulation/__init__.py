"""Phantoms with a known ground truth, microscopes and cameras."""
