"""OpenAI's objects: request models, and functions that turn rows into response objects."""
