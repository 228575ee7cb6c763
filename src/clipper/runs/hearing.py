"""Whether functions of the user's own, callbacks and loggers, can be called as they will be."""

import functools
import inspect
from collections.abc import Callable

from clipper.data.values import shown
from clipper.errors import ConfigError


def check_hears(function: Callable[..., object], given: tuple[str, ...], what: str = "callback") -> None:
    """Raise ``ConfigError`` where it takes other arguments, or would only give something that runs later."""
    inner = function
    while isinstance(inner, functools.partial):
        inner = inner.func
    called = inner if inspect.isroutine(inner) else type(inner).__call__
    if inspect.iscoroutinefunction(called) or inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called):
        raise ConfigError(
            f"{shown(function)} is async, or has a yield in it, so that calling it does nothing: write a plain function"
        )
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # of code that is not Python's
        return
    try:
        signature.bind(*given)
    except TypeError as error:
        raise ConfigError(
            f"a {what} is called with {' and '.join(given)}, and {shown(function)} cannot be: {error}"
        ) from None
