"""Copying: which tokens get the bonus and which may come at all, worked out by hand."""

import torch

from app.model.copying import CopyBonus, OnlyRuns

TEXT = (5, 6, 7, 5, 6, 8, 6, 9)


def raised(ids, bonus=2.0):
    logits = torch.zeros(12)
    new = CopyBonus(TEXT, bonus)(logits, ids)
    assert not logits.any(), "the caller's logits stay as they are"
    return {i: value for i, value in enumerate(new.tolist()) if value}


def test_after_one_token_all_that_follow_it_are_likelier():
    assert raised([6]) == {7: 2.0, 8: 2.0, 9: 2.0}


def test_after_two_tokens_both_must_stand_before():
    assert raised([5, 6]) == {7: 2.0, 8: 2.0}
    assert raised([1, 2, 8, 6]) == {9: 2.0}


def test_nothing_is_likelier_at_the_start_at_the_end_and_after_other_tokens():
    assert raised([]) == raised([6, 9]) == raised([1]) == raised([7, 6]) == {}


def may_come(ids):
    runs = OnlyRuns([(5, 6, 7), (6, 7), (5, 8)], [(2, 3), (2,), (1, 2)], end=0)
    logits = torch.arange(12.0)
    new = runs(logits, ids)
    kept = new > -torch.inf
    assert torch.equal(new[kept], logits[kept])
    return kept.nonzero()[:, 0].tolist()


def test_only_starts_of_runs_may_come_first():
    assert may_come([]) == [5, 6]


def test_a_run_goes_on_to_its_end_or_to_a_stop():
    assert may_come([5]) == [0, 6, 8], "the third run may stop after one"
    assert may_come([5, 6]) == [0, 7]
    assert may_come([6]) == [7]
    assert may_come([5, 6, 7]) == may_come([6, 7]) == [0]
