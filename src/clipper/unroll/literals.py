"""What can be written as code: numbers and texts, and values of settings."""

LITERALS = (type(None), bool, int, float, str, bytes)


def literal(x: object) -> bool:
    """Can it be written as code: a number, a text, None, or a tuple of such?"""
    return isinstance(x, LITERALS) or (type(x) is tuple and all(map(literal, x)))


def is_setting(kind: type) -> bool:
    """Is it a class of settings, made by ``@value``?"""
    return "__new__" in vars(kind) and "__dataclass_fields__" in vars(kind)
