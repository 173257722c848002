"""The one error that a model folder, a state file or a request for a device can raise.

No checks: those stand where the files are read.
"""


class ModelError(ValueError):
    """What was given cannot be used; the message names the file, tensor or key and the way out."""


def listed(names: list[str], most: int = 5) -> str:
    """The first few names in order, then how many more: `a, b and 3 more`."""
    shown = ", ".join(sorted(names)[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
