"""From passages to an answer with checked footnotes: prompts, generators, citations, the Answerer."""
