"""Functions that people really write, with names, constants, operators and arguments drawn anew each time."""

# Each idiom is a template and its slots; wrapped at 120 columns, templates can no longer be read as the code they make.
# ruff: noqa: E501
# fmt: off

from __future__ import annotations

from collections.abc import Callable

from nano.chooser import Chooser

Idiom = Callable[[Chooser], tuple[str, str]]
IDIOMS: dict[str, list[Idiom]] = {}
"""Kind to the idioms of that kind."""


def idiom(kind: str) -> Callable[[Idiom], Idiom]:
    """Register an idiom: a function from choices to source and call."""

    def register(function: Idiom) -> Idiom:
        IDIOMS.setdefault(kind, []).append(function)
        return function

    return register


@idiom("count")
def count_character(c: Chooser) -> tuple[str, str]:
    """Count a letter in a word."""
    f = c.fresh("count_letter", "count_char", "count", "count_letters", "occurrences")
    s, letter, n, ch = c.name("str"), c.fresh("letter", "target", "ch", "c", "char"), c.name("counter"), c.name("char")
    word = c.word(10)
    step = c.pick(f"{n} += 1", f"{n} += 1", f"{n} = {n} + 1")
    code = f"def {f}({s}, {letter}):\n    {n} = 0\n    for {ch} in {s}:\n        if {ch} == {letter}:\n            {step}\n    return {n}\n"
    return code, f"{f}({word!r}, {c.of(word + 'a')!r})"


@idiom("count")
def count_vowels(c: Chooser) -> tuple[str, str]:
    """Count letters of a set."""
    f, s, n, ch = c.fresh("count_vowels", "vowels", "count", "count_in"), c.name("str"), c.name("counter"), c.name("char")
    letters = c.pick("aeiou", "aeiou", "abc", "xyz", "aeo")
    call = f"{ch}.lower()" if c.chance(0.2) else ch
    code = f"def {f}({s}):\n    {n} = 0\n    for {ch} in {s}:\n        if {call} in {letters!r}:\n            {n} += 1\n    return {n}\n"
    return code, f"{f}({c.word(8)!r})"


@idiom("count")
def count_items(c: Chooser) -> tuple[str, str]:
    """Count the items that meet a condition."""
    f, xs, n, x = c.fresh("count_big", "count_even", "count_matches", "count_if"), c.name("list"), c.name("counter"), c.name("item")
    test = c.pick(f"{x} > {c.between(1, 12)}", f"{x} % {c.between(2, 4)} == 0", f"{x} < {c.between(3, 15)}", f"{x} == {c.between(0, 5)}")
    code = f"def {f}({xs}):\n    {n} = 0\n    for {x} in {xs}:\n        if {test}:\n            {n} += 1\n    return {n}\n"
    return code, f"{f}({c.numbers(2, 6)})"


@idiom("count")
def dict_count(c: Chooser) -> tuple[str, str]:
    """Count into a dict, in one of the usual ways."""
    f, s, d, ch = c.fresh("count_chars", "frequencies", "char_count", "tally", "histogram", "count"), c.name("str", "words"), c.name("dict"), c.name("char")
    body = c.pick(
        f"        {d}[{ch}] = {d}.get({ch}, 0) + 1\n",
        f"        if {ch} in {d}:\n            {d}[{ch}] += 1\n        else:\n            {d}[{ch}] = 1\n",
        f"        if {ch} not in {d}:\n            {d}[{ch}] = 0\n        {d}[{ch}] += 1\n",
    )
    argument = c.pick(c.word(6), c.words(2, 4, 4), c.digits(2, 5, 3))
    return f"def {f}({s}):\n    {d} = {{}}\n    for {ch} in {s}:\n{body}    return {d}\n", f"{f}({argument!r})"


@idiom("sum")
def sum_list(c: Chooser) -> tuple[str, str]:
    """Add up a list, plainly or with a small change."""
    f, xs, t, x = c.fresh("total", "sum_list", "add_all", "sum_all", "sum_values"), c.name("list"), c.name("total"), c.name("item")
    step = c.pick(f"{t} += {x}", f"{t} += {x}", f"{t} = {t} + {x}", f"{t} += {x} * {c.between(2, 3)}", f"{t} += {x} + {c.between(1, 5)}", f"{t} -= {x}")
    code = f"def {f}({xs}):\n    {t} = {c.pick(0, 0, 0, c.between(1, 10))}\n    for {x} in {xs}:\n        {step}\n    return {t}\n"
    return code, f"{f}({c.numbers(2, 6)})"


@idiom("sum")
def sum_range(c: Chooser) -> tuple[str, str]:
    """Add up a range, sometimes off by one."""
    f, n, t, i = c.fresh("sum_to", "sum_up_to", "triangle", "total", "accumulate"), c.name("int"), c.name("total"), c.name("index")
    over = c.pick(f"range({n})", f"range(1, {n} + 1)", f"range({n} + 1)", f"range(1, {n})", f"range({n}, 0, -1)")
    step = c.pick(f"{t} += {i}", f"{t} += {i}", f"{t} = {t} + {i}", f"{t} += {i} * {i}", f"{t} += {i} * {c.between(2, 4)}", f"{t} += {c.between(1, 5)}")
    code = f"def {f}({n}):\n    {t} = {c.pick(0, 0, 0, 1)}\n    for {i} in {over}:\n        {step}\n    return {t}\n"
    return code, f"{f}({c.between(1, 7)})"


@idiom("sum")
def sum_some(c: Chooser) -> tuple[str, str]:
    """Add up those that meet a condition."""
    f, xs, t, x = c.fresh("sum_even", "sum_odd", "sum_positive", "sum_if", "filtered_sum"), c.name("list"), c.name("total"), c.name("item")
    test = c.pick(f"{x} % 2 == 0", f"{x} % 2 == 1", f"{x} > {c.between(0, 10)}", f"{x} % 2", f"{x} != {c.between(0, 5)}")
    skip = c.chance(0.25)
    body = f"        if {test}:\n            continue\n        {t} += {x}\n" if skip else f"        if {test}:\n            {t} += {x}\n"
    return f"def {f}({xs}):\n    {t} = 0\n    for {x} in {xs}:\n{body}    return {t}\n", f"{f}({c.numbers(2, 6)})"


@idiom("sum")
def mean(c: Chooser) -> tuple[str, str]:
    """A mean with a guard for nothing."""
    f, xs, t, x = c.fresh("average", "mean", "avg"), c.name("list"), c.name("total"), c.name("item")
    slash = c.pick("/", "//", "//")
    guard = f"    if not {xs}:\n        return {c.pick('0', 'None')}\n" if c.chance(0.5) else ""
    code = f"def {f}({xs}):\n{guard}    {t} = 0\n    for {x} in {xs}:\n        {t} += {x}\n    return {t} {slash} len({xs})\n"
    return code, f"{f}({c.digits(2, 4, 12) if not guard or c.chance(0.85) else []})"


