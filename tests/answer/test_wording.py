"""What a reader wrote beside its evidence: true and twisted sentences of real answers."""

import pytest

from app.answer.wording import says_the_same, unprefixed

GATES = "In contrast to mLSTM, memory mixing of the sLSTM prohibits parallelizable operations, and "
GATES += "therefore does not allow a fast parallel implementation."
BLOCKS = "xLSTM[7:1] means that out of eight blocks, seven are mLSTM-based blocks and one is an "
BLOCKS += "sLSTM-based block."
SCALING = "The scaling laws indicate that larger xLSTM models will be serious competitors to "
SCALING += "current Large Language Models that are built with the Transformer technology."
SPEED = "Our 34-layer baseline has 3.6 billion FLOPs (multiply-adds), which is only 18% of VGG-19 "
SPEED += "(19.6 billion FLOPs)."
WHITENING = "Since the full whitening of each layer's inputs is costly and not everywhere "
WHITENING += "differentiable, we make two necessary simplifications."
ROLE = "Although the role of the convolutional layer is to detect local conjunctions, the role of "
ROLE += "the pooling layer is to merge similar features into one."
SMOOTHING = "This hurts perplexity, as the model learns to be more unsure, but improves accuracy."
ORDER = "In order to match this traversal, the target strings are entered in reverse order."
MODELS = "Their accuracy is higher than that of Llama, Mamba and RWKV."
RANK = "We hypothesize that the change in weights has a low rank, leading to our approach."
LOAD = "It can be built in a minute, if the cluster has few files."
BATCH = "Small batches may lead to noisy gradients, which slows training."

SAME = [
    (BLOCKS.replace("xLSTM[7:1] means", "It means"), BLOCKS, "What does xLSTM[7:1] mean?"),
    (
        "Larger xLSTM models will be serious competitors to current Large Language Models that "
        "are built with the Transformer technology.",
        SCALING,
        "What do the authors say about scaling?",
    ),
    (
        "The 34-layer baseline has 3.6 billion FLOPs, which is only 18% of VGG-19.",
        SPEED,
        "Is the baseline cheap?",
    ),
    (
        "The full whitening of each layer's inputs is costly and not everywhere differentiable.",
        WHITENING,
        "Why is full whitening avoided?",
    ),
    (
        "The role of the pooling layer is to merge similar features into one.",
        ROLE,
        "What is pooling for?",
    ),
    (
        "Label smoothing hurts perplexity, as the model learns to be more unsure, but improves "
        "accuracy.",
        SMOOTHING,
        "What effect does label smoothing have?",
    ),
    ("The target strings are entered in reverse order.", ORDER, "How are strings entered?"),
    ("Small batches may lead to noisy gradients.", BATCH, "What do small batches do?"),
    (GATES, GATES, "Why is the sLSTM slow?"),
]
TWISTED = [
    # the words of the evidence in another order
    (
        "In the mLSTM, memory mixing of the sLSTM prohibits parallelizable operations, so the "
        "implementation does not allow parallelization.",
        GATES,
        "Why can the mLSTM be computed in parallel but the sLSTM cannot?",
    ),
    (
        "In the sLSTM-based block, seven are mLSTM-based blocks and one is an sLSTM-based block.",
        BLOCKS,
        "How do sLSTM and mLSTM differ?",
    ),
    # a word of nobody's, a number of nobody's
    ("Larger xLSTM models will be serious competitors to humans.", SCALING, "And scaling?"),
    (SPEED.replace("3.6", "3.7"), SPEED, "Is the baseline cheap?"),
    # said twice, broken off, the question again
    (f"{MODELS[:-1]} and RWKV.", MODELS, "How accurate are they?"),
    ("The scaling laws indicate that larger xLSTM models will be", SCALING, "And scaling?"),
    ("Label smoothing has an effect.", SMOOTHING, "What effect does label smoothing have?"),
    # a number or a reason that is asked for, half of a list, half of two questions
    (
        "The 34-layer baseline has FLOPs, which is only 18% of VGG-19.",
        SPEED,
        "How many FLOPs does the baseline have?",
    ),
    ("The target strings are entered in reverse order.", ORDER, "Why are they reversed?"),
    ("Their accuracy is higher than that of Llama.", MODELS, "How accurate are they?"),
    (
        "The 34-layer baseline has 3.6 billion FLOPs.",
        SPEED,
        "Is the baseline cheap and how does it compare with VGG-19?",
    ),
    # a doubt, a condition, a negation, a relation that is made up
    ("The change in weights has a low rank.", RANK, "On what does it rest?"),
    ("It can be built in a minute.", LOAD, "What is fast?"),
    ("Small batches lead to noisy gradients.", BATCH, "What do small batches do?"),
    (
        "The full whitening of each layer's inputs is costly and everywhere differentiable.",
        WHITENING,
        "What is costly?",
    ),
    (
        "The full whitening of each layer's inputs is costly because not everywhere "
        "differentiable, we make two necessary simplifications.",
        WHITENING.replace("Since the", "The"),
        "What is costly?",
    ),
    # a bracket that is not closed, a clause without its sentence
    (
        "The 34-layer baseline has 3.6 billion FLOPs (multiply-adds, which is only 18% of VGG-19.",
        SPEED,
        "Is the baseline cheap?",
    ),
    ("Which slows training.", BATCH, "What do small batches do?"),
    ("", GATES, "Why?"),
]


@pytest.mark.parametrize(("written", "evidence", "question"), SAME)
def test_what_leaves_out_only_what_can_be_spared_says_the_same(written, evidence, question):
    assert says_the_same(written, evidence, question)


@pytest.mark.parametrize(("written", "evidence", "question"), TWISTED)
def test_what_twists_its_evidence_does_not(written, evidence, question):
    assert not says_the_same(written, evidence, question)


def test_a_yes_needs_more_than_the_evidence_and_a_no_needs_its_negation():
    works = "LSTM works well over a broad range of parameters."
    assert unprefixed("Yes, LSTM works well.", works) == "LSTM works well."
    assert unprefixed("No, it works well.", works) == "It works well."
    neither = "Identity shortcuts add neither parameters nor complexity."
    kept = "No, identity shortcuts add neither parameters nor complexity."
    assert unprefixed(kept, neither) == kept
    assert says_the_same(kept, neither, "Do shortcuts add cost?")
    assert unprefixed("Notably it works.", works) == "Notably it works."
