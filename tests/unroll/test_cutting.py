"""Constructs that the library may use, in a small library of its own."""

import textwrap
from typing import Any

import pytest

from clipper.unroll.program import Program
from clipper.unroll.source import UnrollError
from clipper.unroll.text import assemble


def cut(tmp_path, main, entered=(), **modules):
    """``modules`` are the library's files; returns the text and what running it leaves."""
    root = tmp_path / "clipper"
    root.mkdir()
    for name, source in modules.items():
        (root / f"{name}.py").write_text(textwrap.dedent(source).lstrip())
    where = {(str(root / f"{name}.py"), line) for name, line in entered}
    text = assemble(Program(textwrap.dedent(main), where, root), "test")
    space: dict[str, Any] = {"__name__": "not main"}
    exec(compile(text, "unrolled", "exec"), space)
    return text, space


def test_modules_come_before_what_they_are_imported_by(tmp_path):
    text, space = cut(
        tmp_path,
        "from clipper.b import twice\ndef main(): return twice(3)",
        a="""
        import math as mathematics
        # about tau
        TAU = 2 * mathematics.pi  # circle
        UNUSED = 1
        def half(x): return x / TAU
        """,
        b="""
        from clipper.a import TAU, half
        LIMIT = TAU * 2
        def twice(x): return half(x) * LIMIT
        """,
    )
    assert space["main"]() == pytest.approx(6)
    assert "# about tau\nTAU = 2 * mathematics.pi  # circle\n" in text
    assert "UNUSED" not in text
    assert text.index("--- clipper/a.py") < text.index("--- clipper/b.py") < text.index("--- main")


def test_methods_that_nothing_mentions_go_and_overrides_stay(tmp_path):
    text, space = cut(
        tmp_path,
        "from clipper.a import Box\ndef main(): return Box({'k': 1}).show()",
        a='''
        from collections import UserDict
        class Box(UserDict):
            """A box."""
            size: int = 3
            """Its size."""

            # nobody calls this
            def unused(self):
                return "é" + helper()

            @property
            def label(self):
                return f"{self.size}"

            def __missing__(self, key):
                return 0

            def keys(self):
                return ["own"]

            def show(self): return self.label, list(self.keys())
        def helper(): return 1
        ''',
    )
    assert space["main"]() == ("3", ["own"])
    assert "unused" not in text
    assert "nobody" not in text
    assert "helper" not in text
    assert "__missing__" in text


def test_a_class_may_name_what_it_has_as_it_is_called_elsewhere(tmp_path):
    text, space = cut(
        tmp_path,
        "from clipper.a import Box\ndef main(): return Box().twice(3), Box().four",
        a="""
        def twice(x): return 2 * x
        class Box:
            twice = staticmethod(twice)
            two = twice(1)
            four = twice(two)
        """,
    )
    assert space["main"]() == (6, 4)
    assert "def twice" in text


def test_a_protocol_gives_way_to_the_class_that_implements_it(tmp_path):
    text, space = cut(
        tmp_path,
        "from clipper.b import use\nfrom clipper.a import Duck\ndef main(): return use(Duck())",
        a="""
        from typing import Protocol
        class Quacks(Protocol):
            def quack(self) -> str: ...
        class Duck:
            def quack(self) -> str: return 'é'
        """,
        b="""
        from clipper.a import Quacks
        def use(é: list[Quacks] | Quacks, other: "Quacks | None" = None) -> str: return é.quack()
        """,
    )
    assert space["main"]() == "é"
    assert "def use(é: list[Duck] | Duck," in text
    assert "Protocol" not in text


def test_a_class_of_which_nothing_is_left(tmp_path):
    text, space = cut(
        tmp_path,
        "from clipper.a import Empty\ndef main(): return Empty()",
        a="""
        class Empty:
            def one(self): return self.two()

            def two(self): return self.one()
        """,
    )
    # Each mentions the other, but nobody calls either.
    assert "class Empty:\n    pass\n" in text
    assert type(space["main"]()) is space["Empty"]