@idiom("product")
def factorial_loop(c: Chooser) -> tuple[str, str]:
    """A product over a range."""
    f, n, t, i = c.fresh("factorial", "fact", "product"), c.name("int"), c.name("total"), c.name("index")
    over = c.pick(f"range(1, {n} + 1)", f"range(2, {n} + 1)", f"range(1, {n})", f"range({n}, 0, -1)")
    return f"def {f}({n}):\n    {t} = 1\n    for {i} in {over}:\n        {t} *= {i}\n    return {t}\n", f"{f}({c.between(1, 6)})"


@idiom("product")
def power(c: Chooser) -> tuple[str, str]:
    """A power by repeated multiplication."""
    f, b, e, t = c.fresh("power", "pow_int", "raise_to"), c.fresh("base", "b", "x", "a"), c.fresh("exp", "n", "e", "times"), c.name("total")
    if c.chance(0.5):
        body = f"    for _ in range({e}):\n        {t} *= {b}\n"
    else:
        body = f"    while {e} > 0:\n        {t} = {t} * {b}\n        {e} -= 1\n"
    return f"def {f}({b}, {e}):\n    {t} = 1\n{body}    return {t}\n", f"{f}({c.between(1, 6)}, {c.between(0, 4)})"


@idiom("search")
def largest(c: Chooser) -> tuple[str, str]:
    """The largest or smallest of a list."""
    f, xs, m, x = c.fresh("find_max", "largest", "max_value", "find_min", "smallest", "biggest"), c.name("list"), c.name("best"), c.name("item")
    sign, start = c.pick("<", ">", ">"), c.pick(f"{xs}[0]", f"{xs}[0]", "0")
    over = c.pick(xs, xs, f"{xs}[1:]")
    return f"def {f}({xs}):\n    {m} = {start}\n    for {x} in {over}:\n        if {x} {sign} {m}:\n            {m} = {x}\n    return {m}\n", f"{f}({c.numbers(2, 6)})"


@idiom("search")
def linear_search(c: Chooser) -> tuple[str, str]:
    """Where a value stands in a list."""
    f, xs, t, i = c.fresh("find", "index_of", "search", "linear_search", "position"), c.name("list"), c.fresh("target", "x", "value", "wanted", "key"), c.name("index")
    values = c.digits(2, 5, 12)
    if c.chance(0.5):
        x = c.name("item")
        head, test = f"for {i}, {x} in enumerate({xs}):", f"{x} == {t}"
    else:
        head, test = f"for {i} in range(len({xs})):", f"{xs}[{i}] == {t}"
    target = c.of(values) if c.chance(0.8) else c.between(0, 12)
    return f"def {f}({xs}, {t}):\n    {head}\n        if {test}:\n            return {i}\n    return {c.pick('-1', '-1', 'None')}\n", f"{f}({values}, {target})"


@idiom("search")
def binary_search(c: Chooser) -> tuple[str, str]:
    """Binary search, in some programs with an error."""
    f, xs, t = c.fresh("binary_search", "bsearch", "search", "find"), c.name("list"), c.fresh("target", "x", "value", "key")
    lo, hi = c.pick(("lo", "hi"), ("left", "right"), ("low", "high"), ("l", "r"))
    m = c.fresh("mid", "m", "middle")
    values = sorted(c.random.sample(range(1, 30), c.between(3, 7)))
    sign, up, down = c.pick(("<=", "mid + 1", "mid - 1"), ("<=", "mid + 1", "mid - 1"), ("<", "mid + 1", "mid"), ("<", "mid + 1", "mid - 1"))
    end = f"len({xs})" if down == "mid" and c.chance(0.6) else f"len({xs}) - 1"
    code = (f"def {f}({xs}, {t}):\n    {lo} = 0\n    {hi} = {end}\n    while {lo} {sign} {hi}:\n        {m} = ({lo} + {hi}) // 2\n"
            f"        if {xs}[{m}] == {t}:\n            return {m}\n        {c.pick('elif', 'if')} {xs}[{m}] < {t}:\n            {lo} = {up.replace('mid', m)}\n"
            f"        else:\n            {hi} = {down.replace('mid', m)}\n    return -1\n")
    return code, f"{f}({values}, {c.of(values) if c.chance(0.8) else c.between(1, 30)})"


@idiom("search")
def contains(c: Chooser) -> tuple[str, str]:
    """Whether any or all items meet a condition."""
    f, xs, x = c.fresh("has_negative", "contains", "any_big", "all_small", "check_all", "is_valid"), c.name("list"), c.name("item")
    test = c.pick(f"{x} < 0", f"{x} > {c.between(3, 15)}", f"{x} == {c.between(0, 9)}", f"{x} % {c.between(2, 3)} == 0")
    first = c.pick("True", "False")
    return f"def {f}({xs}):\n    for {x} in {xs}:\n        if {test}:\n            return {first}\n    return {'False' if first == 'True' else 'True'}\n", f"{f}({c.numbers(2, 6)})"


@idiom("search")
def two_sum(c: Chooser) -> tuple[str, str]:
    """Two items that add up to a target."""
    f, xs, t = c.fresh("two_sum", "find_pair", "pair_sum"), c.name("list"), c.fresh("target", "t", "goal", "k")
    values = c.random.sample(range(1, 15), c.between(3, 4))
    if c.chance(0.5):
        d, i, x = c.fresh("seen", "index", "d"), c.fresh("i", "idx"), c.name("item")
        code = (f"def {f}({xs}, {t}):\n    {d} = {{}}\n    for {i}, {x} in enumerate({xs}):\n        if {t} - {x} in {d}:\n            return [{d}[{t} - {x}], {i}]\n"
                f"        {d}[{x}] = {i}\n    return {c.pick('[]', 'None')}\n")
    else:
        code = (f"def {f}({xs}, {t}):\n    for i in range(len({xs})):\n        for j in range(i + 1, len({xs})):\n            if {xs}[i] + {xs}[j] == {t}:\n"
                f"                return {c.pick('(i, j)', '[i, j]')}\n    return None\n")
    return code, f"{f}({values}, {sum(c.random.sample(values, 2)) if c.chance(0.8) else c.between(5, 25)})"


@idiom("strings")
def reverse_string(c: Chooser) -> tuple[str, str]:
    """Reverse a string by hand."""
    f, s, out, ch = c.fresh("reverse", "reverse_string", "backwards", "flip"), c.name("str"), c.name("newstr"), c.name("char")
    if c.chance(0.6):
        body = f"    for {ch} in {s}:\n        {out} = {c.pick(f'{ch} + {out}', f'{ch} + {out}', f'{out} + {ch}')}\n"
    else:
        i = c.fresh("i", "idx")
        body = f"    {i} = len({s}) - 1\n    while {i} >= 0:\n        {out} += {s}[{i}]\n        {i} -= 1\n"
    return f"def {f}({s}):\n    {out} = ''\n{body}    return {out}\n".replace("''", c.pick("''", '""')), f"{f}({c.word(6)!r})"


