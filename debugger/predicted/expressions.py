"""What an expression gives by Python's own rules, where all that is in it is shown: numbers, strings, what holds such.

Nothing of the user's is run: only operators, functions and methods of builtin types, on values read from their `repr`,
and of those only what neither changes a value nor can take long.
"""

from __future__ import annotations

import ast
import builtins
import operator
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Sized
from typing import Any, TypeAlias, cast

from debugger.callers import words
from debugger.predicted.constants import reprs_can_lie
from debugger.predicted.literals import UnknownError, is_immutable, value_of

_MAX_BITS = 4096
"""Of a whole number that is computed with."""
_MAX_ITEMS = 100_000
"""Of what an operator or a method makes."""

_Operation: TypeAlias = Callable[[Any, Any], Any]
_COMPARISONS: Mapping[type[ast.cmpop], _Operation] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda item, items: item in items,
    ast.NotIn: lambda item, items: item not in items,
}
_OPERATORS: Mapping[type[ast.operator], _Operation] = {
    ast.Add: lambda left, right: left + right,
    ast.Sub: lambda left, right: left - right,
    ast.Mult: lambda left, right: left * right,
    ast.Div: lambda left, right: left / right,
    ast.FloorDiv: lambda left, right: left // right,
    ast.Mod: lambda left, right: left % right,
    ast.Pow: lambda left, right: left**right,
    ast.LShift: lambda left, right: left << right,
    ast.RShift: lambda left, right: left >> right,
    ast.BitAnd: lambda left, right: left & right,
    ast.BitOr: lambda left, right: left | right,
    ast.BitXor: lambda left, right: left ^ right,
}
_SIGNS: Mapping[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.Not: operator.not_,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Invert: operator.invert,
}
_FUNCTIONS = words(
    """
    abs all any bin bool chr dict divmod float frozenset hex int isinstance len list max min oct ord range repr
    round set sorted str sum tuple type
    """
)
_ORDERLESS = words("all any bool frozenset isinstance len max min set sorted")
"""Of these the result does not depend on the order in which a set shows its elements."""
_ITERATING = words("all any frozenset list max min set sorted sum tuple")
"""They look at each item of what they are given."""
_TYPES = words("bool bytes complex dict float frozenset int list range set str tuple")
_METHODS: Mapping[type, frozenset[str]] = {
    str: words(
        """
        capitalize casefold count endswith find index isalnum isalpha isascii isdecimal isdigit isidentifier islower
        isnumeric isspace istitle isupper join lower lstrip partition removeprefix removesuffix replace rfind rindex
        rpartition rsplit rstrip split splitlines startswith strip swapcase title upper
        """
    ),
    list: words("copy count index"),
    tuple: words("count index"),
    dict: words("copy get items keys values"),
    set: words("copy difference intersection isdisjoint issubset issuperset symmetric_difference union"),
    int: words("bit_length"),
    float: words("is_integer"),
}
_ERRORS = (ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError, ValueError)
_NAMESPACES = words("builtins delattr globals setattr vars")
_REPR_OF_ANOTHER = words("UserDict UserList UserString")


