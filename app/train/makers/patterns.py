"""Asks from sentences of a known form: definitions, reasons, what authors say they do."""

import random
import re
from collections.abc import Sequence

from app.train.makers.language import between, capitalised, is_stop
from app.train.makers.records import Ask

_DEFINITION = re.compile(
    r"^(?:(?:An?|The)\s+)?([A-Za-z][\w\-]*(?:\s+[\w\-]+){0,3}?)\s+(is|are|was|were)\s+"
    r"(?:an?|the|one|used|defined|called|known|responsible)\b.{15,}$"
)
_REASON = re.compile(r"^([A-Z].{20,150}?)[,;]?\s+(because|since|due to)\s+(.{12,200})$")
_CONTRIBUTION = re.compile(
    r"^(?:We|The authors|This paper|This work|This article|This study|The paper)\s+"
    r"(propose|present|introduce|describe|show|develop|investigate|study|report)(?:s|ies)?\s.{15,}$"
)


def definition(sentences: Sequence[str], draw: random.Random) -> Ask | None:
    """What something is, by a sentence that begins with it and says so."""
    found = [(s, m) for s in between(sentences, 6, 50) if (m := _DEFINITION.match(s))]
    found = [(s, m) for s, m in found if not is_stop(m[1].split()[0])]
    if not found:
        return None
    sentence, match = draw.choice(found)
    form = draw.choice(("What {b} {x}?", "Define {x}.", "How {b} {x} described?", "{x}"))
    return Ask(form.format(b=match[2], x=match[1]), "definition", evidence=sentence)


def reason(sentences: Sequence[str], draw: random.Random) -> Ask | None:
    """Why, by a sentence that gives both the fact and its reason."""
    found = [(s, m) for s in between(sentences, 6, 50) if (m := _REASON.match(s))]
    if not found:
        return None
    sentence, match = draw.choice(found)
    fact = match[1]
    asked = f"Why is it that {fact[0].lower()}{fact[1:]}?"
    if draw.random() < 0.4:
        asked = f"{fact}. Why?"
    if draw.random() < 0.5:
        return Ask(asked, "reason", evidence=sentence)
    return Ask(asked, "reason", sentence, "sentence", capitalised(f"{match[2]} {match[3]}"))


def contribution(sentences: Sequence[str], draw: random.Random) -> Ask | None:
    """What the authors do, where exactly one sentence says it in that way."""
    found = [(s, m) for s in between(sentences, 6, 50) if (m := _CONTRIBUTION.match(s))]
    if len(found) != 1:
        return None
    sentence, match = found[0]
    form = draw.choice(("What do the authors {}?", "What does the paper {}?", "What do they {}?"))
    return Ask(form.format(match[1]), "contribution", evidence=sentence)