@idiom("strings")
def palindrome(c: Chooser) -> tuple[str, str]:
    """Whether a word reads the same from both ends."""
    f, s = c.fresh("is_palindrome", "palindrome", "check"), c.name("str")
    word = c.pick("level", "noon", "abba", "radar", "aba", "civic", "x", "abca", c.word(5), c.word(6))
    lo, hi = c.pick(("i", "j"), ("left", "right"), ("lo", "hi"))
    variant = c.between(0, 2)
    if variant == 0:
        body = f"    {lo}, {hi} = 0, len({s}) - 1\n    while {lo} < {hi}:\n        if {s}[{lo}] != {s}[{hi}]:\n            return False\n        {lo} += 1\n        {hi} -= 1\n    return True\n"
    elif variant == 1:
        body = f"    for {lo} in range(len({s}) // 2):\n        if {s}[{lo}] != {s}[-{lo} - 1]:\n            return False\n    return True\n"
    else:
        body = f"    {hi} = {s}[::-1]\n    return {s} == {hi}\n"
    return f"def {f}({s}):\n{body}", f"{f}({word!r})"


@idiom("strings")
def build_string(c: Chooser) -> tuple[str, str]:
    """Repeat, join, filter or change letters."""
    f, s, out, ch = c.fresh("build", "encode", "clean", "keep", "stretch", "mask", "spell"), c.name("str"), c.name("newstr"), c.name("char")
    letter = c.of("aeiost")
    body = c.pick(
        f"        {out} += {ch} * {c.between(2, 3)}\n", f"        {out} += {ch}.upper()\n", f"        {out} += {ch} + {c.pick('-', '.', ' ', ',')!r}\n",
        f"        if {ch} != {letter!r}:\n            {out} += {ch}\n", f"        if {ch} not in 'aeiou':\n            {out} += {ch}\n",
        f"        if {ch} in 'aeiou':\n            {out} += '*'\n        else:\n            {out} += {ch}\n",
        f"        {out} = {ch} + {out}\n", f"        if {ch} not in {out}:\n            {out} += {ch}\n")
    return f"def {f}({s}):\n    {out} = ''\n    for {ch} in {s}:\n{body}    return {out}\n", f"{f}({c.word(6)!r})"


@idiom("strings")
def join_words(c: Chooser) -> tuple[str, str]:
    """Put words together."""
    f, words, out, w = c.fresh("join", "join_words", "acronym", "initials", "sentence", "shout"), c.name("words"), c.name("newstr"), c.name("word")
    step = c.pick(f"{out} += {w}", f"{out} += {w}[0]", f"{out} += {w} + ' '", f"{out} += {w}[0].upper()", f"{out} = {out} + {w}[-1]", f"{out} += {w}.upper()")
    ending = c.pick(out, out, f"{out}.strip()", f"len({out})")
    return f"def {f}({words}):\n    {out} = ''\n    for {w} in {words}:\n        {step}\n    return {ending}\n", f"{f}({c.words(2, 4)})"


@idiom("strings")
def greeting(c: Chooser) -> tuple[str, str]:
    """Format a text."""
    f, name, n = c.fresh("greet", "describe", "label", "hello", "format_name", "show"), c.fresh("name", "who", "user", "person"), c.fresh("age", "n", "count", "score")
    text = c.pick(f'"Hello, " + {name}', f'f"Hello, {{{name}}}!"', f'f"{{{name}}} is {{{n}}}"', f'{name} + ": " + str({n})', f'f"{{{name}}}={{{n}}}"', f'f"Hi {{{name}.upper()}}"', f'"-" * {n} + {name}')
    if c.chance(0.4):
        out = c.name("newstr", "str")
        guard = c.pick(f"    if {n} > {c.between(2, 9)}:\n        {out} += '!'\n", f"    {out} = {out}.lower()\n", f"    {n} += {c.between(1, 5)}\n", f"    if not {name}:\n        return 'nobody'\n")
        return f"def {f}({name}, {n}):\n    {out} = {text}\n{guard}    return {out}\n", f"{f}({c.word().capitalize()!r}, {c.between(1, 9)})"
    extra = f"    if {n} == {c.between(0, 9)}:\n        return {name}\n" if c.chance(0.6) else f"    {n} = {n} * {c.between(2, 3)}\n"
    return f"def {f}({name}, {n}):\n{extra}    return {text}\n", f"{f}({c.word().capitalize()!r}, {c.between(0, 9)})"


@idiom("lists")
def transform(c: Chooser) -> tuple[str, str]:
    """Make a new list from an old one."""
    f, xs, out, x = c.fresh("squares", "double_all", "transform", "keep_even", "filter_list", "shifted"), c.name("list"), c.name("newlist"), c.name("item")
    value = c.pick(f"{x} * {x}", f"{x} * {c.between(2, 4)}", f"{x} + {c.between(1, 10)}", f"{x} - {c.between(1, 6)}", f"{x} % {c.between(2, 5)}", x)
    if value == x or c.chance(0.4):
        test = c.pick(f"{x} % 2 == 0", f"{x} > {c.between(1, 10)}", f"{x} not in {out}", f"{x} < {c.between(4, 15)}")
        body = f"        if {test}:\n            {out}.append({value})\n"
    else:
        body = f"        {out}.append({value})\n"
    return f"def {f}({xs}):\n    {out} = []\n    for {x} in {xs}:\n{body}    return {out}\n", f"{f}({c.numbers(2, 5)})"


@idiom("lists")
def running(c: Chooser) -> tuple[str, str]:
    """Running totals or differences."""
    f, xs, out, t, x = c.fresh("running_sum", "cumulative", "prefix_sums", "running_total"), c.name("list"), c.name("newlist"), c.name("total"), c.name("item")
    if c.chance(0.65):
        body = f"    {t} = 0\n    {out} = []\n    for {x} in {xs}:\n        {t} += {x}\n        {out}.append({t})\n"
    else:
        i = c.fresh("i", "k")
        body = f"    {out} = []\n    for {i} in range(1, len({xs})):\n        {out}.append({xs}[{i}] - {xs}[{i} - 1])\n"
    return f"def {f}({xs}):\n{body}    return {out}\n", f"{f}({c.digits(2, 4, 12)})"


@idiom("lists")
def bubble_sort(c: Chooser) -> tuple[str, str]:
    """Sort by swapping neighbours."""
    f, a = c.fresh("bubble_sort", "sort_list", "my_sort"), c.name("list")
    n = f"    n = len({a})\n" if c.chance(0.6) else ""
    size = "n" if n else f"len({a})"
    swap = c.pick(f"                {a}[j], {a}[j + 1] = {a}[j + 1], {a}[j]\n", f"                tmp = {a}[j]\n                {a}[j] = {a}[j + 1]\n                {a}[j + 1] = tmp\n")
    code = f"def {f}({a}):\n{n}    for i in range({size}):\n        for j in range({size} - {c.pick('i - 1', '1 - i', '1')}):\n            if {a}[j] > {a}[j + 1]:\n{swap}    return {a}\n"
    return code, f"{f}({c.random.sample(range(1, 13), c.between(2, 4))})"


