"""Finding passages: embedders, passage indexes, lexical search, fusion, filters and the Searcher."""
