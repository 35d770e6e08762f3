from __future__ import annotations

import json

import pytest

from debugger.predicted.grammar import EntryGrammar, LocalsGrammar, ValueGrammar


def accepts(grammar, text):
    state = grammar.advance(grammar.start, text)
    return state is not None and state.done


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"n": "1"},
        {"n": "1", "s": "'abc'"},
        {"s": "'quotes \" and \\\\ and \\n'", "n": ".5x"[1:]},
        {"é": "'ü'", "n": "'\U0001f600'"},
    ],
)
def test_what_json_dumps_writes_is_accepted_in_any_pieces(values):
    grammar = LocalsGrammar(["n", "s", "é"])
    text = json.dumps(values)
    assert accepts(grammar, text)
    state = grammar.start
    for character in text:
        assert not state.done
        state = grammar.advance(state, character)
    assert state.done


@pytest.mark.parametrize(
    "text",
    [
        "{,",
        '{"m',
        '{"n":"',
        '{"n": 1',
        '{"n": ""',
        '{"n": "1", "n"',
        '{"n": "1" ',
        '{"n": "1"}}',
        '{"n": "\n',
        '{"n": "\\x',
        '{"n": "\\u12g',
        '{"n": "é',
        '{"n": ".."',
        '{"n": ".5',
    ],
)
def test_what_cannot_be_locals_is_refused(text):
    assert LocalsGrammar(["n", "s"]).advance(LocalsGrammar.start, text) is None


def test_known_names_come_back_in_their_order_before_new_ones():
    grammar = LocalsGrammar(["a", "b", "c", "d"], required=["c", "a"], unchanged=["c", "a"])
    assert accepts(grammar, '{"c": "..", "a": ".."}')
    assert accepts(grammar, '{"c": "1", "a": "..", "b": "2", "d": "3"}')
    assert not accepts(grammar, '{"a": ".."}')
    assert not accepts(grammar, '{"c": ".."}')
    assert not accepts(grammar, '{"c": "..", "b": "2", "a": ".."}')
    assert not accepts(grammar, "{}")


def test_removable_names_may_be_gone():
    grammar = LocalsGrammar(["a", "e", "z"], required=["a", "e"], removable=["e"], unchanged=["a", "e"])
    assert accepts(grammar, '{"a": ".."}')
    assert accepts(grammar, '{"a": "..", "e": ".."}')
    assert accepts(grammar, '{"a": "..", "z": "1"}')


def test_needed_names_have_to_come():
    grammar = LocalsGrammar(["a", "b", "c"], required=["a"], unchanged=["a"], needed=["c"])
    assert accepts(grammar, '{"a": "..", "c": "1"}')
    assert accepts(grammar, '{"a": "..", "b": "2", "c": "1"}')
    for text in ('{"a": ".."}', '{"a": "..", "b": "1"}', '{"c": "1"'):
        assert not accepts(grammar, text)


def test_fixed_values_come_back_as_they_were():
    quoted = "'it\\'s \"é\"'"
    grammar = LocalsGrammar([], required=["a", "b"], unchanged=["a"], fixed={"a": "12", "b": quoted})
    for a in ("..", "12"):
        text = json.dumps({"a": a, "b": quoted})
        assert accepts(grammar, text)
        assert all(grammar.advance(grammar.start, text[:end]) for end in range(len(text)))
    for text in ('{"a": "1"', '{"a": "123', '{"a": "."', '{"a": "3', '{"a": "", ', '{"a": "12", "b": "..'):
        assert grammar.advance(grammar.start, text) is None


def test_who_is_called_has_its_parameters_and_maybe_what_it_captured():
    grammar = EntryGrammar([(("a", "b"), ()), (("a", "c", "d"), {"c", "d"}), (("é",), ())])
    for text in ('{"a": "1", "b": "2"}', '{"a": "1"}', '{"a": "1", "d": "2"}', '{"a": "1", "c": "2", "d": "3"}'):
        assert accepts(grammar, text)
    assert accepts(grammar, '{"\\u00e9": "1"}')
    for text in ("{}", '{"b": "1"', '{"a": "1", "b": "2", "c', '{"a": "1", "d": "2", "c', '{"a": ".'):
        assert not accepts(grammar, text)


def test_who_has_no_parameters_is_called_with_nothing():
    grammar = EntryGrammar([((), ())])
    assert accepts(grammar, "{}")
    assert grammar.advance(grammar.start, '{"') is None


def test_unchanged_is_two_dots_and_nothing_else():
    grammar = LocalsGrammar(["n"], unchanged=["n"])
    for text in ('{"n": "."', '{"n": "...', '{"n": ".1'):
        assert grammar.advance(grammar.start, text) is None


def test_a_value_is_one_json_string():
    grammar = ValueGrammar()
    assert accepts(grammar, json.dumps("[1, 'é\"']"))
    assert grammar.advance(grammar.start, '"1""') is None
    assert grammar.advance(grammar.start, "1") is None
    assert not accepts(grammar, '"1')


def test_a_known_value_comes_whole():
    grammar = ValueGrammar("['é', \"it's\"]", whole=True)
    assert accepts(grammar, json.dumps("['é', \"it's\"]"))
    assert grammar.advance(grammar.start, '"1') is None
    assert not accepts(grammar, "\"['\\u00e9'\"")
    assert grammar.advance(grammar.start, json.dumps("['é', \"it's\"]")[:-1] + "]") is None


def test_an_exception_begins_as_all_do():
    grammar = ValueGrammar("(<class '")
    assert accepts(grammar, json.dumps("(<class 'KeyError'>, KeyError('\"'), <traceback object>)"))
    assert grammar.advance(grammar.start, '"3') is None
    assert grammar.advance(grammar.start, '"(<class "') is None
    assert not accepts(grammar, '""')
