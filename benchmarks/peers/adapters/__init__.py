"""One small program per system, each run by the interpreter of that system's own environment."""
