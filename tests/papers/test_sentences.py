"""Sentences as a reader would mark them; `|` stands where one ends and the next begins."""

import pytest

from app.papers.sentences import split_sentences

CASES = [
    "Adam is used (Kingma et al., 2014).|We train for long.",
    "Gers et al. (2000) introduced it.|It helps.",
    "Is it so?|No.|This is it, as No. 5 shows.",
    "See Fig. 2 and Eq. (3) for it.|See Sec. 4.",
    "Many, i.e. all, and some, e.g. Llama, work.|Others do not.",
    "The value is 0.5.|It was 3.14 before.",
    "J. Schmidhuber and S. Hochreiter wrote it.|J.-P. Serre did not.",
    "It differs from [3].|Others use [4, 5].",
    "“It works.”|He left.",
    "Is it so?|Yes!|Good.",
    "We use xLSTM[7:1] here.|xLSTM is better.|sLSTM too.",
    "They are tanh.|ψ is used to squash.",
    "There are limits: (i) It is slow.|(ii) It is large.",
    "It fails. (see below) and stops.",
    "The first are shown in Appendix A.|We go on.",
    "It is based on the library.1|Because it is common, we omit it.",
    "2.1. Training Dataset",
    "From left to right: 1. The original.|2. The new one.",
    "The rule is Ct = Ct−1 + vt kt . (18)",
    "It costs approx. 5 s vs. 9 s on a GPU.|No. 5 was faster.",
    "We compare with LSTM, GRU, etc.|All are slower.",
    "A note (with a stop. Inside it) ends here.|Next.",
    "One line\n|Another line",
    "• Bullets are kept.|They may hold two.\n|• The next bullet.",
    "",
    "   ",
]


@pytest.mark.parametrize("case", CASES)
def test_sentences_end_where_a_reader_ends_them(case):
    wanted = [part.strip() for part in case.split("|") if part.strip()]
    text = case.replace("|", " ")
    assert [text[a:b] for a, b in split_sentences(text)] == wanted


@pytest.mark.parametrize("case", CASES)
def test_no_character_is_lost(case):
    text = case.replace("|", " ")
    spans = split_sentences(text)
    kept = "".join(text[a:b] for a, b in spans)
    assert "".join(kept.split()) == "".join(text.split())
    assert all(a < b for a, b in spans)
    assert spans == sorted(spans)
