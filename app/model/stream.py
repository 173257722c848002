"""From token ids to text as it becomes known: whole characters only, and up to a stop string.

Knows no model; a tokenizer's `decode` is all it needs.
"""

from collections.abc import Iterable, Iterator, Sequence

from app.model.tokenizer import Tokenizer

_UNFINISHED = "\ufffd"  # what bytes that are no whole character decode to
_MOST_UNFINISHED = 3  # bytes of an unfinished character, and so tokens and U+FFFD at most


class TextStream:
    """Text of a growing list of ids, in pieces that join up to the text of all of them.

    A character that is spread over several tokens waits for its last one.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        # `_ids[:_read]` is told; decoding starts a little before, since the text of a token may
        # depend on the one in front of it.
        self._ids: list[int] = []
        self._start = self._read = 0
        self._shown = 0  # characters of the text after `_read` that are told as well

    def push(self, token: int) -> str:
        """The text that became certain with this token; may be empty."""
        self._ids.append(token)
        text = self._untold()
        held = len(text) - len(text.rstrip(_UNFINISHED))
        if len(self._ids) - self._read > _MOST_UNFINISHED:  # else all may become one character
            held = min(held, _MOST_UNFINISHED)
        told, self._shown = self._shown, max(self._shown, len(text) - held)
        piece = text[told : self._shown]
        if text and not held:
            self._settle()
        return piece

    def flush(self) -> str:
        """What is left at the end: bytes that never became a character, as U+FFFD."""
        piece = self._untold()[self._shown :]
        self._settle()
        return piece

    def _untold(self) -> str:
        """The text after `_read`."""
        return self._decode(self._start)[len(self._decode(self._start, self._read)) :]

    def _settle(self) -> None:
        self._start, self._read, self._shown = self._read, len(self._ids), 0

    def _decode(self, start: int, end: int | None = None) -> str:
        return self._tokenizer.decode(self._ids[start:end])


def stream_text(
    tokenizer: Tokenizer, tokens: Iterable[int], stop: Sequence[str] = ()
) -> Iterator[str]:
    """Pieces of text of `tokens`, up to but without the first stop string.

    What may still become a stop string is held back. The tokens after it are not asked for.

    Args:
        tokenizer: turns ids into text.
        tokens: ids, as `generate` gives them.
        stop: texts that end it; empty ones are ignored.
    """
    stop = [text for text in stop if text]
    stream, held = TextStream(tokenizer), ""
    for token in tokens:
        held += stream.push(token)
        ends = [at for text in stop if (at := held.find(text)) >= 0]
        if ends:
            if min(ends):
                yield held[: min(ends)]
            return
        safe = len(held) - _may_grow(held, stop)
        if safe:
            yield held[:safe]
            held = held[safe:]
    held += stream.flush()
    ends = [at for text in stop if (at := held.find(text)) >= 0]
    if rest := held[: min(ends)] if ends else held:
        yield rest


def _may_grow(text: str, stop: Sequence[str]) -> int:
    """Characters at the end of `text` that begin some stop string: `ab#` and `##` give 1."""
    return max(
        (n for s in stop for n in range(1, min(len(s), len(text) + 1)) if text.endswith(s[:n])),
        default=0,
    )
