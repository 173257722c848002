"""Finding passages: an index per paper on disk, a library in memory, one class per retriever."""
