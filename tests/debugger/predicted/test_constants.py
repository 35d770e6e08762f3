"""Values that cannot change by themselves."""

from __future__ import annotations

import ast

import pytest

from debugger.predicted.constants import Constants


def constants(source: str = "import math\nfrom collections import Counter\n") -> Constants:
    return Constants(ast.parse(source))


@pytest.mark.parametrize("text", ["3", "-1.5", "'a'", "b'a'", "None", "True", "(1, ('a', None))", "1j", "()", "inf"])
def test_numbers_strings_and_tuples_of_them_stay(text):
    assert constants().stays(text)


@pytest.mark.parametrize(
    "text", ["[1]", "([], 1)", "{}", "{1}", "<object>", "Counter({'a': 1})", "'a", "", "'" + "a" * 5000 + "'"]
)
def test_what_can_be_changed_in_place_or_is_no_whole_literal_may_not(text):
    assert not constants().stays(text)


@pytest.mark.parametrize(
    "source",
    [
        "class Score:\n    def __repr__(self):\n        return str(self.n)\n",
        "class Score:\n    __repr__ = lambda self: '3'\n",
        "setattr(Score, '__repr__', f)\n",
        "import numpy as np\n",
        "from . import scores\n",
        "from scores import Score\n",
        "scores = __import__('scores')\n",
    ],
)
def test_where_objects_may_look_like_numbers_nothing_is_sure(source):
    assert not constants(source).stays("3")
