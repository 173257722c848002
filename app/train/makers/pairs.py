"""From questions with passages to examples: distractors, refusals, and how users type.

Nothing is made up but refusals: a question is put to passages that do not answer it.
"""

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence

from app.train.makers.changes import changed
from app.train.makers.language import content_words, is_stop, sentences
from app.train.makers.records import Ask, Example, Passage, refusal
from app.train.read import Pair

_YES_NO = ("yes", "no", "maybe")
_SHORT_WORDS = 8  # a longer answer is asked for as a sentence
# Whose questions mean something only with their own passage: never put to another.
BOUND = frozenset(("scitldr", "subjqa", "qmsum", "strategyqa", "policyqa", "cosmosqa"))


def as_typed(question: str, draw: random.Random, share: float) -> str:
    """The question, at times in small letters, or without its words of no content."""
    kind = draw.random()
    if kind < share:
        return question.rstrip("?").lower()
    if kind < 1.8 * share:
        kept = [w for w in question.rstrip("?.").split() if not is_stop(w) or draw.random() < 0.15]
        if len(kept) >= 3:
            return " ".join(kept)
    return question


def carrying_sentence(
    texts: Sequence[str], question: str, answer: str, span: str = "", least: float = 0.45
) -> str | None:
    """The sentence of the texts that best carries the answer, or None where none does well.

    Scored by the share of the answer's content words in it, 0.3 times that of the question's, 0.6
    for the span word for word, less 0.0015 a word; it needs `least`, or 0.6 where a span is given.
    """
    wanted, asked = set(content_words(answer)), set(content_words(question))
    best, score = None, max(least, 0.6 if span else 0.0)
    for sentence in (s for text in texts for s in sentences(text)):
        if not 4 <= len(sentence.split()) <= 70:
            continue
        held = set(content_words(sentence))
        value = len(wanted & held) / max(1, len(wanted)) - 0.0015 * len(sentence.split())
        value += 0.3 * len(asked & held) / max(1, len(asked)) + (0.6 if span in sentence else 0.0)
        value -= 0.0 if span else 0.6
        if value >= score:
            best, score = sentence, value
    return best


def ask_of(
    pair: Pair, shown: Sequence[str], draw: random.Random, *, typed: float, long: float
) -> Ask:
    """What the reader should write for a pair: the carrying sentence first, mostly, then an answer.

    Args:
        pair: the question.
        shown: texts of the passages that the example shows.
        draw: for the style, the wording and whether evidence is written.
        typed: share of questions in small letters.
        long: share of long answers where there is a short one too.
    """
    question = as_typed(pair.question, draw, typed)
    if not pair.answerable or not (pair.answers or pair.long_answer):
        return refusal(question, "pair, none")
    style, answer = _answer(pair, draw, long)
    evidence = None
    if draw.random() < 0.85:
        evidence = _evidence(pair, [pair.gold_text] if pair.gold_text else shown)
    yes_no = bool(pair.answers) and pair.answers[0].lower() in _YES_NO
    if evidence is not None and not yes_no and draw.random() < 0.08:
        return Ask(question, "pair, evidence alone", evidence)
    kind = "pair, bullets" if style == "bullets" else "pair"
    return Ask(question, kind if evidence else f"{kind}, at once", evidence, style, answer)


def _answer(pair: Pair, draw: random.Random, long: float) -> tuple[str, str]:
    """Style and text of the answer to write."""
    if pair.long_answer and (not pair.answers or draw.random() < long):
        if pair.style == "bullets":
            return "bullets", pair.long_answer
        return "sentence", " ".join(sentences(pair.long_answer)[:2]) or pair.long_answer
    if pair.items and draw.random() < 0.5:
        return "bullets", "\n".join(f"- {item}" for item in pair.items[:8])
    short = pair.answers[0]
    return "short" if len(short.split()) <= _SHORT_WORDS else "sentence", short


def _evidence(pair: Pair, texts: Sequence[str]) -> str | None:
    short = pair.answers[0] if pair.answers else ""
    if short.lower() in _YES_NO:
        answer = pair.long_answer
        return carrying_sentence(texts, pair.question, answer, least=0.45 if answer else 0.15)
    return carrying_sentence(
        texts, pair.question, pair.long_answer or short, short if len(short) > 2 else ""
    )


def taken_away(pair: Pair, shown: Sequence[str], draw: random.Random, typed: float) -> Ask | None:
    """The question as one to refuse, unless an answer stands in what is shown after all."""
    if not pair.answerable:
        return None
    known = [answer.lower() for answer in pair.answers if len(answer) > 1]
    if any(answer in text.lower() for answer in known for text in shown):
        return None
    if pair.gold_text is not None and pair.gold_text in shown:
        return None
    return refusal(as_typed(pair.question, draw, typed), "pair, taken away")


def grouped(pairs: Sequence[Pair]) -> dict[str, list[Pair]]:
    """Pairs by the text of the passage that answers, or of their first one."""
    groups: defaultdict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        groups[pair.gold_text or pair.passages[0][1]].append(pair)
    return dict(groups)


