"""Rerankers: `base` is the seam; one module per back end."""
