"""Measuring quality: data sets, metrics, runs and their reports."""