@idiom("lists")
def swap_reverse(c: Chooser) -> tuple[str, str]:
    """Reverse or rotate a list in place."""
    f, a = c.fresh("reverse_list", "rotate", "flip", "swap_ends", "reverse_in_place"), c.name("list")
    values = c.numbers(2, 5)
    body = c.pick(
        f"    i, j = 0, len({a}) - 1\n    while i < j:\n        {a}[i], {a}[j] = {a}[j], {a}[i]\n        i += 1\n        j -= 1\n    return {a}\n",
        f"    first = {a}.pop(0)\n    {a}.append(first)\n    return {a}\n",
        f"    {a}[0], {a}[-1] = {a}[-1], {a}[0]\n    return {a}\n",
        f"    out = []\n    while {a}:\n        out.append({a}.pop())\n    return out\n",
        f"    out = []\n    for i in range(len({a}) - 1, -1, -1):\n        out.append({a}[i])\n    return out\n")
    return f"def {f}({a}):\n{body}", f"{f}({values})"


@idiom("lists")
def unique(c: Chooser) -> tuple[str, str]:
    """Remove repeats, or merge, or pair up."""
    f, xs, out, x = c.fresh("unique", "dedupe", "remove_duplicates", "distinct"), c.name("list"), c.name("newlist"), c.name("item")
    if c.chance(0.6):
        return f"def {f}({xs}):\n    {out} = []\n    for {x} in {xs}:\n        if {x} not in {out}:\n            {out}.append({x})\n    return {out}\n", f"{f}({c.digits(3, 6, 5)})"
    other = c.fresh("other", "ys", "b", "more")
    f = c.fresh("pairs", "add_lists", "zip_add", "dot")
    p, q = c.pick(("p", "q"), ("x1", "x2"), ("u", "w"))
    if c.chance(0.5):
        t = c.name("total")
        code = f"def {f}({xs}, {other}):\n    {t} = 0\n    for {p}, {q} in zip({xs}, {other}):\n        {t} += {p} * {q}\n    return {t}\n"
    else:
        code = f"def {f}({xs}, {other}):\n    {out} = []\n    for {p}, {q} in zip({xs}, {other}):\n        {out}.append({p} {c.pick('+', '-', '*', '+')} {q})\n    return {out}\n"
    size = c.between(2, 4)
    return code, f"{f}({[c.between(0, 9) for _ in range(size)]}, {[c.between(0, 9) for _ in range(size)]})"


@idiom("lists")
def nested_lists(c: Chooser) -> tuple[str, str]:
    """Rows of rows."""
    f, rows, row, out, x = c.fresh("flatten", "sum_rows", "row_sums", "grid_sum"), c.fresh("rows", "matrix", "grid", "m"), c.fresh("row", "r", "line"), c.name("newlist", "total"), c.name("item")
    values = [c.digits(1, 3) for _ in range(2)]
    variant = c.between(0, 2)
    if variant == 0:
        body = f"    {out} = []\n    for {row} in {rows}:\n        for {x} in {row}:\n            {out}.append({x})\n    return {out}\n"
    elif variant == 1:
        body = f"    {out} = 0\n    for {row} in {rows}:\n        for {x} in {row}:\n            {out} += {x}\n    return {out}\n"
    else:
        body = f"    {out} = []\n    for {row} in {rows}:\n        {out}.append({c.pick('sum', 'max', 'len', 'min')}({row}))\n    return {out}\n"
    return f"def {f}({rows}):\n{body}", f"{f}({values})"


@idiom("while")
def countdown(c: Chooser) -> tuple[str, str]:
    """Count down or up in steps."""
    f, n, t = c.fresh("countdown", "steps", "count_down", "loop", "reduce"), c.name("int"), c.name("counter", "total")
    step = c.between(1, 5)
    body = c.pick(
        f"    {t} = 0\n    while {n} > 0:\n        {n} -= {step}\n        {t} += 1\n    return {t}\n",
        f"    {t} = []\n    while {n} > 0:\n        {t}.append({n})\n        {n} -= {step}\n    return {t}\n",
        f"    {t} = 0\n    while {n} > 1:\n        {n} //= 2\n        {t} += 1\n    return {t}\n",
        f"    {t} = 1\n    while {t} < {n}:\n        {t} *= 2\n    return {t}\n",
        f"    {t} = 0\n    while {t} * {t} < {n}:\n        {t} += 1\n    return {t}\n",
        f"    {t} = 0\n    while True:\n        {t} += {step}\n        if {t} >= {n}:\n            break\n    return {t}\n")
    return f"def {f}({n}):\n{body}", f"{f}({c.between(2, 5 * step + 3)})"


@idiom("while")
def digits(c: Chooser) -> tuple[str, str]:
    """Take a number apart into digits."""
    f, n, t = c.fresh("digit_sum", "sum_digits", "reverse_number", "digits", "count_digits"), c.fresh("n", "num", "number", "x"), c.name("total")
    body = c.pick(
        f"    while {n} > 0:\n        {t} += {n} % 10\n        {n} //= 10\n", f"    while {n}:\n        {t} = {t} * 10 + {n} % 10\n        {n} = {n} // 10\n",
        f"    while {n} > 0:\n        {t} += 1\n        {n} //= 10\n", f"    for d in str({n}):\n        {t} += int(d)\n",
        f"    while {n} > 0:\n        digit = {n} % 10\n        {t} += digit\n        {n} = {n} // 10\n")
    return f"def {f}({n}):\n    {t} = 0\n{body}    return {t}\n", f"{f}({c.pick(c.between(1, 99), c.between(100, 999), c.between(1000, 9999))})"


@idiom("while")
def collatz(c: Chooser) -> tuple[str, str]:
    """The Collatz sequence."""
    f, n, t = c.fresh("collatz", "collatz_steps", "hailstone"), c.fresh("n", "x", "num"), c.fresh("steps", "count", "i")
    body = c.pick(f"        if {n} % 2 == 0:\n            {n} = {n} // 2\n        else:\n            {n} = 3 * {n} + 1\n", f"        if {n} % 2:\n            {n} = {n} * 3 + 1\n        else:\n            {n} //= 2\n")
    return f"def {f}({n}):\n    {t} = 0\n    while {n} != 1:\n{body}        {t} += 1\n    return {t}\n", f"{f}({c.pick(1, 2, 3, 4, 5, 6, 8, 10, 12, 13, 16, 20)})"


@idiom("while")
def gcd(c: Chooser) -> tuple[str, str]:
    """Greatest common divisor."""
    f = c.fresh("gcd", "common_divisor", "hcf")
    a, b = c.pick(("a", "b"), ("x", "y"), ("m", "n"), ("p", "q"))
    body = c.pick(f"    while {b}:\n        {a}, {b} = {b}, {a} % {b}\n    return {a}\n", f"    while {b} != 0:\n        r = {a} % {b}\n        {a} = {b}\n        {b} = r\n    return {a}\n",
                  f"    while {a} != {b}:\n        if {a} > {b}:\n            {a} -= {b}\n        else:\n            {b} -= {a}\n    return {a}\n",
                  f"    if {b} == 0:\n        return {a}\n    return {f}({b}, {a} % {b})\n")
    return f"def {f}({a}, {b}):\n{body}", f"{f}({c.between(2, 40)}, {c.between(2, 30)})"


