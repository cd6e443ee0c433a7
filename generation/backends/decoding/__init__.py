"""How a model in this process continues prompts: `base` is the seam; one module per way."""
