"""What an exercise is, and how an answer to it is judged: by the numbers it gives, never by its text."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from traceback import extract_tb
from typing import Any, NamedTuple

import torch
from torch import Tensor

Answer = Callable[..., Any]
Measured = dict[str, Any]  # what an answer gave, by name, whatever it is
Numbers = dict[str, Tensor]
TOLERANCE = 1e-5  # relative; of float32 answers, too


class Words(NamedTuple):
    """The same text in both languages."""

    en: str
    zh: str


@dataclass(frozen=True)
class Mistake:
    """A typical wrong answer, known by the numbers that it gives, or by a sign in them."""

    name: str
    """With dashes; unique within its exercise."""
    words: Words
    """One sentence that says what is wrong."""
    answer: Answer | None = None
    """The mistake itself: what gives the same numbers made it."""
    when: Callable[[Numbers, Numbers], bool] | None = None
    """Instead of ``answer``: whether the numbers found, beside those of the right answer, betray it."""


@dataclass(frozen=True, kw_only=True)
class Exercise:
    """A function to write, and what tells whether it is right."""

    name: str
    """With dashes; the function is called the same with underscores."""
    title: Words
    task: Words
    """Markdown, with letters of Unicode for symbols."""
    start: str
    """The code that an answer begins from."""
    probe: Callable[[Answer], Measured]
    """Calls an answer on inputs of its own making and names what came out, and its gradients."""
    right: Answer
    mistakes: tuple[Mistake, ...]

    @property
    def function(self) -> str:
        """The name that the answer has to have."""
        return self.name.replace("-", "_")


class Verdict(NamedTuple):
    """Whether an answer is right, and why not."""

    right: bool
    words: Words
    mistake: str = ""
    """Name of the mistake that was recognised."""


class NotNumbersError(Exception):
    """An answer gave back something that cannot be compared."""


def blank(signature: str) -> str:
    """The code to begin from where only the function's name and arguments are given."""
    return f"import torch\n\n\ndef {signature}:\n    raise NotImplementedError\n"


def judge(exercise: Exercise, answer: Answer) -> Verdict:
    """Right, or the first mistake whose numbers or signs the answer has, or the first number that differs."""
    expected = numbers(exercise.probe(exercise.right))
    try:
        found = numbers(exercise.probe(answer))
    except NotImplementedError:
        return Verdict(False, Words("Nothing is written there yet.", "这里还什么都没有写。"))
    except NotNumbersError as error:
        return Verdict(False, Words(*error.args[0]))
    except (Exception, SystemExit) as error:  # noqa: BLE001, RUF100 (an answer may raise anything)
        return Verdict(False, raised(error, answer))
    return Verdict(True, Words("Right.", "正确。")) if same(found, expected) else recognise(exercise, found, expected)


def recognise(exercise: Exercise, found: Numbers, expected: Numbers) -> Verdict:
    """What is wrong with numbers that are."""
    for mistake in exercise.mistakes:
        made = mistake.answer is not None and same(found, numbers(exercise.probe(mistake.answer)))
        if made or betrayed(mistake, found, expected):
            return Verdict(False, mistake.words, mistake.name)
    return Verdict(False, difference(found, expected))


def betrayed(mistake: Mistake, found: Numbers, expected: Numbers) -> bool:
    """Whether numbers bear the sign of a mistake; those of a shape that it cannot be looked for in do not."""
    try:
        return mistake.when is not None and mistake.when(found, expected)
    except (RuntimeError, IndexError, KeyError):
        return False


def numbers(found: Measured) -> Numbers:
    """Numbers, arrays and lists of them → tensors without their graph, in float64."""
    return {name: number(name, value) for name, value in found.items()}


def number(name: str, value: object) -> Tensor:
    """One of them; what is none is named."""
    if value is None:
        raise NotNumbersError((f"{name}: nothing came back (None).", f"{name}：没有返回任何值（None）。"))
    try:
        return torch.as_tensor(value).detach().clone().to(torch.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        kind = type(value).__name__
        words = (f"{name}: a {kind} came back where a tensor should.", f"{name}：应返回张量，却得到 {kind}。")
        raise NotNumbersError(words) from error


def same(found: Numbers, expected: Numbers) -> bool:
    """The same names and shapes and, but for rounding, equal numbers; NaN equals NaN."""
    return found.keys() == expected.keys() and all(agree(found[name], value) for name, value in expected.items())


def agree(found: Tensor, expected: Tensor) -> bool:
    """The same for one of them."""
    equal = found.shape == expected.shape
    return equal and torch.allclose(found, expected, rtol=TOLERANCE, atol=1e-7, equal_nan=True)


def difference(found: Numbers, expected: Numbers) -> Words:
    """The first number, or shape, that is not what it should be, or a part that is not there, or too many."""
    for name in expected.keys() ^ found.keys():
        extra = name in found
        return Words(f"{name}: {'not asked for' if extra else 'missing'}.", f"{name}：{'多余' if extra else '缺失'}。")
    name = next(name for name, value in expected.items() if not agree(found[name], value))
    got, wanted = found[name], expected[name]
    if got.shape != wanted.shape:
        shapes = str(list(got.shape)), str(list(wanted.shape))
        return Words(f"{name} has the shape {shapes[0]} instead of {shapes[1]}.",
                     f"{name} 的形状是 {shapes[0]}，应为 {shapes[1]}。")  # fmt: skip
    index = next(i for i in torch.cartesian_prod(*map(torch.arange, wanted.shape)).view(-1, wanted.ndim).tolist()
                 if not agree(got[tuple(i)], wanted[tuple(i)])) if wanted.ndim else []  # fmt: skip
    where = f"{name}{index}" if index else name
    a, b = (f"{x[tuple(index)].item():.6g}" for x in (got, wanted))
    return Words(f"{where} is {a} instead of {b}.", f"{where} 为 {a}，应为 {b}。")


def raised(error: BaseException, answer: Answer) -> Words:
    """What an answer raised, and in which line of its file."""
    code = getattr(answer, "__code__", None)
    own = [f for f in extract_tb(error.__traceback__) if code is not None and f.filename == code.co_filename]
    kind, text = type(error).__name__, " ".join(str(error).split())
    line = own[-1].lineno if own else None
    at = (f" in line {line}", f"第 {line} 行") if line else ("", "")
    return Words(f"It raises {kind}{at[0]}: {text}", f"{at[1]}抛出 {kind}：{text}")


def gradients(y: object, inputs: Sequence[Tensor]) -> list[Tensor]:
    """∂Σy/∂x for each of the inputs; 0 where y does not depend on it."""
    if not isinstance(y, Tensor):
        kind = type(y).__name__
        raise NotNumbersError((f"A {kind} came back where a tensor should.", f"应返回张量，却得到 {kind}。"))
    if not y.requires_grad or not inputs:
        return [torch.zeros_like(x) for x in inputs]
    return list(torch.autograd.grad(y.sum(), list(inputs), retain_graph=True, materialize_grads=True))