@idiom("while")
def grow(c: Chooser) -> tuple[str, str]:
    """Savings, doubling and the like."""
    f, start, goal, t = c.fresh("years", "grow", "until", "weeks", "double_until"), c.fresh("start", "amount", "balance", "x"), c.fresh("goal", "target", "limit"), c.fresh("years", "n", "count", "weeks")
    step = c.pick(f"{start} *= 2", f"{start} += {c.between(2, 12)}", f"{start} = {start} + {c.between(2, 9)}", f"{start} += {t}")
    low = c.between(1, 9)
    return f"def {f}({start}, {goal}):\n    {t} = {c.pick(0, 1)}\n    while {start} < {goal}:\n        {step}\n        {t} += 1\n    return {t}\n", f"{f}({low}, {low + c.between(3, 30)})"


@idiom("branches")
def fizzbuzz(c: Chooser) -> tuple[str, str]:
    """Fizz buzz, for one number or a few."""
    f, n, out = c.fresh("fizzbuzz", "fizz_buzz", "fizz"), c.fresh("n", "i", "number"), c.name("newlist")
    a, b = c.pick((3, 5), (3, 5), (2, 3), (2, 5))
    chain = [(f"{n} % {a * b} == 0", "'FizzBuzz'"), (f"{n} % {a} == 0", "'Fizz'"), (f"{n} % {b} == 0", "'Buzz'")]
    if c.chance(0.25):
        chain = [chain[1], chain[2], chain[0]]
    if c.chance(0.5):
        body = "".join(f"    if {test}:\n        return {text}\n" for test, text in chain) + f"    return {c.pick(n, f'str({n})')}\n"
        return f"def {f}({n}):\n{body}", f"{f}({c.between(1, 31)})"
    body = "".join(f"        {'if' if index == 0 else 'elif'} {test}:\n            {out}.append({text})\n" for index, (test, text) in enumerate(chain))
    top = c.fresh("limit", "top", "stop", "m")
    return f"def {f}({top}):\n    {out} = []\n    for {n} in range(1, {top} + 1):\n{body}        else:\n            {out}.append({n})\n    return {out}\n", f"{f}({c.between(2, 6)})"


