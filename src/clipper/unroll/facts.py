"""What can be known of a value: the set of things that it may be, joined, asked and made."""

from collections.abc import Callable, Iterable

from clipper.unroll.things import Anything, Fact, Items, Known, Of, Partial, Thing

MOST, DEEPEST = 12, 6
"""Things that a value may be, and tuples within each other, before nothing is said of it any more."""
NEVER: Fact = frozenset()
ANY: Fact = frozenset({Anything()})


def known(x: object) -> Fact:
    """Exactly ``x``."""
    return frozenset({Known(x)})


def some(kind: type) -> Fact:
    """Some instance of a class."""
    return frozenset({Of(kind)})


def depth(fact: Fact) -> int:
    """How deeply tuples are nested in it."""
    found = 0
    for thing in fact:
        if isinstance(thing, Items):
            found = max(found, 1 + max([depth(thing.each), *map(depth, thing.items or ())]))
        elif isinstance(thing, Partial):
            found = max(found, 1 + max([0, *map(depth, thing.arguments)]))
    return found


def join(*facts: Fact) -> Fact:
    """What is known of a value that is one of these."""
    merged = frozenset[Thing]().union(*facts)
    if Anything() in merged or any(depth(fact) > DEEPEST for fact in facts):
        return ANY
    kinds = {thing.kind for thing in merged if isinstance(thing, Of)}
    for kind in (bool, int, float):
        same = [t for t in merged if isinstance(t, Known) and type(t.it) is kind]
        if len(same) > 1 or (same and kind in kinds):  # numbers that differ are some number
            merged = merged.difference(same) | {Of(kind)}
    if any(isinstance(t, Items) for t in merged):
        plain = [t for t in merged if isinstance(t, Known) and type(t.it) is tuple and t.it]
        merged = merged.difference(plain) | {t for p in plain for t in items(map(known, p.it))}  # pyright: ignore
    tuples = [t for t in merged if isinstance(t, Items)]
    if len(tuples) > 1:
        merged = merged.difference(tuples) | {merged_tuples(tuples)}
    return merged if len(merged) <= MOST else ANY


def merged_tuples(tuples: list[Items]) -> Items:
    """One for several, item by item where they are as long as each other."""
    lengths = {None if t.items is None else len(t.items) for t in tuples}
    each = join(*(t.each for t in tuples))
    if len(lengths) > 1 or None in lengths:
        return Items(None, each)
    return Items(tuple(join(*parts) for parts in zip(*(t.items or () for t in tuples), strict=True)), each)


def items(parts: Iterable[Fact]) -> Fact:
    """A tuple of these."""
    parts = tuple(parts)
    return frozenset({Items(parts, join(*parts))})


def iterator(each: Fact) -> Fact:
    """Something that gives any number of these."""
    return frozenset({Items(None, each)})


def the(fact: Fact) -> Known | None:
    """The one object that it is, where that is known."""
    (thing,) = fact if len(fact) == 1 else (None,)
    return thing if isinstance(thing, Known) else None


def each_truth(fact: Fact, of: Callable[[Thing], bool | None]) -> bool | None:
    """Whether ``of`` says the same of all that it may be; None where it does not."""
    found = {of(thing) for thing in fact}
    return found.pop() if len(found) == 1 else None