def test_a_protocol_with_two_implementations_or_a_runtime_use_stays(tmp_path):
    text, space = cut(
        tmp_path,
        "from clipper.a import Duck, Robot, use\ndef main(): return use(Duck()), use(Robot())",
        a="""
        from typing import Protocol, runtime_checkable
        class Quacks(Protocol):
            def quack(self) -> str: ...
        @runtime_checkable
        class Walks(Protocol):
            def walk(self) -> str: ...
        class Duck:
            def quack(self) -> str: return 'a'
        class Robot:
            def quack(self) -> str: return 'b'
        def use(x: Quacks) -> str: return x.quack() + str(isinstance(x, Walks))
        """,
    )
    assert space["main"]() == ("aFalse", "bFalse")
    assert "def use(x: Quacks)" in text


def test_unions_of_settings_lose_members_that_nothing_makes(tmp_path):
    text, _ = cut(
        tmp_path,
        "from clipper.a import use, B\ndef main(): return use(B())",
        a="""
        from typing import TypeAlias
        class A: ...
        class B: ...
        class C: ...
        Any3: TypeAlias = float | A | B | C
        def use(x: Any3) -> bool: return isinstance(x, C)
        """,
    )
    assert "Any3: TypeAlias = float | B | C\n" in text
    assert "class A" not in text


def test_shapes_become_tensors(tmp_path):
    text, _ = cut(
        tmp_path,
        "from clipper.a import f, Scalar\ndef main(): return f.__annotations__, Scalar",
        a="""
        from jaxtyping import Float
        from torch import Tensor
        Scalar = float | Float[Tensor, ""]
        def f(
            é: Float[Tensor, "*batch é"], b: tuple[Float[Tensor, " N"], str] | None = None
        ) -> "Float[Tensor, '']":
            '''Doc.'''
            x: Float[Tensor, "T"] = é
            return x
        """,
    )
    assert "def f(é: Tensor, b: tuple[Tensor, str] | None = None)" in text
    assert "x: Tensor = é" in text
    assert "import Float" not in text
    assert "Scalar = float | Tensor" in text


def test_imports_inside_functions(tmp_path):
    text, space = cut(
        tmp_path,
        "from clipper.a import f\ndef main(): return f()",
        a="""
        def f():
            import math
            from clipper.b import g

            return g(math.floor(2.5))
        """,
        b="def g(x): return x + 1",
    )
    assert space["main"]() == 3
    assert "clipper.b import" not in text


LIBRARY = {
    "a": """
    from functools import singledispatch
    @singledispatch
    def make(x): raise TypeError
    @make.register
    def _(x: int): return 'int'
    @make.register(str)
    def _(x): return text()
    def text(): return 'str'
    """
}
CALL = "from clipper.a import make\ndef main(): return make(1)"


def test_only_cases_that_were_entered_are_kept(tmp_path):
    text, space = cut(tmp_path, CALL, entered=[("a", 4)], **LIBRARY)
    assert space["main"]() == "int"
    assert "def text" not in text


def test_all_cases_are_kept_where_none_was_seen(tmp_path):
    _, space = cut(tmp_path, CALL, **LIBRARY)
    assert space["main"]() == "int"
    assert space["make"]("") == "str"


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        (
            {"a": "from clipper.b import f as g\ndef one(): return g()", "b": "def f(): ...\ndef two(): ..."},
            "alias='g'",
        ),
        (
            {"a": "def f(): ...\ndef one(): return f()", "b": "def f(): ...\ndef two(): return f()"},
            "f is defined in clipper.a and in clipper.b",
        ),
        (
            {"a": "import math as m\ndef one(): return m", "b": "import cmath as m\ndef two(): return m"},
            "m means",
        ),
        ({"a": "def one(): return sum([])", "b": "def sum(x): ...\ndef two(): return sum([])"}, "sum, a builtin in"),
        ({"a": "def one(): return 1\nprint(1)", "b": "def two(): ..."}, "binds no name"),
        ({"a": "from clipper import b\ndef one(): return b.two()", "b": "def two(): ..."}, "no definition"),
    ],
)
def test_what_cannot_be_cut_is_refused(tmp_path, modules, message):
    (tmp_path / "other").mkdir()
    main = "from clipper.a import one\nfrom clipper.b import two\ndef main(): return one(), two()"
    modules = {"__init__": "", **modules}
    with pytest.raises(UnrollError, match=message):
        cut(tmp_path, main, **modules)
