"""Seeded choices for the program generator: numbers, words, lists and names as people write them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

NAMES: dict[str, tuple[str, ...]] = {
    "int": ("n", "a", "b", "c", "k", "m", "num", "value", "size", "limit", "step", "score", "price", "x", "y", "z", "p",
            "q", "age", "count", "amount", "base", "level", "points", "width", "height", "start", "days", "offset"),
    "total": ("total", "result", "acc", "s", "res", "out", "answer", "total_sum", "tally", "product", "ans", "t"),
    "counter": ("count", "cnt", "hits", "found", "steps", "c", "num", "matches", "counter", "times"),
    "index": ("i", "j", "k", "idx", "index", "pos"),
    "item": ("x", "v", "item", "num", "n", "value", "e", "el", "val", "number"),
    "list": ("xs", "nums", "items", "values", "numbers", "data", "arr", "lst", "a", "scores", "prices", "seq", "row"),
    "newlist": ("result", "out", "res", "ys", "kept", "output", "new", "acc", "found", "picked", "squares"),
    "str": ("s", "text", "word", "name", "line", "string", "msg", "phrase", "label", "title"),
    "char": ("ch", "c", "letter", "char", "x"),
    "newstr": ("out", "result", "res", "new", "built", "acc", "rev", "code"),
    "words": ("words", "names", "items", "parts", "tokens", "lines", "keys", "fruits", "tags"),
    "word": ("w", "word", "name", "item", "part", "t"),
    "dict": ("d", "counts", "table", "freq", "seen", "stock", "prices", "ages", "m", "scores", "mapping", "cache"),
    "key": ("k", "key", "name", "item"),
    "bool": ("ok", "found", "flag", "done", "valid", "is_big", "even"),
    "function": ("f", "compute", "process", "solve", "calc", "run", "work", "func", "update", "apply", "check",
                 "evaluate", "transform", "combine", "adjust", "measure", "handle", "convert"),
    "helper": ("helper", "g", "h", "square", "double", "add", "inc", "scale", "twice", "mix", "step_up", "clip",
               "shift"),
    "best": ("best", "largest", "biggest", "m", "top", "result", "current", "smallest", "least"),
}  # fmt: skip

WORDS = (
    "cat", "dog", "sun", "tree", "apple", "pear", "plum", "kiwi", "fig", "red", "blue", "green", "hello", "world",
    "ab", "abc", "aab", "abba", "level", "noon", "radar", "banana", "berry", "straw", "moon", "star", "book",
    "code", "python", "bug", "data", "list", "tea", "milk", "egg", "bread", "ann", "bob", "eve", "tom", "amy",
    "max", "hi", "yes", "no", "one", "two", "ten", "ox", "bee", "ant", "letter", "mississippi", "pepper", "kayak",
    "civic", "rotor", "a", "b", "z", "foo", "bar", "baz", "spam", "eggs", "cheese", "coffee", "window", "door",
    "summer", "queue", "stack", "tops", "stop",
)  # fmt: skip


class Chooser:
    """Choices from one seed; a name is given out once per program."""

    def __init__(self, seed: int) -> None:
        """Start the stream of choices that belongs to `seed`."""
        self.random = random.Random(seed)
        self._used: set[str] = set()

    def pick(self, *options: T) -> T:
        """One of the options."""
        return self.random.choice(options)

    def of(self, options: Sequence[T]) -> T:
        """One of the sequence's items."""
        return self.random.choice(options)

    def chance(self, probability: float) -> bool:
        """True that often."""
        return self.random.random() < probability

    def between(self, low: int, high: int) -> int:
        """A whole number, both ends included."""
        return self.random.randint(low, high)

    def number(self) -> int:
        """A number as people try them: mostly up to 20, sometimes two digits, seldom negative."""
        draw = self.random.random()
        if draw < 0.55:
            return self.between(0, 12)
        if draw < 0.82:
            return self.between(0, 20)
        if draw < 0.96:
            return self.between(10, 99)
        return -self.between(1, 12)

    def numbers(self, low: int = 2, high: int = 5) -> list[int]:
        """A short list of numbers."""
        return [self.number() for _ in range(self.between(low, high))]

    def digits(self, low: int = 2, high: int = 5, top: int = 9) -> list[int]:
        """A short list of small numbers, where equal ones are likely."""
        return [self.between(0, top) for _ in range(self.between(low, high))]

    def word(self, longest: int = 6) -> str:
        """A short word, sometimes with capitals or a made-up one."""
        if self.chance(0.25):
            letters = self.pick("abc", "abcde", "xyz", "aeiou", "abcdefghijklmnopqrstuvwxyz")
            text = "".join(self.of(letters) for _ in range(self.between(1, min(5, longest))))
        else:
            text = self.of([word for word in WORDS if len(word) <= longest])
        return text.capitalize() if self.chance(0.1) else text

    def words(self, low: int = 2, high: int = 4, longest: int = 5) -> list[str]:
        """A short list of short words."""
        return [self.word(longest) for _ in range(self.between(low, high))]

    def name(self, *roles: str) -> str:
        """An unused name that fits one of the roles."""
        options = [name for role in roles for name in NAMES[role] if name not in self._used]
        name = self.of(options) if options else f"{NAMES[roles[0]][0]}{len(self._used)}"
        self._used.add(name)
        return name

    def fresh(self, *names: str) -> str:
        """One of the names that is not yet used, and marks it as used."""
        options = [name for name in names if name not in self._used] or [f"{names[0]}{len(self._used)}"]
        name = self.of(options)
        self._used.add(name)
        return name
