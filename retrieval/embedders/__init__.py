"""Embedders: `base` is the seam, `opener` chooses; one module per back end."""
