"""A second, plain tracer, written without a look at the first: `python oracle.py JOBS` prints one JSON line per call.

JOBS is a JSON file: a list of [path, call]. Each call is traced with `sys.settrace` in a forked process of its own,
with the file executed as `__main__`.
"""

import json
import os
import re
import sys

MAX_FRAMES = 10_000


def show(value):
    text = repr(value)
    if isinstance(value, str):
        return text
    return re.sub(r" at 0x[0-9a-f]+", "", text).replace("str_ascii_iterator", "str_iterator")


def trace(path, call, answer):
    with open(path, "rb") as file:
        code = compile(file.read(), path, "exec")
    namespace = {"__name__": "__main__", "__file__": path}
    frames = []

    def depth(frame):
        below = 0
        while frame := frame.f_back:
            below += frame.f_code.co_filename == path
        return below

    def tracer(frame, event, arg):
        if frame.f_code.co_filename != path:
            return None
        if len(frames) == MAX_FRAMES:
            answer({"frames": frames, "ending": "out of frames", "value": None})
            os._exit(0)
        state = None
        if event in ("call", "line"):
            state = [[name, show(value)] for name, value in frame.f_locals.items()]
        value = show(arg) if event in ("return", "exception") else None
        frames.append([event, frame.f_lineno, state, value, frame.f_code.co_name, depth(frame)])
        return tracer

    exec(code, namespace)
    sys.settrace(tracer)
    try:
        ending = ["returned", eval(call, namespace)]
    except BaseException as error:
        ending = ["raised", error]
    sys.settrace(None)
    answer({"frames": frames, "ending": ending[0], "value": show(ending[1])})


def main(jobs):
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    for path, call in jobs:
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            trace(path, call, lambda run: print(json.dumps(run), file=answers, flush=True))
            os._exit(0)
        os.waitpid(child, 0)


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        main(json.load(file))
