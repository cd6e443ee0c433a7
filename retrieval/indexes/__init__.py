"""Passage indexes: `base` is the seam; one module per back end."""
