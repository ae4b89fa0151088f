"""Harms a program at the call of a function; loaded by Python itself where this folder is on its path.

KILL_AT is `script words|function|number|file`: a program whose command line holds all of the words is killed at the
n-th call. The function is a qualified name, or `before:name` or `after:name` for one of C. The kill happens if the file
is there, and takes it away. The calls of a program that lives are written to `file.calls`.

LIMIT_AT is `script words|function|MiB`: from the first call on, it may take so much more memory, as by `ulimit -v`.
"""

import atexit
import os
import re
import resource
import signal
import sys
import threading


def is_the_program(words: str) -> bool:
    script, *options = words.split()
    path = re.compile(rf"\bscripts/(\w+/)?{script}\.py$")
    return any(map(path.search, sys.orig_argv)) and set(options) <= set(sys.orig_argv)


def limit() -> None:
    """Let memory run out, where this is the program."""
    program, function, size = os.environ["LIMIT_AT"].split("|")

    def watch(frame, happened, argument):
        if happened == "call" and function == frame.f_code.co_qualname:
            sys.setprofile(None)
            with open("/proc/self/statm") as file:
                used = int(file.read().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + int(size) * 2**20, -1))

    if is_the_program(program):
        sys.setprofile(watch)


def arm() -> None:
    """Watch all calls, where this is the program."""
    program, function, number, file = os.environ["KILL_AT"].split("|")
    if not is_the_program(program):
        return
    calls = 0
    moment, _, name = function.rpartition(":")
    event = {"": "call", "before": "c_call", "after": "c_return"}[moment]

    def watch(frame, happened, argument):
        nonlocal calls
        if happened != event or name != (frame.f_code.co_qualname if not moment else argument.__qualname__):
            return
        calls += 1
        if calls == int(number):
            try:
                if file:
                    os.unlink(file)
            except FileNotFoundError:
                return
            os.kill(os.getpid(), signal.SIGKILL)

    def write_count() -> None:
        with open(f"{file}.calls", "w") as handle:
            handle.write(str(calls))

    if file:
        atexit.register(write_count)
    threading.setprofile(watch)
    sys.setprofile(watch)


if "KILL_AT" in os.environ:
    arm()
if "LIMIT_AT" in os.environ:
    limit()
