"""Answers from passages: evidence first, then words, each sentence with the place that supports it.

It never opens a PDF and never lets the model write a citation.
"""
