"""Ask your papers: retrieval compared side by side, answered by a local xLSTM.

Importing this loads nothing heavy: each public name is fetched on first use.
"""

import importlib
import os
from typing import Any

# Before any library reads them. Tracing would send questions and passages away, so it is off even
# where another project of the user's switched it on; HF_HUB_OFFLINE=0 allows a download asked for.
os.environ["LANGSMITH_TRACING"] = os.environ["LANGCHAIN_TRACING_V2"] = "false"
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Threads that wait for each other sleep: spinning on a core that another program wants made an
# answer ten times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

_HOMES = {
    "ChunkSettings": "app.papers.chunk",
    "PaperError": "app.papers.records",
    "find_papers": "app.papers.fetch",
    "find_papers_or": "app.papers.fetch",
    "read_paper": "app.papers.read",
    "Library": "app.retrieve.library",
    "load_embedder": "app.retrieve.embed",
    "load_reader": "app.answer.reader",
    "Chat": "app.answer.chat",
    "ask": "app.answer.answer",
    "compare": "app.answer.compare",
    "watch": "app.answer.live",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"app has no {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
