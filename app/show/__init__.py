"""Presentation: strings, numbers and spans in; HTML, Markdown or plain text out.

It never sees a record of the project, and never trusts a string that came from a paper.
"""
