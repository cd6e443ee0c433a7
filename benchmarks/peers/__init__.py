"""Footnote beside other systems: same machine, same model, same chunk texts, one run."""
