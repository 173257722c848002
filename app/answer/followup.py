"""A follow-up question made self-contained: the words that it leans on are carried over.

Rules on words only, English; no model is asked, and a question that stands alone is left as it is.
"""

import re
from dataclasses import dataclass

MOST_CARRIED = 8  # words; more would outweigh the new question
FEW = 2  # with fewer content words a question does not say what it is about

_WORD = re.compile(r"[^\W_]+(?:[-.'’][^\W_]+)*(?:\[[\d:]+\])?")
_TOKEN = re.compile(f"{_WORD.pattern}|[,;:]")
_CLAUSE = re.compile(r"[,;:.?!()“”\"]")
_STANDING_FOR = """
    it its itself they them their theirs these those he she his her him former latter ones
"""
_OPENING = re.compile(
    r"^\s*(?:and|but|or|so|then|also|what about|how about|what of|why not|how so|how come|"
    r"in what way|for example|such as|since when|really|compared? (?:to|with))\b",
    re.IGNORECASE,
)
# "this" and "that" stand for something where no noun follows, or where they point at one
_POINTING = re.compile(
    r"\b(?:this|that)\s*(?:$|[,;:.?!)])|"
    r"\b(?:do|does|did|is|was|are|were|can|could|will|would|should|has|have|of|to|than|with|from|"
    r"for|about|like|by|in|on|after|before|why|how)\s+(?:this|that)\b(?!\s+(?:paper|work|article|"
    r"study|authors?)\b)|^\s*(?:this|that)\b",
    re.IGNORECASE,
)
_OWNERS = frozenset({"its", "their", "his", "her", "itself"})
_CLAUSES = frozenset(
    {",", ";", ":", "and", "but", "or", "although", "though", "because", "since", "when", "while"}
    | {"if", "before", "after", "once", "until", "that", "which", "who", "for"}
)
_IT_TAKES = re.compile(r"\bit (?:takes?|took|costs?|possible|true|follows?)\b", re.IGNORECASE)
_WHAT_IS = re.compile(r"^\s*(?:what|who) (?:is|are|was|were) (?!the\b)", re.IGNORECASE)
_COMPARING = re.compile(
    r"\b(?:compar\w*|differ\w*|better|worse|faster|slower|larger|smaller|more|less|fewer|than|"
    r"versus|vs|against|instead|both|same|similar\w*|relat\w*)\b",
    re.IGNORECASE,
)
_SAYING_LITTLE = """
    a an the this that these those it its itself they them their theirs he she his her him we us our
    you your i me my one ones such former latter both there here
    is are was were be been being am do does did has have had having will would can could may might
    shall should must of in on at by for to from with as into onto over under between through during
    and or but if then than so either while which who whom whose what when where why how also only
    very more most much many some any each every other another own same not no yes all about above
    after again because before below down few further just nor off once out per too until up via
    s t re ve ll d m don doesn isn aren wasn didn like within without against across among along
    use used uses using make makes made give gives given get gets got take takes took show shows
    shown say says said tell tells mean means meant call called need needs needed help helps work
    works worked happen happens happened explain describe describes described compare compares
    compared comparison differ differs different difference differences better worse well good
    versus vs instead example really paper papers authors author article study section please
    introduce introduces introduced propose proposes proposed find finds found reveal reveals
    become becomes know known seem seems able kind type way ways thing things part parts reason
    main major important exactly long big large fast often now new
"""
_PRONOUNS, _PLAIN = frozenset(_STANDING_FOR.split()), frozenset(_SAYING_LITTLE.split())


@dataclass(frozen=True, slots=True)
class Followup:
    """A question as asked, what is searched for in its place, and the words carried over."""

    asked: str
    searched: str
    carried: tuple[str, ...] = ()


def self_contained(question: str, before: Followup | None) -> Followup:
    """The question with what it leans on from the one before it.

    Words are carried over where the question has a word that stands for another ("it", "those",
    "why is that"), where it opens as a continuation ("and", "what about"), or where it has fewer
    than two content words (but "what is pooling?" stands alone). They are the runs of content
    words of the question before, and what that one had carried over itself; a name ("sLSTM") stays
    behind where the new question puts another in its place ("and the mLSTM?"), unless the two are
    to be compared.

    Args:
        question: As asked.
        before: The question before it in the conversation; None for the first.
    """
    question = question.strip()
    if before is None or not leans(question):
        return Followup(question, question)
    own = {key(word) for word in content_words(question)}
    replaced = any(map(is_name, content_words(question))) and not _COMPARING.search(question)
    carried: list[str] = []
    for phrase in (*phrases(before.asked), *before.carried):
        words = [word for word in phrase.split() if not (replaced and is_name(word))]
        taken = own | {key(word) for each in carried for word in each.split()}
        fresh = [word for word in words if key(word) not in taken]
        if fresh and len(" ".join([*carried, *fresh]).split()) <= MOST_CARRIED:
            carried.append(" ".join(fresh))
    if not carried:
        return Followup(question, question)
    return Followup(question, f"{question} ({', '.join(carried)})", tuple(carried))


def leans(question: str) -> bool:
    """Whether a question needs the one before it to be understood.

    A word that stands for another may mean one of the same question, and does not count: in a
    later clause ("why are adapters slow although they are small?"), or as the owner of something
    ("what can a network do with its gates?"), after two content words.
    """
    if _OPENING.search(question) or _POINTING.search(question):
        return True
    content, clause = 0, False
    for word in _TOKEN.findall(_IT_TAKES.sub(" ", question)):
        small = word.casefold()
        inside = content >= FEW and (clause or small in _OWNERS)
        if small in _PRONOUNS and not inside:
            return True
        clause = clause or (content >= FEW and small in _CLAUSES)
        content += is_content(word)
    return content < FEW and not (content and _WHAT_IS.search(question))


def content_words(text: str) -> list[str]:
    """The words that say what a text is about, in order."""
    return [word for word in _WORD.findall(text) if is_content(word)]


def phrases(text: str) -> list[str]:
    """The runs of content words of a text, in order: what stands between other words and marks."""
    found: list[list[str]] = []
    for clause in _CLAUSE.split(text):
        run: list[str] = []
        for word in _WORD.findall(clause):
            if is_content(word):
                run.append(word)
            elif run:
                found.append(run)
                run = []
        if run:
            found.append(run)
    return [" ".join(run) for run in found]


def is_content(word: str) -> bool:
    """Whether a word says what a question is about: a name, a number, or none of the plain ones."""
    bare = re.sub(r"['’]\w+$", "", word)
    return bool(bare) and (is_name(bare) or bare.casefold() not in _PLAIN)


def is_name(word: str) -> bool:
    """Whether a word has a capital after its first letter, or a digit beside letters."""
    return any(letter.isupper() for letter in word[1:]) or (
        any(letter.isdigit() for letter in word) and any(letter.isalpha() for letter in word)
    )


def key(word: str) -> str:
    """The form in which words are compared: small letters, without a plural's s."""
    bare = re.sub(r"['’]\w+$", "", word).casefold()
    return bare[:-1] if len(bare) > 3 and bare.endswith("s") and not bare.endswith("ss") else bare
