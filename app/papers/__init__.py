"""Papers: finding, reading and cutting them; `fetch`, `read` and `chunk` hold what others call.

Knows nothing of the rest of the program and never imports torch.
"""
