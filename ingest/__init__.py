"""From bytes to published chunks: parsers, chunking, the pipeline and the worker."""
