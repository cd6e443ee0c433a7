"""Places that documents come from, each behind the same protocol."""