@idiom("branches")
def grade(c: Chooser) -> tuple[str, str]:
    """A chain of thresholds."""
    f, x = c.fresh("grade", "classify", "category", "size", "sign", "level"), c.fresh("score", "x", "n", "value", "temp", "age")
    top = c.pick(90, 20, 10, 65, 12)
    steps = sorted({top, top * 2 // 3, top // 3}, reverse=True)
    labels = c.pick(["'A'", "'B'", "'C'", "'D'"], ["'high'", "'mid'", "'low'", "'none'"], ["3", "2", "1", "0"], ["'big'", "'medium'", "'small'", "'tiny'"])
    sign = c.pick(">=", ">")
    if c.chance(0.5):
        body = "".join(f"    {'if' if i == 0 else c.pick('elif', 'if')} {x} {sign} {step}:\n        return {labels[i]}\n" for i, step in enumerate(steps)) + f"    return {labels[3]}\n"
    else:
        out = c.fresh("result", "label", "g", "kind")
        body = "".join(f"    {'if' if i == 0 else 'elif'} {x} {sign} {step}:\n        {out} = {labels[i]}\n" for i, step in enumerate(steps)) + f"    else:\n        {out} = {labels[3]}\n    return {out}\n"
    return f"def {f}({x}):\n{body}", f"{f}({max(0, c.of(steps) + c.between(-12, 12))})"


@idiom("branches")
def leap_year(c: Chooser) -> tuple[str, str]:
    """Leap years, triangles, clamps."""
    variant = c.between(0, 3)
    if variant == 0:
        f, y = c.fresh("is_leap", "leap_year", "leap"), c.fresh("year", "y")
        body = f"    if {y} % 400 == 0:\n        return True\n    if {y} % 100 == 0:\n        return False\n    return {y} % 4 == 0\n"
        return f"def {f}({y}):\n{body}", f"{f}({c.pick(1900, 2000, 2023, 2024, c.between(1990, 2030))})"
    if variant == 1:
        f, x, lo, hi = c.fresh("clamp", "clip", "limit"), c.fresh("x", "value", "n"), c.fresh("lo", "low", "minimum"), c.fresh("hi", "high", "maximum")
        body = f"    if {x} < {lo}:\n        return {lo}\n    {c.pick('if', 'elif')} {x} > {hi}:\n        return {hi}\n    return {x}\n"
        low = c.between(0, 9)
        return f"def {f}({x}, {lo}, {hi}):\n{body}", f"{f}({c.number()}, {low}, {low + c.between(1, 10)})"
    if variant == 2:
        f = c.fresh("max_of_three", "largest", "max3", "middle")
        body = f"    if a >= b and a >= c:\n        return a\n    elif b >= {c.pick('c', 'a and b >= c')}:\n        return b\n    else:\n        return c\n"
        return f"def {f}(a, b, c):\n{body}", f"{f}({c.number()}, {c.number()}, {c.number()})"
    f, x = c.fresh("absolute", "sign", "abs_value", "distance"), c.fresh("x", "n", "value")
    y = c.fresh("y", "other", "b")
    body = c.pick(f"    {x} = {x} - {y}\n    if {x} < 0:\n        {x} = -{x}\n    return {x}\n", f"    if {x} > {y}:\n        return {x} - {y}\n    return {y} - {x}\n", f"    d = {x} - {y}\n    return d if d >= 0 else -d\n")
    return f"def {f}({x}, {y}):\n{body}", f"{f}({c.number()}, {c.number()})"


@idiom("branches")
def price(c: Chooser) -> tuple[str, str]:
    """Prices and discounts."""
    f, price_, q, t = c.fresh("total_price", "cost", "checkout", "fee", "bill"), c.fresh("price", "amount", "unit"), c.fresh("quantity", "qty", "count", "n"), c.name("total")
    test = c.pick(f"{q} > {c.between(2, 6)}", f"{t} > {c.between(10, 50)}", f"{t} >= {c.between(10, 50)}", f"{q} >= {c.between(3, 9)}")
    step = c.pick(f"{t} -= {c.between(1, 10)}", f"{t} = {t} * 9 // 10", f"{t} //= 2", f"{t} += {c.between(1, 9)}", f"discount = {t} // 10\n        {t} -= discount")
    other = f"    else:\n        {t} += {c.between(1, 9)}\n" if c.chance(0.4) else ""
    return f"def {f}({price_}, {q}):\n    {t} = {price_} * {q}\n    if {test}:\n        {step}\n{other}    return {t}\n", f"{f}({c.between(2, 20)}, {c.between(1, 9)})"


@idiom("primes")
def is_prime(c: Chooser) -> tuple[str, str]:
    """Trial division."""
    f, n, i = c.fresh("is_prime", "prime", "check_prime"), c.fresh("n", "num", "number", "x"), c.fresh("i", "d", "k")
    body = c.pick(f"    for {i} in range(2, {n}):\n        if {n} % {i} == 0:\n            return False\n    return True\n",
                  f"    {i} = 2\n    while {i} * {i} <= {n}:\n        if {n} % {i} == 0:\n            return False\n        {i} += 1\n    return True\n")
    return f"def {f}({n}):\n    if {n} < 2:\n        return False\n{body}", f"{f}({c.between(1, 25)})"


@idiom("primes")
def divisors(c: Chooser) -> tuple[str, str]:
    """Divisors, multiples and factors of a number."""
    f, n, out, i = c.fresh("divisors", "factors", "factorize", "multiples"), c.fresh("n", "num", "number"), c.name("newlist"), c.fresh("i", "d", "k")
    body = c.pick(f"    for {i} in range(1, {n} + 1):\n        if {n} % {i} == 0:\n            {out}.append({i})\n",
                  f"    {i} = 2\n    while {n} > 1:\n        if {n} % {i} == 0:\n            {out}.append({i})\n            {n} //= {i}\n        else:\n            {i} += 1\n",
                  f"    for {i} in range(1, {c.between(3, 5)}):\n        {out}.append({i} * {n})\n")
    return f"def {f}({n}):\n    {out} = []\n{body}    return {out}\n", f"{f}({c.between(2, 12)})"


@idiom("recursion")
def factorial(c: Chooser) -> tuple[str, str]:
    """Recursive factorial, sum and power."""
    f, n = c.fresh("factorial", "fact", "sum_to", "f", "rec", "total"), c.fresh("n", "k", "x", "num")
    base = c.pick((f"{n} == 0", c.pick("0", "1")), (f"{n} <= 1", "1"), (f"{n} == 1", "1"), (f"{n} <= 0", "0"))
    step = c.pick(f"{n} * {f}({n} - 1)", f"{n} + {f}({n} - 1)", f"{f}({n} - 1) + {c.between(1, 5)}", f"{f}({n} - 1) * 2", f"{f}({n} - 2) + {n}" if "<=" in base[0] else f"{n} + {f}({n} - 1)", f"{f}({n} - 1) + {n}")
    tail = c.pick(f"    return {step}\n", f"    return {step}\n", f"    rest = {step}\n    return rest\n")
    return f"def {f}({n}):\n    if {base[0]}:\n        return {base[1]}\n{tail}", f"{f}({c.between(1, 5)})"


@idiom("recursion")
def fibonacci(c: Chooser) -> tuple[str, str]:
    """Fibonacci, both ways."""
    f, n = c.fresh("fib", "fibonacci"), c.fresh("n", "k")
    if c.chance(0.4):
        return f"def {f}({n}):\n    if {n} {c.pick('<= 1', '< 2')}:\n        return {n}\n    return {f}({n} - 1) + {f}({n} - 2)\n", f"{f}({c.between(1, 4)})"
    a, b = c.pick(("a", "b"), ("x", "y"), ("prev", "cur"))
    body = c.pick(f"    for {c.pick('_', 'i')} in range({n}):\n        {a}, {b} = {b}, {a} + {b}\n    return {a}\n", f"    while {n} > 0:\n        {a}, {b} = {b}, {a} + {b}\n        {n} -= 1\n    return {a}\n",
                  f"    out = []\n    for i in range({n}):\n        out.append({a})\n        {a}, {b} = {b}, {a} + {b}\n    return out\n")
    return f"def {f}({n}):\n    {a}, {b} = {c.pick('0, 1', '0, 1', '1, 1')}\n{body}", f"{f}({c.between(2, 7)})"


@idiom("recursion")
def recursive_sequence(c: Chooser) -> tuple[str, str]:
    """Recursion over a list or a string."""
    if c.chance(0.5):
        f, xs = c.fresh("sum_list", "total", "length", "largest"), c.name("list")
        step = c.pick(f"{xs}[0] + {f}({xs}[1:])", f"1 + {f}({xs}[1:])", f"{f}({xs}[1:]) + {xs}[0]", f"{f}({xs}[:-1]) + {xs}[-1]")
        return f"def {f}({xs}):\n    if {c.pick(f'not {xs}', f'len({xs}) == 0', f'{xs} == []')}:\n        return 0\n    return {step}\n", f"{f}({c.numbers(2, 4)})"
    f, s = c.fresh("reverse", "rev", "spread"), c.name("str")
    step = c.pick(f"{f}({s}[1:]) + {s}[0]", f"{s}[-1] + {f}({s}[:-1])", f"{s}[0] + '-' + {f}({s}[1:])")
    base = c.pick(f"    if len({s}) <= 1:\n        return {s}\n", f"    if {s} == '':\n        return ''\n")
    return f"def {f}({s}):\n{base}    return {step}\n", f"{f}({c.word(4)!r})"


@idiom("recursion")
def recursive_power(c: Chooser) -> tuple[str, str]:
    """Recursion with two arguments."""
    f = c.fresh("power", "multiply", "add", "ack", "count_up", "gcd")
    a, b = c.pick(("a", "b"), ("base", "exp"), ("x", "n"), ("m", "k"))
    step = c.pick(f"{a} * {f}({a}, {b} - 1)", f"{a} + {f}({a}, {b} - 1)", f"{f}({a} + {c.between(1, 4)}, {b} - 1)", f"{f}({a}, {b} - 1) - {a}")
    return f"def {f}({a}, {b}):\n    if {b} == 0:\n        return {c.pick('1', '0', a)}\n    return {step}\n", f"{f}({c.between(1, 9)}, {c.between(1, 4)})"


@idiom("dicts")
def dict_sum(c: Chooser) -> tuple[str, str]:
    """Walk over a dict."""
    f, d, t, k, v = c.fresh("total_price", "inventory", "sum_values", "stock_value", "cart_total"), c.name("dict"), c.name("total"), c.name("key"), c.fresh("v", "value", "qty", "amount")
    table = {word: c.between(1, 12) for word in c.words(2, 3, 5)}
    body = c.pick(f"    for {k}, {v} in {d}.items():\n        {t} += {v}\n", f"    for {k} in {d}:\n        {t} += {d}[{k}]\n", f"    for {v} in {d}.values():\n        {t} += {v} * {c.between(1, 3)}\n",
                  f"    for {k}, {v} in {d}.items():\n        if {v} > {c.between(2, 9)}:\n            {t} += {v}\n")
    return f"def {f}({d}):\n    {t} = 0\n{body}    return {t}\n", f"{f}({table})"


@idiom("dicts")
def dict_update(c: Chooser) -> tuple[str, str]:
    """Look up and change entries."""
    f, d, k, n = c.fresh("add_item", "update_stock", "deposit", "set_score", "lookup", "sell"), c.name("dict"), c.name("key"), c.fresh("n", "amount", "qty", "value")
    table = {word: c.between(1, 20) for word in c.words(1, 3, 5)}
    wanted = c.of(list(table)) if c.chance(0.7) else c.word(5)
    body = c.pick(
        f"    if {k} in {d}:\n        {d}[{k}] += {n}\n    else:\n        {d}[{k}] = {n}\n    return {d}\n",
        f"    {d}[{k}] = {d}.get({k}, 0) + {n}\n    return {d}\n", f"    old = {d}.get({k}, {c.pick('0', 'None', '1')})\n    {d}[{k}] = {n}\n    return old\n",
        f"    if {k} not in {d}:\n        return None\n    {d}[{k}] -= {n}\n    return {d}[{k}]\n",
        f"    left = {d}.get({k}, 0)\n    if left < {n}:\n        return 0\n    left -= {n}\n    {d}[{k}] = left\n    return left\n")
    return f"def {f}({d}, {k}, {n}):\n{body}", f"{f}({table}, {wanted!r}, {c.between(1, 12)})"


@idiom("dicts")
def dict_build(c: Chooser) -> tuple[str, str]:
    """Make a dict out of a list."""
    f, words, d, w = c.fresh("lengths", "index_words", "by_length", "group", "invert"), c.name("words"), c.name("dict"), c.name("word")
    body = c.pick(f"    for {w} in {words}:\n        {d}[{w}] = len({w})\n", f"    for i, {w} in enumerate({words}):\n        {d}[{w}] = i\n", f"    for {w} in {words}:\n        {d}[{w}[0]] = {w}\n",
                  f"    for {w} in {words}:\n        key = len({w})\n        if key not in {d}:\n            {d}[key] = []\n        {d}[key].append({w})\n",
                  f"    for {w} in {words}:\n        {d}.setdefault({w}[0], []).append({w})\n")
    return f"def {f}({words}):\n    {d} = {{}}\n{body}    return {d}\n", f"{f}({c.words(2, 4, 5)})"


@idiom("calls")
def helpers(c: Chooser) -> tuple[str, str]:
    """A named helper used in a loop or twice."""
    g, f = c.fresh("square", "double", "is_even", "helper", "add_one", "triple"), c.fresh("sum_squares", "apply_all", "count_even", "process", "compute", "total")
    x, xs, t, v = c.fresh("x", "n", "a"), c.name("list"), c.name("total"), c.name("item")
    body = c.pick(f"{x} * {x}", f"{x} * 2", f"{x} + {c.between(1, 9)}", f"{x} % 2 == 0", f"{x} - {c.between(1, 5)}", f"{x} * {c.between(3, 5)}")
    if "==" in body:
        loop = f"        if {g}({v}):\n            {t} += {c.pick('1', v)}\n"
    else:
        loop = c.pick(f"        {t} += {g}({v})\n", f"        {t} = {t} + {g}({v})\n", f"        y = {g}({v})\n        {t} += y\n")
    return f"def {g}({x}):\n    return {body}\n\n\ndef {f}({xs}):\n    {t} = 0\n    for {v} in {xs}:\n{loop}    return {t}\n", f"{f}({c.digits(2, 3, 9)})"


@idiom("calls")
def geometry(c: Chooser) -> tuple[str, str]:
    """Functions that build on each other."""
    w, h = c.pick(("w", "h"), ("width", "height"), ("a", "b"), ("x", "y"))
    f, g = c.fresh("area", "product", "combine"), c.fresh("volume", "surface", "box", "paint_cost", "twice_area")
    d = c.fresh("d", "depth", "k", "factor")
    extra = f"    if {d} > {c.between(1, 6)}:\n        return {f}({w}, {h})\n" if c.chance(0.35) else ""
    body = c.pick(f"    return {f}({w}, {h}) * {d}\n", f"    base = {f}({w}, {h})\n    return base * {d}\n", f"    return {f}({w}, {h}) + {f}({h}, {d})\n", f"    base = {f}({w}, {d})\n    top = {f}({h}, {d})\n    return base + top\n")
    return f"def {f}({w}, {h}):\n    return {w} {c.pick('*', '*', '+')} {h}\n\n\ndef {g}({w}, {h}, {d}):\n{extra}{body}", f"{g}({c.between(1, 9)}, {c.between(1, 9)}, {c.between(1, 5)})"


@idiom("exceptions")
def safe_divide(c: Chooser) -> tuple[str, str]:
    """Divide, catch, or not."""
    f = c.fresh("divide", "safe_divide", "ratio", "div")
    a, b = c.pick(("a", "b"), ("x", "y"), ("num", "den"), ("total", "n"))
    bottom = c.pick(0, 0, c.between(1, 9))
    other = c.pick("None", "0", "-1", "'error'")
    top = c.between(0, 30)
    variant = c.between(0, 3)
    if variant == 0:
        return f"def {f}({a}, {b}):\n    try:\n        return {a} // {b}\n    except ZeroDivisionError:\n        return {other}\n", f"{f}({top}, {bottom})"
    if variant == 1:
        return f"def {f}({a}, {b}):\n    result = {a} {c.pick('//', '%')} {b}\n    return result\n", f"{f}({top}, {bottom})"
    if variant == 2:
        return f"def {f}({a}, {b}):\n    if {b} == 0:\n        raise ValueError({c.pick('division by zero', 'bad value', 'b is zero')!r})\n    return {a} // {b}\n", f"{f}({top}, {bottom})"
    return f"def {f}({a}, {b}):\n    try:\n        result = {a} // {b}\n    except ZeroDivisionError:\n        result = {other}\n    return result\n", f"{f}({top}, {bottom})"


@idiom("exceptions")
def bad_lookup(c: Chooser) -> tuple[str, str]:
    """A missing key or index, or text that is no number."""
    variant = c.between(0, 3)
    if variant == 0:
        f, xs, i = c.fresh("get_item", "nth", "pick", "get"), c.name("list"), c.fresh("i", "index", "pos")
        values = c.digits(2, 4, 20)
        index = c.between(0, len(values) + 1)
        if c.chance(0.5):
            return f"def {f}({xs}, {i}):\n    try:\n        return {xs}[{i}]\n    except IndexError:\n        return {c.pick('None', '-1', '0')}\n", f"{f}({values}, {index})"
        return f"def {f}({xs}, {i}):\n    value = {xs}[{i}]\n    return value + {c.between(1, 5)}\n", f"{f}({values}, {index})"
    if variant == 1:
        f, d, k = c.fresh("lookup", "price_of", "get_age", "find"), c.name("dict"), c.name("key")
        table = {word: c.between(1, 20) for word in c.words(1, 3, 5)}
        wanted = c.of(list(table)) if c.chance(0.5) else c.word(5)
        if c.chance(0.6):
            return f"def {f}({d}, {k}):\n    try:\n        return {d}[{k}]\n    except KeyError:\n        return {c.pick('None', '0', '-1')}\n", f"{f}({table}, {wanted!r})"
        return f"def {f}({d}, {k}):\n    value = {d}[{k}]\n    return value * 2\n", f"{f}({table}, {wanted!r})"
    if variant == 2:
        f, s = c.fresh("to_int", "parse", "parse_int", "read_number"), c.fresh("s", "text", "value", "raw")
        return f"def {f}({s}):\n    try:\n        n = int({s})\n    except ValueError:\n        return {c.pick('None', '0', '-1')}\n    return n + {c.between(1, 9)}\n", f"{f}({c.pick(str(c.between(0, 99)), str(c.between(0, 99)), c.word(4))!r})"
    f, n = c.fresh("withdraw", "check_age", "set_speed", "validate"), c.fresh("n", "age", "amount", "speed")
    limit = c.between(5, 20)
    message = c.pick("too small", "too big", "not allowed", "invalid")
    sign = c.pick("<", ">")
    return f"def {f}({n}):\n    if {n} {sign} {limit}:\n        raise ValueError({message!r})\n    return {n} {c.pick('+', '-', '*')} {c.between(1, 5)}\n", f"{f}({c.between(0, 25)})"


@idiom("comprehensions")
def comprehension(c: Chooser) -> tuple[str, str]:
    """A comprehension, which is a frame of its own."""
    f, xs, out, x = c.fresh("squares", "evens", "lengths", "doubled", "select"), c.name("list"), c.name("newlist"), c.fresh("x", "v", "n", "item")
    value = c.pick(f"{x} * {x}", f"{x} * 2", f"{x} + {c.between(1, 9)}", x, f"{x} % {c.between(2, 4)}")
    test = c.pick("", f" if {x} > {c.between(1, 9)}", f" if {x} % 2 == 0", "") if value != x else f" if {x} > {c.between(1, 9)}"
    tail = c.pick(f"    return {out}\n", f"    return sum({out})\n", f"    return len({out})\n", f"    {out}.append({c.between(0, 9)})\n    return {out}\n")
    return f"def {f}({xs}):\n    {out} = [{value} for {x} in {xs}{test}]\n{tail}", f"{f}({c.digits(2, 4, 12)})"


@idiom("comprehensions")
def total_of_generator(c: Chooser) -> tuple[str, str]:
    """A generator expression or a lambda handed to a builtin."""
    f, xs, x = c.fresh("total", "any_even", "sum_squares", "order", "longest"), c.name("list"), c.fresh("x", "v", "n", "p")
    variant = c.between(0, 2)
    if variant == 0:
        return f"def {f}({xs}):\n    total = sum({x} {c.pick('*', '+')} {c.between(2, 5)} for {x} in {xs})\n    return total\n", f"{f}({c.digits(2, 3, 9)})"
    if variant == 1:
        return f"def {f}({xs}):\n    {xs} = sorted({xs}, key=lambda {x}: {c.pick(f'-{x}', f'{x} % 3', f'{x} % 2', f'-{x}')})\n    return {xs}{c.pick('', '[0]', '[-1]')}\n", f"{f}({c.digits(2, 4, 15)})"
    return f"def {f}({xs}):\n    {c.pick('best', 'w', 'result')} = {c.pick('max', 'min')}({xs}, key=lambda {x}: len({x}))\n    return {xs}[0]\n", f"{f}({c.words(2, 3, 6)})"


@idiom("generators")
def generator(c: Chooser) -> tuple[str, str]:
    """A generator function and who uses it."""
    g, f, n, i = c.fresh("gen", "count_up", "numbers", "evens", "countdown"), c.fresh("collect", "total", "run", "take"), c.fresh("n", "limit", "stop"), c.fresh("i", "k", "x")
    body = c.pick(f"    for {i} in range({n}):\n        yield {i}{c.pick('', ' * 2', ' + 1', f' * {i}')}\n", f"    {i} = {c.pick(0, 1)}\n    while {i} < {n}:\n        yield {i}\n        {i} += 1\n", f"    while {n} > 0:\n        yield {n}\n        {n} -= 1\n")
    t, v = c.name("total"), c.fresh("v", "item", "value")
    use = c.pick(f"    return list({g}({n}))\n", f"    {t} = 0\n    for {v} in {g}({n}):\n        {t} += {v}\n    return {t}\n")
    return f"def {g}({n}):\n{body}\n\ndef {f}({n}):\n{use}", f"{f}({c.between(1, 3)})"


@idiom("classes")
def counter_class(c: Chooser) -> tuple[str, str]:
    """A small class with a counter, an account or a stack, used in a function."""
    cls = c.fresh("Counter", "Account", "Box", "Score", "Tank", "Wallet")
    attribute = c.fresh("value", "balance", "total", "n", "level", "count")
    method, amount = c.fresh("add", "deposit", "put", "increase", "step"), c.fresh("n", "amount", "k", "x")
    o, f = c.fresh("c", "acc", "box", "obj", "it"), c.fresh("use", "run", "demo", "play", "f")
    shown = f"    def __repr__(self):\n        return f'{cls}({{self.{attribute}}})'\n\n" if c.chance(0.35) else ""
    step = c.pick(f"        self.{attribute} += {amount}\n", f"        self.{attribute} -= {amount}\n", f"        self.{attribute} += {amount}\n        return self.{attribute}\n", f"        self.{attribute} *= {amount}\n")
    code = (f"class {cls}:\n    def __init__(self, {attribute}):\n        self.{attribute} = {attribute}\n\n{shown}    def {method}(self, {amount}):\n{step}\n\n"
            f"def {f}({amount}):\n    {o} = {cls}({c.pick('0', amount, str(c.between(0, 12)))})\n    {o}.{method}({c.pick(amount, str(c.between(1, 9)))})\n")
    if c.chance(0.4):
        code += f"    {o}.{method}({c.between(1, 9)})\n"
    return code + f"    return {o}.{attribute}\n", f"{f}({c.between(0, 12)})"


@idiom("classes")
def stack_class(c: Chooser) -> tuple[str, str]:
    """A stack, or brackets matched with a list."""
    if c.chance(0.5):
        f, s, stack, ch = c.fresh("balanced", "is_balanced", "check", "matched"), c.name("str"), c.fresh("stack", "depth", "opened"), c.name("char")
        text = c.pick("()", "(())", "()()", ")(", "(()", "())", "((", "(a)", "(b)c")
        if c.chance(0.5):
            body = f"    {stack} = 0\n    for {ch} in {s}:\n        if {ch} == '(':\n            {stack} += 1\n        elif {ch} == ')':\n            {stack} -= 1\n        if {stack} < 0:\n            return False\n    return {stack} == 0\n"
        else:
            body = f"    {stack} = []\n    for {ch} in {s}:\n        if {ch} == '(':\n            {stack}.append({ch})\n        elif {ch} == ')':\n            if not {stack}:\n                return False\n            {stack}.pop()\n    return not {stack}\n"
        return f"def {f}({s}):\n{body}", f"{f}({text!r})"
    f = c.fresh("add_item", "append_to", "collect", "remember")
    x, bag = c.fresh("x", "item", "value"), c.fresh("bag", "items", "basket", "acc")
    g = c.fresh("demo", "run", "twice", "use")
    code = f"def {f}({x}, {bag}=[]):\n    {bag}.append({x})\n    return {bag}\n\n\ndef {g}({x}):\n    {f}({x})\n    return {f}({c.pick(f'{x} + 1', str(c.between(0, 9)), f'{x} * 2')})\n"
    return code, f"{g}({c.between(0, 12)})"
