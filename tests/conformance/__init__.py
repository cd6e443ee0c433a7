"""The official SDKs against a running Footnote, every exchange checked against OpenAI's own description of it."""
