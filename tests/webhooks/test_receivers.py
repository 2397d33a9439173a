import pytest

from onecopy.webhooks.receivers import Receivers

NOW = 1_800_000_000.0


def test_places_grow_with_success() -> None:
    receivers = Receivers()
    rooms: list[int] = []
    for _ in range(5):
        rooms.append(receivers.room("a", NOW))
        receivers.learn("a", 200, None, NOW)
    assert rooms == [2, 4, 8, 16, 32]


def test_what_is_taken_is_not_there() -> None:
    receivers = Receivers()
    for _ in range(2):
        receivers.begin("a")
    assert (receivers.room("a", NOW), receivers.room("b", NOW)) == (0, 2)
    receivers.end("a")
    assert receivers.room("a", NOW) == 1


@pytest.mark.parametrize("status", [None, 429, 502, 503, 504])
def test_one_place_after_a_failure_to_answer(status: int | None) -> None:
    receivers = Receivers()
    receivers.learn("a", 200, None, NOW)
    receivers.begin("a")
    receivers.learn("a", status, None, NOW)
    assert receivers.room("a", NOW) == 0
    receivers.end("a")
    assert receivers.room("a", NOW) == 1
    receivers.learn("a", 500, None, NOW)
    assert receivers.room("a", NOW) == 2


def test_a_receiver_that_never_answers_is_asked_less_and_less() -> None:
    receivers = Receivers()
    now, pauses = NOW, list[float]()
    for _ in range(12):
        receivers.learn("a", None, None, now)
        pause = next(each for each in (0, 2, 4, 8, 16, 32, 60) if receivers.room("a", now + each))
        pauses.append(pause)
        now += pause
    assert pauses == [0, 0, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60]
    receivers.learn("a", 200, None, now)
    receivers.learn("a", None, None, now)
    assert receivers.room("a", now) == 1


def test_retry_after_pauses_a_receiver_that_is_busy() -> None:
    receivers = Receivers()
    receivers.learn("a", 503, 30.0, NOW)
    assert receivers.room("a", NOW + 29) == 0
    assert receivers.room("a", NOW + 30) == 1
    receivers.learn("b", 500, 30.0, NOW)
    assert receivers.room("b", NOW) == 4
    receivers.learn("c", 429, 9e9, NOW)
    assert receivers.room("c", NOW + 3600) == 1


def test_few_are_remembered() -> None:
    receivers = Receivers()
    receivers.begin("first")
    for number in range(12_000):
        receivers.begin(str(number))
        receivers.learn(str(number), 200, None, NOW)
        receivers.end(str(number))
    assert receivers.room("0", NOW) == 2
    assert receivers.room("11999", NOW) == 4
    assert receivers.room("first", NOW) == 1
