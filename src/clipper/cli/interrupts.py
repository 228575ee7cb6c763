"""Ctrl-C while the command line is still being imported ends it as it ends other programs, without a traceback."""

import os
import signal
import sys
import threading


def is_command() -> bool:
    """Is this process Clipper's command line, by its script or as ``python -m clipper``?"""
    if sys.argv[:1] == ["-m"]:  # while Python imports the package
        words = sys.orig_argv
        return "-m" in words and words[words.index("-m") + 1 :][:1] == ["clipper"]
    return os.path.basename(sys.argv[0] if sys.argv else "") == "clipper"


def begin() -> bool:
    """Leave the signal to the system, where it would raise ``KeyboardInterrupt``; is it so?"""
    ours = is_command() and threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return False
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return True


BEGUN = begin()


def end() -> None:
    """Let it raise ``KeyboardInterrupt`` again."""
    if BEGUN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
