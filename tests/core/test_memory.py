"""What stays loaded, what goes when there is no room, and what nobody ever loads twice."""

import gc
import threading
from dataclasses import dataclass, field

import numpy as np
import pytest

from backend.core.memory import MB, Memory
from backend.core.types import FloatArray
from backend.core.weighing import weigh


@dataclass(frozen=True)
class Model:
    """Weighs nothing by itself; the tests say what it will take."""

    name: str


@dataclass(frozen=True)
class State:
    """One project's arrays and the model that it shares."""

    model: Model
    arrays: tuple[FloatArray, ...] = field(default_factory=lambda: (np.zeros(MB // 4, np.float32),))


def load(memory: Memory[State], name: str, *, mb: int = 10) -> Model:
    return memory.model(name, lambda: Model(name), later=lambda _model: mb * MB)


def hold(memory: Memory[State], key: str, model: str = "embedder") -> None:
    memory.put(key, State(load(memory, model)))


def held(memory: Memory[State]) -> tuple[set[str], int]:
    """Projects, and the number of models."""
    return set(memory.states()), memory.usage().n["model"]


def test_the_state_that_was_used_least_recently_goes_first_and_the_shared_model_stays() -> None:
    memory: Memory[State] = Memory(12.5 * MB)
    hold(memory, "a")
    hold(memory, "b")
    assert memory.state("a") is not None
    hold(memory, "c")
    assert held(memory) == ({"a", "c"}, 1)
    assert memory.usage().evictions == {"state": 1, "model": 0}


def test_looking_at_all_states_is_no_use_of_any() -> None:
    memory: Memory[State] = Memory(12.5 * MB)
    hold(memory, "a")
    hold(memory, "b")
    memory.states()["a"]
    hold(memory, "c")
    assert held(memory)[0] == {"b", "c"}


def test_a_model_goes_once_no_state_uses_it() -> None:
    memory: Memory[State] = Memory(22 * MB)
    hold(memory, "russian", "e5")
    hold(memory, "english", "minilm")
    hold(memory, "german", "minilm")
    assert held(memory) == ({"english", "german"}, 1)
    assert memory.usage().evictions == {"state": 1, "model": 1}


def test_a_model_that_nobody_uses_goes_before_any_state() -> None:
    memory: Memory[State] = Memory(22 * MB)
    load(memory, "once, for a training")
    hold(memory, "a")
    hold(memory, "b")
    assert held(memory) == ({"a", "b"}, 1)


def test_a_project_that_is_larger_than_the_budget_is_served_all_the_same() -> None:
    memory: Memory[State] = Memory(MB // 2)
    hold(memory, "a")
    hold(memory, "b")
    assert held(memory) == ({"b"}, 1)
    assert memory.state("b") is not None


def test_what_a_request_still_uses_stays_valid_and_its_model_is_not_loaded_twice() -> None:
    memory: Memory[State] = Memory(0)
    hold(memory, "a", "e5")
    in_flight = memory.state("a")
    hold(memory, "b", "minilm")
    assert held(memory) == ({"b"}, 1)
    assert in_flight is not None
    assert load(memory, "e5") is in_flight.model
    del in_flight
    hold(memory, "b", "minilm")
    gc.collect()
    load(memory, "e5")
    assert memory.usage().loads == {"e5": 2, "minilm": 1}


def test_projects_that_load_at_the_same_time_share_one_load() -> None:
    memory: Memory[State] = Memory()
    begun, models = threading.Event(), []

    def slow() -> Model:
        begun.wait(5)
        return Model("e5")

    threads = [threading.Thread(target=lambda: models.append(memory.model("e5", slow))) for _ in range(4)]
    for thread in threads:
        thread.start()
    begun.set()
    for thread in threads:
        thread.join()
    assert len({id(model) for model in models}) == 1
    assert memory.usage().loads == {"e5": 1}


def test_while_a_model_loads_others_that_are_there_do_not_wait_for_it() -> None:
    memory: Memory[State] = Memory()
    hold(memory, "a", "minilm")
    begun, done = threading.Event(), threading.Event()

    def slow() -> Model:
        begun.set()
        done.wait(5)
        return Model("e5")

    loading = threading.Thread(target=lambda: memory.model("e5", slow))
    loading.start()
    assert begun.wait(5)
    assert memory.state("a") is not None
    assert load(memory, "minilm").name == "minilm"
    assert memory.usage().loads == {"minilm": 1}
    done.set()
    loading.join()


def test_a_load_that_fails_leaves_nothing_behind_and_is_tried_again() -> None:
    memory: Memory[State] = Memory()

    def broken() -> Model:
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        memory.model("e5", broken)
    assert memory.usage().loads == {}
    assert load(memory, "e5").name == "e5"


def test_projects_that_take_turns_in_too_little_room_each_stay_for_a_while() -> None:
    memory: Memory[State] = Memory(12.5 * MB, stay_s=60)
    for key in ("a", "b", "c"):
        assert memory.would_help(key)
        hold(memory, key)
    assert held(memory)[0] == {"a", "b", "c"}
    assert not memory.would_help("d")
    assert memory.would_help("a")


def test_there_is_room_for_another_as_long_as_the_largest_so_far_would_fit() -> None:
    memory: Memory[State] = Memory(12.5 * MB)
    hold(memory, "a")
    assert memory.room_for_another()
    hold(memory, "b")
    assert not memory.room_for_another()


def test_a_state_weighs_its_arrays_and_texts_once_and_not_what_it_shares() -> None:
    model, array = Model("e5"), np.zeros(1000, np.float32)
    state = State(model, (array, array))
    weight, uses = weigh([state, {"a text": "x" * 500}], {id(model): "e5"})
    assert uses == {"e5"}
    assert 4500 < weight < 6000