class Expressions:
    """Evaluates expressions of one file."""

    def __init__(self, tree: ast.Module, call: ast.AST | None = None) -> None:
        """Look at the file's syntax tree and that of the call that is made."""
        trees = [tree] if call is None else [tree, call]
        nodes = [node for each in trees for node in ast.walk(each)]
        self.are_certain = not reprs_can_lie(tree) and not any(map(_imitates, nodes))
        """Whether values are what their `repr` says; else what comes out is a good guess only."""
        bound = Counter(name for each in trees for name in bound_names(each))
        bound.update(name for node in nodes if isinstance(node, ast.Global) for name in node.names)
        names = {node.id for node in nodes if isinstance(node, ast.Name)}
        self._bound = None if "*" in bound or names & _NAMESPACES else frozenset(bound)
        """Names of the module; None where others may come."""
        self._constants = {
            name: value for name, value in _constants(tree) if bound[name] == 1 and self._bound is not None
        }

    def value(self, node: ast.expr, shown: Mapping[str, str], variables: Collection[str]) -> Any:
        """What an expression gives in a function that has shown these locals and may have these `variables`.

        The result may share parts with others: it must not be changed. Raises UnknownError.
        """
        return _Evaluation(self, shown, variables).value(node)

    def text(self, node: ast.expr | None, shown: Mapping[str, str], variables: Collection[str]) -> str | None:
        """The `repr` of that, also of what is no number or string but stands in a local; None where it is unknown."""
        match node:
            case None:
                return "None"
            case ast.Name(id=name) if name in shown:
                return shown[name]
            case ast.List(elts=elements) | ast.Tuple(elts=elements):
                texts = [self.text(element, shown, variables) for element in elements]
                if None in texts:
                    return None
                inside = ", ".join(cast("list[str]", texts))
                if isinstance(node, ast.List):
                    return f"[{inside}]"
                return f"({inside},)" if len(texts) == 1 else f"({inside})"
            case _:
                try:
                    return repr(self.value(node, shown, variables))
                except (UnknownError, ValueError):
                    return None

    def global_value(self, name: str) -> Any:
        """What a name that is no variable of the function stands for. Raises UnknownError."""
        if name in self._constants:
            return self._constants[name]
        if name in _TYPES and self.is_builtin(name):
            return getattr(builtins, name)
        raise UnknownError

    def is_builtin(self, name: str) -> bool:
        """Whether the file gives this name no meaning of its own."""
        return self._bound is not None and name not in self._bound


def _imitates(node: ast.AST) -> bool:
    """Whether objects may look like numbers, strings and the like without being just that."""
    match node:
        case ast.ClassDef(bases=bases):
            return any(not isinstance(base, (ast.Name, ast.Attribute)) or _name(base) in _TYPES for base in bases)
        case ast.Call(func=ast.Name(id="type"), args=[_, _, _]):
            return True
        case ast.alias(name=name) | ast.Name(id=name) | ast.Attribute(attr=name):
            return name in _REPR_OF_ANOTHER
        case _:
            return False


def _name(node: ast.Name | ast.Attribute) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr


def bound_names(node: ast.AST) -> Iterator[str]:
    """The names that statements or expressions give a value or take it from, each time; not those inside functions."""
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
            return
        case ast.Lambda():
            return
        case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
            yield name
        case ast.alias(name=name, asname=asname):
            yield asname or name.partition(".")[0]
        case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
            yield name
        case ast.MatchMapping(rest=str(name)):
            yield name
        case _:
            pass
    for child in ast.iter_child_nodes(node):
        yield from bound_names(child)


def _constants(tree: ast.Module) -> Iterator[tuple[str, Any]]:
    """Names that the module gives a number, a string or a tuple of such."""
    for statement in tree.body:
        match statement:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=node)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as node)
            ):
                try:
                    value = ast.literal_eval(node)
                except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
                    continue
                if is_immutable(value):
                    yield name, value
            case _:
                pass


