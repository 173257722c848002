"""Tables of a calibration on cases: is the right sentence first, and what is declined."""

from collections.abc import Mapping, Sequence

from app.answer.calibration import Calibration, Rule
from app.evaluate import metrics
from app.evaluate.calibrate import ANSWERABLE, Case, place
from app.show.text import markdown_table

SIMILARITY = {"similarity": 1.0}


def evidence_table(
    known: Sequence[Case], ways: Mapping[str, Mapping[str, float]], shortlist: int
) -> str:
    """Right sentence first and among three, per cent, by set and way of ordering.

    Over questions with a right sentence to choose; the last column is the paired difference to
    the order by similarity, with its 95 % interval. `shortlist` holds for ways with costly signals.
    """
    lines = []
    for name, own in by_set(known).items():
        own = [case for case in own if any(case.right)]
        if not own:
            continue
        plain = firsts(own, SIMILARITY, shortlist)
        for way, weights in ways.items():
            order = Calibration(weights, shortlist)
            ranks = [place(case, order) for case in own]
            shares = [100 * metrics.share_within(ranks, k) for k in (1, 3)]
            found = firsts(own, weights, shortlist)
            mean, low, high = (100 * x for x in metrics.difference(found, plain))
            over = f"{mean:+.1f} ({low:+.1f} to {high:+.1f})"
            lines.append([name, str(len(own)), way, *(f"{x:.1f}" for x in shares), over])
    heads = ["set", "n", "sentences by", "first", "among three", "first over similarity (95 %)"]
    return markdown_table(heads, lines)


def firsts(known: Sequence[Case], weights: Mapping[str, float], shortlist: int) -> dict[str, float]:
    """1 for each case, by its id, in which a right sentence comes first, else 0."""
    order = Calibration(weights, shortlist)
    return {case.id: float(place(case, order) == 1) for case in known}


def rule_table(known: Sequence[Case], rules: Mapping[str, Rule]) -> str:
    """By set and rule: shares declined, and for each kind without an answer AUROC and F1."""
    lines = []
    for name, own in by_set(known).items():
        kinds: dict[str, list[Case]] = {}
        for case in own:
            kinds.setdefault(case.kind, []).append(case)
        wanted = kinds.pop(ANSWERABLE, [])
        for way, rule in rules.items():
            for kind, others in sorted(kinds.items()):
                if wanted:
                    lines.append([name, way, kind, *_against(rule, wanted, others)])
    heads = ["set", "rule", "against", "AUROC", "answerable declined", "others declined", "F1"]
    return markdown_table(heads, lines)


def _against(rule: Rule, wanted: Sequence[Case], others: Sequence[Case]) -> list[str]:
    good, bad = ([rule.score(case.question) for case in side] for side in (wanted, others))
    wrong, right = (sum(score < rule.threshold for score in side) for side in (good, bad))
    f1 = metrics.f1(right, wrong, len(bad))
    told = [
        f"{100 * n / len(side):.1f} % of {len(side)}" for n, side in ((wrong, good), (right, bad))
    ]
    return [f"{metrics.auroc(good, bad):.3f}", *told, f"{f1:.2f}"]


def by_set(known: Sequence[Case]) -> dict[str, list[Case]]:
    """The cases of each set, in the order in which the sets occur."""
    found: dict[str, list[Case]] = {}
    for case in known:
        found.setdefault(case.set, []).append(case)
    return found
