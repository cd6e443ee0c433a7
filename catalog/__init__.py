"""The truth: files, vector stores, documents, chunks, jobs, keys and answer records."""
