"""Evidence as an answer: sentences of real papers, with what should be left of them by hand."""

import pytest

from app.answer.trim import listed, plain, quotation, shorter


@pytest.mark.parametrize(
    ("sentence", "left"),
    [
        (
            "(ii) The CUDA kernels for mLSTM are not optimized, and therefore the current "
            "implementation is about 4 times slower than FlashAttention.",
            "The CUDA kernels for mLSTM are not optimized, and therefore the current "
            "implementation is about 4 times slower than FlashAttention.",
        ),
        (
            "We show in Appendix A.2, that replacing ft by f ′ t does neither change the output.",
            "Replacing ft by f ′ t does neither change the output.",
        ),
        ("For example, xLSTM[7:1] means seven to one.", "xLSTM[7:1] means seven to one."),
        ("However these functions involve the minimum.", "These functions involve the minimum."),
        (
            "More expressive than State Space Models (SSMs) (Merrill et al., 2024; Delétang et "
            "al., 2023).",
            "More expressive than State Space Models (SSMs).",
        ),
        ("It was introduced by Gers et al. (2000).", "It was introduced by Gers et al."),
        ("• We release models trained on the Pile (Gao et al., 2020).2", "We release models "
         "trained on the Pile."),
        ("Therefore, we stabilize gates with a state mt (Milakov & Gimelshein, 2018):", "We "
         "stabilize gates with a state mt."),
        ("We use BART-large [32], a pre-trained transformer [58, 59] with 400M parameters.", "We "
         "use BART-large, a pre-trained transformer with 400M parameters."),
        ("As shown in Table 4, LoRA matches the baseline (see left panel of Figure 2).", "LoRA "
         "matches the baseline."),
        # what looks like a reference and says something
        ("Values are taken equidistant in [3, 6].", "Values are taken equidistant in [3, 6]."),
        ("It leads to higher error, as reported in [10, 41].", "It leads to higher error, as "
         "reported in [10, 41]."),
        ("It has no links created after (Dec 2017).", "It has no links created after (Dec 2017)."),
        ("A threshold (typically 1.0) is a lower bound.", "A threshold (typically 1.0) is a lower "
         "bound."),
        ("We hypothesize that the change has a low rank.", "We hypothesize that the change has a "
         "low rank."),
        ("mLSTM is parallel.", "mLSTM is parallel."),
        ("However, a layer is linear.", "A layer is linear."),
        ("So far, we can answer: at least as far.", "So far, we can answer: at least as far."),
        ("", ""),
    ],
)  # fmt: skip
def test_only_what_points_elsewhere_goes(sentence, left):
    assert plain(sentence) == left


BEFORE = "Exponential activation functions can lead to large values that cause overflows."
AFTER = "Therefore, we stabilize gates with an additional state mt (Milakov & Gimelshein, 2018):"


def test_where_a_reason_is_asked_for_a_consequence_brings_its_cause():
    asked = "Why do the gates need to be stabilized?"
    both = f"{BEFORE} Therefore, we stabilize gates with an additional state mt."
    assert quotation([BEFORE, AFTER], 1, asked) == both
    alone = "We stabilize gates with an additional state mt."
    assert quotation([BEFORE, AFTER], 1, "What stabilizes the gates?") == alone
    assert quotation([AFTER], 0, asked) == alone, "nothing stands before it"
    assert quotation(["2.2 sLSTM", AFTER], 1, asked) == alone, "a heading is no cause"
    assert quotation([BEFORE.replace("large", "large " * 70), AFTER], 1, asked) == alone


def test_an_equation_belongs_to_the_sentence_that_it_broke_off():
    rule = "The covariance update rule (Sejnowski, 1977) for storing a key-value pair is"
    texts = [rule, "Ct = Ct−1 + vt k⊤ t . (18)", "We assume a layer-norm."]
    whole = "The covariance update rule for storing a key-value pair is Ct = Ct−1 + vt k⊤ t."
    assert quotation(texts, 0, "Which update rule is used?") == whole
    assert quotation([texts[2], texts[1]], 0, "What?") == "We assume a layer-norm."
    assert quotation([rule, texts[2]], 0, "What?").endswith("a key-value pair is.")


def test_a_colon_brings_the_numbered_items_after_it():
    texts = [
        "Despite their successes, LSTMs have three limitations:",
        "(i) Inability to revise storage decisions.",
        "We exemplify this via the Nearest Neighbor Search problem.",
        "(ii) Limited storage capacities.",
    ]
    whole = (
        "Despite their successes, LSTMs have three limitations: (i) Inability to revise storage "
    )
    whole += "decisions. (ii) Limited storage capacities."
    assert quotation(texts, 0, "Which limitations?") == whole
    assert quotation(texts[::2], 0, "Which limitations?").endswith("have three limitations.")
    longer = [*texts[:3], f"(ii) {'word ' * 70}."]
    assert quotation(longer, 0, "Which?").endswith("decisions.")


def test_shorter_forms_are_cut_at_commas_that_begin_or_end_a_clause():
    forms = shorter(
        "In our setting, the layer has 8 heads of equal size, which is the number used before."
    )
    assert set(forms) == {
        "The layer has 8 heads of equal size, which is the number used before.",
        "In our setting, the layer has 8 heads of equal size.",
        "The layer has 8 heads of equal size.",
    }
    listed = "The gates are the input gate, the forget gate, and the output gate."
    assert all(form.endswith("and the output gate.") for form in shorter(listed))
    assert shorter("The layer has 8 heads.") == []


@pytest.mark.parametrize(
    ("sentence", "items"),
    [
        (
            "It enriches the family by two members: (i) the new sLSTM with a scalar memory, and "
            "(ii) the new mLSTM, which is parallel.",
            ["The new sLSTM with a scalar memory.", "The new mLSTM, which is parallel."],
        ),
        (
            "Visits will check the following: the completeness of records; the accuracy of "
            "entries on CRFs; and the progress of recruitment.",
            [
                "The completeness of records.",
                "The accuracy of entries on CRFs.",
                "The progress of recruitment.",
            ],
        ),
        ("We replace it with (1) the token or (2) a random one.", ["The token.", "A random one."]),
        ("See case (ii) and then case (i) again.", None),
        ("One colon: and nothing else.", None),
        ("No list; but a mark.", None),
        ("A term f(x): a (i) b (ii) c.", None),
    ],
)
def test_a_list_inside_a_sentence_is_taken_apart(sentence, items):
    assert listed(sentence) == (items or [sentence])