def question_examples(
    pairs: Sequence[Pair],
    draw: random.Random,
    *,
    repeats: float = 1.0,
    bound: bool = False,
    part: int = 0,
    parts: int = 1,
) -> Iterator[Example]:
    """Examples from a set of questions that mostly have one passage each.

    Args:
        pairs: the whole set: distractors come from all of it.
        draw: where every choice comes from.
        repeats: examples made of each passage, on average.
        bound: its questions mean nothing without their own passage.
        part: with `parts`, only every parts-th passage from this one on is asked about.
        parts: how many parts there are.
    """
    groups, by_title = grouped(pairs), defaultdict(list)
    texts = list(groups)
    for text in texts:
        by_title[_title(groups[text][0])].append(text)
    for text in texts[part::parts]:
        for _ in range(int(repeats) + (draw.random() < repeats % 1)):
            pair = draw.choice(groups[text])
            if len(pair.passages) > 1:
                yield _with_own_passages(pair, draw)
            else:
                near = by_title[_title(pair)] if _title(pair) else []
                asks = [] if bound else _strangers(near, groups, draw)
                yield _with_distractors(text, groups, near, asks, bound, draw)


def _title(pair: Pair) -> str:
    return pair.passages[pair.gold or 0][0]


def _with_own_passages(pair: Pair, draw: random.Random) -> Example:
    """All passages that are needed and about half of the others, at most eight, in any order."""
    needed = set(pair.needed) or set(range(len(pair.passages)))
    chosen = [i for i in range(len(pair.passages)) if i in needed or draw.random() < 0.5][:8]
    passages = [pair.passages[i] for i in draw.sample(chosen, len(chosen))]
    ask = ask_of(pair, [text for _, text in passages], draw, typed=0.06, long=0.35)
    return Example(tuple(passages), (ask,), made=False)


def _strangers(
    near: Sequence[str], groups: dict[str, list[Pair]], draw: random.Random
) -> list[Pair]:
    """In a quarter of cases a pair of another passage, mostly one of the same title."""
    if len(groups) < 2 or draw.random() >= 0.25:
        return []
    text = draw.choice(near) if near and draw.random() < 0.8 else draw.choice(list(groups))
    return [draw.choice(groups[text])]


def _with_distractors(
    text: str,
    groups: dict[str, list[Pair]],
    near: Sequence[str],
    strangers: Sequence[Pair],
    bound: bool,
    draw: random.Random,
) -> Example:
    """Up to five questions on one passage among up to three others, and strangers' to refuse."""
    others, every = set(), list(groups)
    for _ in range(draw.choice((0, 0, 1, 1, 2, 2, 3))):
        others.add(draw.choice(near) if near and draw.random() < 0.6 else draw.choice(every))
    texts = [text, *sorted(others - {text})]
    draw.shuffle(texts)
    passages: list[Passage] = [(_title(groups[t][0]), t) for t in texts]
    own = draw.sample(groups[text], min(len(groups[text]), draw.choice((1, 1, 2, 2, 3, 5))))
    asks = [ask_of(pair, [text], draw, typed=0.06, long=0.35) for pair in own]
    refused = [taken_away(pair, texts, draw, 0.06) for pair in strangers]
    if not bound and draw.random() < 0.4:
        refused.append(changed(draw.choice(own), texts, draw))
    asks += [ask for ask in refused if ask is not None]
    draw.shuffle(asks)
    return Example(tuple(passages), tuple(asks), made=False)


def paper_examples(
    pairs: Sequence[Pair], draw: random.Random, *, part: int = 0, parts: int = 1
) -> Iterator[Example]:
    """Examples from pairs that bring passages of their own paper as distractors.

    Answerable and unanswerable ones get the same numbers of passages: their count must tell
    nothing. In a sixth of cases the answering passage is taken away and others of its paper stay.
    """
    papers: defaultdict[str, dict[str, str]] = defaultdict(dict)
    groups: defaultdict[tuple[str, str], list[Pair]] = defaultdict(list)
    for pair in pairs:
        papers[pair.document].update({text: title for title, text in pair.passages})
        groups[pair.document, pair.gold_text or pair.passages[0][1]].append(pair)
    for document, text in list(groups)[part::parts]:
        todo = draw.sample(groups[document, text], len(groups[document, text]))
        while todo:
            count = draw.choice((1, 1, 2, 3, 4))
            batch, todo = todo[:count], todo[count:]
            yield _paper_example(batch, text, papers[document], pairs, draw)


def _paper_example(
    batch: Sequence[Pair],
    text: str,
    paper: dict[str, str],
    pairs: Sequence[Pair],
    draw: random.Random,
) -> Example:
    others = sorted({t for pair in batch for _, t in pair.passages} | set(paper))
    others = [t for t in draw.sample(others, len(others)) if t != text]
    count = draw.choice((0, 1, 1, 2, 2, 3, 3))
    texts, asks = [text, *others[:count]], []
    if others and draw.random() < 0.17:
        away = others[: count + 1]
        asks = [a for pair in batch[:2] if (a := taken_away(pair, away, draw, 0.12))]
        texts = away if asks else texts
    if not asks:
        asks = [ask_of(pair, [text], draw, typed=0.12, long=0.62) for pair in batch]
        if draw.random() < 0.3 and (none := changed(batch[0], texts, draw)):
            asks.append(none)
    passages: list[Passage] = [(paper[t], t) for t in texts]
    stranger = draw.choice(pairs)
    if draw.random() < 0.15 and stranger.document != batch[0].document:
        passages.append(stranger.passages[0])
    if draw.random() < 0.2:
        passages = [("", t) for _, t in passages]
    draw.shuffle(passages)
    draw.shuffle(asks)
    return Example(tuple(passages), tuple(asks), made=False)
