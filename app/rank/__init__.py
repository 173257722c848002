"""The ranker: which sentence of passages answers a question, by a small cross-encoder."""
