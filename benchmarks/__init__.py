"""Measurements of speed and of choices; never tests."""
