"""``clipper check-exercise``: the list of exercises, a starting file, the verdict on an answer."""

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

from clipper.errors import ConfigError
from clipper.exercises.catalogue import exercises
from clipper.exercises.exercise import Exercise, Verdict, Words, judge


def known() -> dict[str, Exercise]:
    """Name → exercise, of all pages."""
    return {exercise.name: exercise for page in exercises().values() for exercise in page}


def language() -> str:
    """``zh`` where the machine's language is Chinese and the terminal has its letters, otherwise ``en``."""
    said = next((os.environ[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if os.environ.get(name)), "")
    try:
        "中".encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return "en"
    return "zh" if said.startswith("zh") else "en"


def overview(chosen: str) -> str:
    """Every page with its exercises, a line each."""
    lines = []
    for page, of_page in exercises().items():
        lines += [page, *(f"  {exercise.name:<26}{getattr(exercise.title, chosen)}" for exercise in of_page)]
    return "\n".join(lines)


def task(exercise: Exercise, chosen: str) -> str:
    """What is to be done, and with which commands."""
    text = f"{getattr(exercise.title, chosen)}\n\n{getattr(exercise.task, chosen).strip()}"
    return f"{text}\n\nclipper check-exercise {exercise.name} --start\n{how_to_check(exercise)}"


def how_to_check(exercise: Exercise) -> str:
    """The command that checks an answer."""
    return f"clipper check-exercise {exercise.name} {exercise.function}.py"


def starting_file(exercise: Exercise) -> str:
    """The task in both languages, and the code to begin from."""
    title = f"{exercise.title.en} · {exercise.title.zh}"
    text = "\n\n".join((title, exercise.task.en.strip(), exercise.task.zh.strip(), how_to_check(exercise)))
    return f'"""{text}\n"""\n\n{exercise.start}'


def write_start(exercise: Exercise, file: Path) -> None:
    """Write the starting file; never over something."""
    try:
        with file.open("x", encoding="utf-8") as opened:
            opened.write(starting_file(exercise))
    except FileExistsError as error:
        raise ConfigError(f"{file} exists already: name another file, or remove it") from error
    except OSError as error:
        raise ConfigError(f"{file} cannot be written: {error.strerror}") from error


def load_answer(file: Path) -> ModuleType:
    """Import the file that the user named, and leave no compiled copy beside it."""
    if not file.is_file():
        raise ConfigError(f"there is no file {file}")
    spec = importlib.util.spec_from_file_location("answer", file)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{file} is no Python file: its name has to end with .py")
    module = importlib.util.module_from_spec(spec)
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module


def check(exercise: Exercise, file: Path) -> Verdict:
    """The verdict on what a file defines. What its import raises is part of the verdict."""
    try:
        module = load_answer(file)
    except ConfigError:
        raise
    except SyntaxError as error:
        words = f"line {error.lineno}: {error.msg}", f"第 {error.lineno} 行：{error.msg}"
        return Verdict(False, Words(f"This is no Python: {words[0]}", f"不是合法的 Python 代码：{words[1]}"))
    except (Exception, SystemExit) as error:  # noqa: BLE001, RUF100 (an answer may raise anything)
        kind = f"{type(error).__name__}: {error}"
        return Verdict(False, Words(f"It cannot be imported: {kind}", f"无法导入：{kind}"))
    answer = getattr(module, exercise.function, None)
    if not callable(answer):
        name = exercise.function
        return Verdict(False, Words(f"It defines no function {name}.", f"其中没有定义函数 {name}。"))
    return judge(exercise, answer)
