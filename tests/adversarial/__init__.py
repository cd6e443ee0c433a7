"""Attacks by documents, each with what an obedient generator makes of it; `python -m tests.adversarial` runs them."""
