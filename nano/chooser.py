"""Seeded choices for the program generator: numbers, words, lists and names as people write them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
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
    "entry": ("v", "value", "val", "amount", "qty", "n", "entry"),
    "rows": ("rows", "matrix", "grid", "m", "table", "board", "mat", "lists"),
    "row": ("row", "r", "line", "cells", "sub"),
    "pair": ("pair", "p", "item", "entry", "tup", "record"),
    "other": ("other", "ys", "b", "second", "more", "list2", "right", "others"),
    "target": ("target", "x", "wanted", "value", "key", "goal", "needle"),
    "class": ("Counter", "Account", "Box", "Point", "Stack", "Queue", "Item", "Player", "Cart", "Timer", "Node",
              "Shape", "Person", "Car", "Light", "Robot", "Matrix", "Inventory", "Rectangle", "Wallet", "Temperature"),
    "object": ("obj", "thing", "it", "c", "a", "inst", "item", "me"),
    "attribute": ("value", "balance", "total", "level", "count", "size", "items", "amount", "state", "data"),
    "method": ("add", "step", "update", "put", "change", "increase", "push", "apply", "move", "grow"),
    "set": ("seen", "unique", "s", "visited", "known", "common", "letters", "group"),
    "error": ("e", "err", "error", "exc", "ex"),
    "constant": ("LIMIT", "BASE", "RATE", "MAX", "DEFAULT", "SIZE", "STEP", "BONUS", "FACTOR", "THRESHOLD", "N"),
    "low": ("lo", "low", "left", "start", "l", "begin"),
    "high": ("hi", "high", "right", "end", "r", "stop"),
    "middle": ("mid", "m", "middle", "center", "half"),
    "stack": ("stack", "st", "opened", "pile", "todo"),
    "queue": ("queue", "q", "waiting", "todo", "pending"),
    "generator": ("gen", "count_up", "numbers", "produce", "walk", "items_of", "steps", "each"),
    "tuple": ("t", "tup", "pair", "point", "record", "values"),
    "float": ("x", "price", "rate", "weight", "temp", "average", "length", "ratio"),
}  # fmt: skip

ROLES: dict[str, tuple[str, ...]] = {
    "n": ("int",), "t": ("total",), "cnt": ("counter",), "i": ("index",), "x": ("item",), "xs": ("list",),
    "out": ("newlist",), "s": ("str",), "ch": ("char",), "new": ("newstr",), "ws": ("words",), "w": ("word",),
    "d": ("dict",), "k": ("key",), "v": ("entry",), "flag": ("bool",), "f": ("function",), "g": ("helper",),
    "best": ("best",), "rows": ("rows",), "row": ("row",), "p": ("pair",), "q": ("other",), "target": ("target",),
    "cls": ("class",), "obj": ("object",), "attr": ("attribute",), "m": ("method",), "set": ("set",), "e": ("error",),
    "C": ("constant",), "lo": ("low",), "hi": ("high",), "mid": ("middle",), "st": ("stack",), "qu": ("queue",),
    "gen": ("generator",), "tup": ("tuple",), "fl": ("float",),
}  # fmt: skip
"""A slot of a template to the roles that its name may have."""

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

    def size(self, low: int, high: int) -> int:
        """How many items: mostly within the bounds, now and then up to twice as many."""
        return self.between(low, high * 2 if self.chance(0.12) else high)

    def nums(self, low: int = 2, high: int = 6) -> list[int]:
        """A list of numbers as people try them: small, large, with repeats, sorted, negative."""
        size = self.size(low, high)
        draw = self.random.random()
        if draw < 0.45:
            return [self.number() for _ in range(size)]
        if draw < 0.75:
            return [self.between(0, 9) for _ in range(size)]
        if draw < 0.85:
            return [self.between(-9, 20) for _ in range(size)]
        if draw < 0.93:
            return sorted(self.between(1, 40) for _ in range(size))
        if draw < 0.97:
            return [self.between(1, 10) * 10 for _ in range(size)]
        return [self.between(100, 1500) for _ in range(size)]

    def sample(self, low: int, high: int, count: int) -> list[int]:
        """Different numbers of a range, both ends included, in any order."""
        return self.random.sample(range(low, high + 1), count)

    def sample_of(self, options: Sequence[T], count: int) -> list[T]:
        """Different ones of the options, in any order."""
        return self.random.sample(options, count)

    def ordered(self, low: int = 3, high: int = 7, top: int = 30) -> list[int]:
        """Different numbers in order."""
        return sorted(self.sample(1, top, self.size(low, high)))

    def decimal(self, top: int = 20) -> float:
        """A number with one or two digits behind the point."""
        return self.pick(self.between(0, 10 * top) / 10, self.between(0, 2 * top) / 2, self.between(0, 100 * top) / 100)

    def decimals(self, low: int = 2, high: int = 4) -> list[float]:
        """A list of such numbers."""
        return [self.decimal() for _ in range(self.size(low, high))]

    def letters(self, low: int = 2, high: int = 8, alphabet: str = "abc") -> str:
        """A string of letters of an alphabet."""
        return "".join(self.of(alphabet) for _ in range(self.size(low, high)))

    def sentence(self, low: int = 2, high: int = 5) -> str:
        """Some words with blanks, sometimes with capitals, marks or digits."""
        words = [self.word() for _ in range(self.size(low, high))]
        text = " ".join(words)
        draw = self.random.random()
        if draw < 0.2:
            text = text.capitalize() + self.pick(".", "!", "?", "")
        elif draw < 0.3:
            text = text.title()
        elif draw < 0.4:
            text = text.replace(" ", self.pick(", ", "  ", "-", "_", ","), 1)
        elif draw < 0.5:
            text += f" {self.between(1, 99)}"
        return text

    def matrix(self, rows: int, columns: int, top: int = 9) -> list[list[int]]:
        """Rows of small numbers."""
        return [[self.between(0, top) for _ in range(columns)] for _ in range(rows)]

    def table(self, low: int = 1, high: int = 4, top: int = 20) -> dict[str, int]:
        """Words to numbers."""
        return {word: self.between(0, top) for word in self.words(low, high)}

    def pairs(self, low: int = 2, high: int = 4, top: int = 20) -> list[tuple[str, int]]:
        """Words with numbers."""
        return [(word, self.between(0, top)) for word in self.words(low, high)]

    def mostly(self, usual: T, other: T, probability: float = 0.8) -> T:
        """`usual` that often."""
        return usual if self.chance(probability) else other

    def reserve(self, names: Iterable[str]) -> None:
        """Give none of these names out."""
        self._used.update(names)

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
