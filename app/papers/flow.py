"""Sentences that floats, footnotes and page breaks interrupt are brought together again.

It moves whole blocks and halves of words; it never drops a character.
"""

import re
from collections import Counter
from dataclasses import replace

from app.papers.clean import join_lines
from app.papers.layout import Block, Measures, ends_sentence


def finish_paragraphs(blocks: list[Block], usual: Measures, words: Counter[str]) -> list[Block]:
    """Bring together a paragraph that a footnote, a caption or a figure interrupts.

    The interrupting blocks come after it: nobody reads a footnote in the middle of a sentence.
    """
    result = list(blocks)
    i = 0
    while i < len(result):
        block = result[i]
        if block.kind == "prose" and abs(block.size - usual.size) < 0.4 and is_open(block.text):
            rest = continuation(result, i, usual)
            if rest is not None:
                text = join_lines(block.text, result[rest].text, words)
                result[i] = replace(block, text=text)
                del result[rest]
                continue
        i += 1
    return result


def mend_page_breaks(pages: list[list[Block]], words: Counter[str]) -> None:
    """Bring the second half of a word that is hyphenated over a page break to the first."""
    for blocks, following in zip(pages, pages[1:]):
        i = next((i for i in reversed(range(len(blocks))) if _is_running(blocks[i])), None)
        j = next((j for j in range(len(following)) if _is_running(following[j])), None)
        if i is None or j is None or not re.search(r"[^\W\d_]-$", blocks[i].text[-2:]):
            continue
        rest = re.match(r"[a-z]\S* ", following[j].text)
        if rest:
            text = join_lines(blocks[i].text, rest[0].strip(), words)
            blocks[i] = replace(blocks[i], text=text)
            following[j] = replace(following[j], text=following[j].text[rest.end() :])


def _is_running(block: Block) -> bool:
    return block.kind == "prose" and len(block.text.split()) > 7


def is_open(text: str) -> bool:
    """Whether a paragraph stops in the middle of a sentence."""
    return not ends_sentence(text) and len(text.split(None, 5)) > 4


def continuation(blocks: list[Block], i: int, usual: Measures) -> int | None:
    """Index of the block that goes on with the open paragraph `i`, past floats and footnotes."""
    for j in range(i + 1, len(blocks)):
        block = blocks[j]
        if block.kind == "heading":
            return None
        if block.kind == "prose" and abs(block.size - usual.size) < 0.4:
            goes = block.text[:1].islower() and len(block.text.split(None, 4)) > 3
            return j if goes else None
        if block.kind == "row" and j == i + 1:
            return None  # a displayed equation: the sentence goes on through it
    return None
