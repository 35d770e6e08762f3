"""Traces programs with `sys.settrace` and checks every step of every Python frame against `debugger.flow`.

Usage: python flow_oracle.py ROOT < programs.json, a list of {"id", "source", "calls"}; prints one JSON object.
Runs under every supported interpreter, so it uses the standard library and the package under test alone.
"""

import ast
import contextlib
import inspect
import io
import json
import sys

sys.path.insert(0, sys.argv[1])

from debugger.flow import ModuleFlow, Next
from debugger.predicted.branches import Branches, Turns
from debugger.predicted.expressions import Expressions

EVENT_LIMIT = 20_000


class OutOfEventsError(BaseException):
    """Ends a call that runs too long."""


class Checker:
    def __init__(self, program, flow, branches, is_certain):
        self.program = program
        self.branches = branches
        self.is_certain = is_certain
        self.turns = {}  # frame -> its Turns
        self.ways = {}  # frame -> the Way that it must take now
        self.decided = 0  # ways that were to be taken, and were
        self.items = 0  # what loops were to give, and gave
        self.flow = flow
        self.frames = {}  # frame -> [candidate flows, choices after the last event, last line, suspended]
        self.shown = {}  # frame -> its locals at its last CALL or LINE, unless an exception came since
        self.events = 0
        self.failures = []
        self.kept = 0  # values that were to stay as they were, and did
        self.returned = 0  # values that were to be a local's, and were
        self.choices = []  # number of lines allowed, for each LINE event that follows one

    def fail(self, frame, event, why):
        where = f"{self.program} {frame.f_code.co_name} line {frame.f_lineno}"
        self.failures.append(f"{where}: {event}: {why}")

    def __call__(self, frame, event, arg):
        if frame.f_code.co_filename != "<program>" or frame.f_code.co_name == "<module>":
            return None
        self.events += 1
        if self.events > EVENT_LIMIT:
            raise OutOfEventsError
        line = frame.f_lineno
        self.check_way(frame, event, line)
        if event == "line":
            self.check_bindings(frame, line)
        elif event == "return" and frame in self.shown:
            self.check_returned(frame, arg)
        if event in ("call", "line"):
            values, cells = frame.f_locals, frame.f_code.co_cellvars
            # 3.13.0 crashes where a comprehension has put away the value of a variable that others share.
            self.shown[frame] = {name: None if name in cells else _text(values[name]) for name in values}
        elif event == "exception":
            self.shown.pop(frame, None)
        if event == "call":
            self.called(frame, line)
        else:
            getattr(self, "on_" + event)(frame, line, *self.frames[frame])
        codes = self.frames[frame][0]
        if not any(set(frame.f_locals) <= set(code.variables) for code in codes):
            self.fail(frame, event, f"locals {list(frame.f_locals)} not in {[code.variables for code in codes]}")
        return self

    def called(self, frame, line):
        back = frame.f_back
        while back is not None and back not in self.frames:
            back = back.f_back
        if back is not None:
            codes, after, last, suspended = self.frames[back]
            if suspended:  # what is thrown into a `yield from` reaches the inner generator first
                after = [(code, code.next(last)) for code in codes]
            if not any(choice.calls for _, choice in after):
                self.fail(back, "call", "nothing here may call")
        if frame in self.frames:
            codes, _, last, suspended = self.frames[frame]
            if not suspended:
                self.fail(frame, "call", "resumed, but not suspended")
            if line != last:
                self.fail(frame, "call", f"resumed at another line than {last}")
            self.frames[frame] = [codes, [(code, code.next(line)) for code in codes], line, False]
            return
        codes = self.flow.codes_at(line, frame.f_code.co_name)
        if not codes:
            self.fail(frame, "call", f"no such code among {[(c.first_line, c.name) for c in self.flow.codes]}")
        present = list(frame.f_locals)
        is_function = frame.f_code.co_flags & inspect.CO_OPTIMIZED
        if is_function and not any(present == [name for name in c.variables if name in present] for c in codes):
            self.fail(frame, "call", f"locals {present} are not in the order of {[c.variables for c in codes]}")
        self.frames[frame] = [codes, [(code, code.entry) for code in codes], None, False]

    def check_way(self, frame, event, line):
        callers = [frame.f_back] if event == "call" else []
        for each in [frame, *callers]:
            way = self.ways.pop(each, None)
            if way is None:
                continue
            self.decided += 1
            if each is not frame or event == "exception":
                right = way.does_more
            else:
                right = way.has_line(line) if event == "line" else way.returns
            if not right:
                self.fail(each, event, f"not by {way} from {self.turns[each]}")
            for name, text in way.items.items():
                self.items += 1
                if _plain(frame.f_locals[name]) != text:
                    self.fail(each, event, f"{name} is not {text} by {way} from {self.turns[each]}")
        if event == "call" and frame not in self.turns:
            self.turns[frame] = Turns()
        elif event == "line":
            values, cells = frame.f_locals, frame.f_code.co_cellvars  # see above
            shown = {name: _plain(values[name]) for name in values if name not in cells}
            turns = self.turns[frame] = self.branches.follow(self.turns[frame], line, shown)
            codes = self.frames[frame][0]
            way = self.branches.way(turns, codes[0]) if len(codes) == 1 else None
            if way is not None and self.is_certain:
                self.ways[frame] = way

    def check_bindings(self, frame, line):
        shown = self.shown.get(frame)
        if shown is None:
            return
        bindings = [choice.bindings.get(line) for _, choice in self.frames[frame][1] if line in choice.lines]
        if not bindings or None in bindings:
            return
        names = set(frame.f_locals)
        if not any(each.certain <= names and names - set(shown) <= each.possible for each in bindings):
            self.fail(frame, "line", f"{sorted(shown)} have become {sorted(names)}, but not by any of {bindings}")
        for name in set(shown).difference(*(each.possible for each in bindings)):
            if name not in names:
                self.fail(frame, "line", f"{name} is gone, but nothing here removes it: {bindings}")
            elif shown[name] is not None:
                self.kept += 1
                if _text(frame.f_locals[name]) != shown[name]:
                    self.fail(frame, "line", f"{name} was {shown[name]}, but nothing here changes it: {bindings}")

    def check_returned(self, frame, arg):
        names = {choice.returns for _, choice in self.frames[frame][1]}
        if len(names) == 1 and None not in names:
            self.returned += 1
            if arg is not frame.f_locals[names.pop()]:
                self.fail(frame, "return", f"{arg!r} is not what is returned by {self.frames[frame][1]}")

    def narrow(self, frame, event, line, after, allows, follows):
        left = [code for code, choice in after if allows(choice)]
        if not left:
            self.fail(frame, event, f"not allowed by {after[0][1]} after {self.frames[frame][2]}")
            left = [code for code, _ in after]
        self.frames[frame] = [tuple(left), [(code, follows(code)) for code in left], line, False]

    def on_line(self, frame, line, codes, after, last, suspended):
        if last is not None:
            self.choices.append(len(after[0][1].lines))
        self.narrow(frame, "line", line, after, lambda n: line in n.lines, lambda code: code.next(line))

    def on_exception(self, frame, line, codes, after, last, suspended):
        if last not in (None, line):
            self.fail(frame, "exception", f"at another line than the last, {last}")
        self.narrow(frame, "exception", line, after, lambda n: n.raises, lambda code: code.next_after_exception(line))

    def on_return(self, frame, line, codes, after, last, suspended):
        self.narrow(frame, "return", line, after, lambda n: line in n.return_lines | n.yield_lines, lambda code: Next())
        self.frames[frame][3] = any(line in choice.yield_lines for _, choice in after)