class _Evaluation:
    """Evaluates with certain locals."""

    def __init__(self, expressions: Expressions, shown: Mapping[str, str], variables: Collection[str]) -> None:
        self._expressions = expressions
        self._shown = shown
        self._variables = variables

    def value(self, node: ast.expr) -> Any:
        """What the expression gives. Raises UnknownError."""
        try:
            found = self._value(node)
            if isinstance(found, Sized) and not isinstance(found, range) and len(found) > _MAX_ITEMS:
                raise UnknownError
        except _ERRORS as error:
            raise UnknownError from error
        return found

    def _value(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=value):
                return value
            case ast.Name(id=name):
                return self._name(name)
            case ast.BoolOp(op=kind, values=operands):
                found = None
                for operand in operands:
                    found = self.value(operand)
                    if bool(found) is isinstance(kind, ast.Or):
                        break
                return found
            case ast.Compare(left=left, ops=kinds, comparators=operands):
                return self._comparison(self.value(left), kinds, operands)
            case ast.UnaryOp(op=kind, operand=operand):
                return _SIGNS[type(kind)](self.value(operand))
            case ast.BinOp(left=left, op=kind, right=right):
                return _operated(kind, self.value(left), self.value(right))
            case ast.IfExp(test=test, body=body, orelse=otherwise):
                return self.value(body if self.value(test) else otherwise)
            case ast.Subscript(value=container, slice=index):
                return self.value(container)[self._index(index)]
            case ast.Call(func=function, args=arguments, keywords=keywords):
                given = [self.value(argument) for argument in arguments]
                named = {word.arg: self.value(word.value) for word in keywords if word.arg and word.arg != "key"}
                if len(named) < len(keywords):
                    raise UnknownError
                return self._called(function, given, named)
            case ast.List(elts=elements):
                return [self.value(element) for element in elements]
            case ast.Tuple(elts=elements):
                return tuple([self.value(element) for element in elements])
            case ast.Set(elts=elements):
                return {self.value(element) for element in elements}
            case ast.Dict(keys=keys, values=values):
                if None in keys:
                    raise UnknownError
                return {self.value(key): self.value(value) for key, value in zip(keys, values, strict=True) if key}
            case _:
                raise UnknownError

    def _name(self, name: str) -> Any:
        if name in self._variables or name in self._shown:
            return value_of(self._shown.get(name))
        if name.startswith("__") and not name.endswith("__"):
            raise UnknownError  # in a class it is called otherwise
        return self._expressions.global_value(name)

    def _index(self, node: ast.expr) -> Any:
        if not isinstance(node, ast.Slice):
            return self.value(node)
        return slice(*(part and self.value(part) for part in (node.lower, node.upper, node.step)))

    def _comparison(self, left: Any, kinds: Sequence[ast.cmpop], operands: Sequence[ast.expr]) -> bool:
        for kind, operand in zip(kinds, operands, strict=True):
            right = self.value(operand)
            if isinstance(kind, (ast.Is, ast.IsNot)):
                # Which other equal values are one object, Python does not say.
                if not any(each is None or isinstance(each, (bool, type)) for each in (left, right)):
                    raise UnknownError
                holds = (left is right) is isinstance(kind, ast.Is)
            elif isinstance(right, range) and not isinstance(left, int):
                raise UnknownError  # looks at every number
            else:
                holds = _COMPARISONS[type(kind)](left, right)
            if not holds:
                return False
            left = right
        return True

    def _called(self, function: ast.expr, given: list[Any], named: dict[str, Any]) -> Any:
        match function:
            case ast.Name(id=name) if name in _FUNCTIONS and name not in self._variables:
                if not self._expressions.is_builtin(name) or (name == "type" and len(given) != 1):
                    raise UnknownError
                if name not in _ORDERLESS and any(map(has_set, given)):
                    raise UnknownError
                if name in _ITERATING and any(isinstance(each, range) and len(each) > _MAX_ITEMS for each in given):
                    raise UnknownError
                return getattr(builtins, name)(*given, **named)
            case ast.Attribute(value=receiver, attr=name):
                value: object = self.value(receiver)
                if name not in _METHODS.get(type(value), ()) or (name == "join" and has_set(given)):
                    raise UnknownError
                return getattr(value, name)(*given, **named)
            case _:
                raise UnknownError


def _operated(kind: ast.operator, left: Any, right: Any) -> Any:
    """What an operator gives, if that is nothing large."""
    if isinstance(left, int) and isinstance(right, int):
        bits, other = left.bit_length(), right.bit_length()
        if isinstance(kind, (ast.Pow, ast.LShift)):
            size = (bits or 1) * abs(right) if isinstance(kind, ast.Pow) else bits + abs(right)
        else:
            size = bits + other
        if size > _MAX_BITS:
            raise UnknownError
    elif isinstance(kind, ast.Mult):
        count = next((each for each in (left, right) if isinstance(each, int)), 1)
        size = next((len(each) for each in (left, right) if isinstance(each, Sized)), 0)
        if size * count > _MAX_ITEMS:
            raise UnknownError
    elif isinstance(kind, ast.Mod) and isinstance(left, (str, bytes)):
        raise UnknownError
    return _OPERATORS[type(kind)](left, right)


def has_set(value: Any) -> bool:
    """Whether there is a set of several elements in it, of which no `repr` tells the order."""
    if isinstance(value, (set, frozenset)):
        return len(cast("Collection[object]", value)) > 1
    if isinstance(value, dict):
        return any(map(has_set, cast("dict[object, object]", value).values()))
    return isinstance(value, (list, tuple)) and any(map(has_set, cast("Sequence[object]", value)))
