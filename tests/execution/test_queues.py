from collections import Counter

import pytest

from onecopy.execution.queues import Queues


def _serve(queues: Queues, waiting: dict[str, int], claims: int, *, limit: int = 1) -> list[str]:
    """Claim as a store does, by the order of the queues; return which queue each job was of."""
    begun: list[str] = []
    for _ in range(claims):
        claimed: list[str] = []
        for name in queues.order():
            count = min(waiting[name], limit - len(claimed))
            waiting[name] -= count
            claimed += [name] * count
        queues.took(claimed)
        begun += claimed
    return begun


def test_plain_names_are_served_strictly_in_their_order() -> None:
    queues = Queues.parse(" urgent , default,")
    assert (queues.names, queues.weights) == (("urgent", "default"), ())
    assert _serve(queues, {"urgent": 2, "default": 2}, 4) == ["urgent"] * 2 + ["default"] * 2
    assert queues.order() == ["urgent", "default"]


def test_weights_are_the_ratio_of_the_jobs_that_begin_evenly_mixed() -> None:
    queues = Queues.parse("default:3, slow:1")
    begun = _serve(queues, {"default": 1000, "slow": 1000}, 12)
    assert "".join(name[0] for name in begun) == "dsdddsdddsdd"
    many = Queues.parse("a:5,b:3,c:1")
    assert Counter(_serve(many, dict.fromkeys("abc", 1000), 900)) == {"a": 500, "b": 300, "c": 100}


@pytest.mark.parametrize("limit", [2, 7, 100])
def test_the_ratio_holds_when_many_are_claimed_at_once(limit: int) -> None:
    queues = Queues.parse("a:5,b:3,c:1")
    begun = Counter(_serve(queues, dict.fromkeys("abc", 100_000), 9000 // limit, limit=limit))
    for name, share in (("a", 5 / 9), ("b", 3 / 9), ("c", 1 / 9)):
        assert abs(begun[name] - share * begun.total()) <= 2 * limit


def test_an_empty_queue_gives_its_turn_away_and_saves_nothing_up() -> None:
    queues = Queues.parse("a:5,b:3,c:1")
    waiting = {"a": 0, "b": 1000, "c": 1000}
    assert Counter(_serve(queues, waiting, 400)) == {"b": 300, "c": 100}
    waiting["a"] = 1000
    begun = Counter(_serve(queues, waiting, 90))
    assert all(abs(begun[name] - share) <= 1 for name, share in (("a", 50), ("b", 30), ("c", 10)))


def test_nothing_to_claim_changes_nothing() -> None:
    queues = Queues.parse("a:2,b:1")
    assert _serve(queues, {"a": 0, "b": 0}, 10) == []
    assert _serve(queues, {"a": 9, "b": 9}, 6) == ["a", "b", "a", "a", "b", "a"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "names no queue"),
        (" ,", "names no queue"),
        ("a b", "'a b' is no name"),
        (":3", "'' is no name"),
        ("a,b,a", "queue 'a' is there twice"),
        ("a:3,b", "give each queue a weight, or none: default:3,slow:1"),
        ("a:", "'' is no weight: a whole number from 1"),
        ("a:0", "'0' is no weight"),
        ("a:-1", "'-1' is no weight"),
        ("a:1.5", "'1.5' is no weight"),
        ("a:1:2", "'1:2' is no weight"),
    ],
)
def test_what_is_no_list_of_queues(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as raised:
        Queues.parse(text)
    assert "\n" not in str(raised.value)