def _text(value):
    """The `repr` of a value that is no object of others; else None."""
    return repr(value) if type(value) in (int, float, complex, bool, str, bytes, type(None)) else None


def _plain(value):
    """The `repr` of numbers, strings and what holds nothing else; of others none that says what they are."""
    if type(value) in (list, tuple, set, dict):
        parts = [*value, *value.values()] if type(value) is dict else value
        return repr(value) if all(_plain(part) != "<object>" for part in parts) else "<object>"
    return _text(value) or "<object>"


def check(program, report):
    calls = program["calls"]
    flow = ModuleFlow.from_source(program["source"], "<program>", calls)
    tree = ast.parse(program["source"])
    namespace = {"__name__": "program"}
    exec(compile(program["source"], "<program>", "exec", dont_inherit=True), namespace)
    for call in calls:
        expressions = Expressions(tree, ast.parse(call, mode="eval"))
        checker = Checker(program["id"], flow, Branches(tree, expressions), expressions.are_certain)
        code = compile(call, "<call>", "eval")
        sys.settrace(checker)
        try:
            eval(code, namespace)
        except OutOfEventsError:
            report["long"] += 1
        except Exception:
            report["raised"] += 1
        finally:
            sys.settrace(None)
        report["calls"] += 1
        report["events"] += checker.events
        report["kept"] += checker.kept
        report["returned"] += checker.returned
        report["decided"] += checker.decided
        report["items"] += checker.items
        report["line_steps"] += len(checker.choices)
        report["choices"] += sum(checker.choices)
        report["single"] += checker.choices.count(1)
        report["failures"] += checker.failures[:3]


def main():
    names = ("calls", "events", "kept", "returned", "decided", "items", "line_steps", "choices", "single")
    names += ("long", "raised")
    report = {**dict.fromkeys(names, 0), "failures": [], "broken": []}
    for program in json.load(sys.stdin):
        with contextlib.redirect_stdout(io.StringIO()):
            try:
                check(program, report)
            except Exception as error:
                report["broken"].append(f"{program['id']}: {type(error).__name__}: {error}")
    json.dump(report, sys.stdout)


if __name__ == "__main__":
    main()
