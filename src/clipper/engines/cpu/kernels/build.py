"""From the kernels' sources to machine code for this processor, which ``clipper.engines.cpu.kernel_files`` loads.

Each kernel that the engine calls gets a second entrance, which takes the address of its arguments in 8-byte slots. The
code stands by itself: kernels allocate nothing and raise nothing, so that neither Numba's library nor Python's is
needed beside it.
"""

import sys
import typing
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from llvmlite import binding
from numba import types
from numba.core import config
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler_lock import global_compiler_lock
from numba.core.cpu import CPUContext
from numba.core.dispatcher import Dispatcher
from numba.core.lowering import BaseLower

from clipper.engines.cpu.calls import Described, Known
from clipper.engines.cpu.kernels import (
    act,
    divergence,
    fisher,
    loss,
    outputs,
    recurrence,
    replayed_entrances,
    returns,
    tiles,
    update,
)
from clipper.engines.cpu.kernels.tables import Doubles2

SETTINGS: Any = config  # Numba makes their names as it runs
ENTRANCES: dict[str, tuple[Dispatcher, dict[str, object]]] = {
    "decide": (act.decide, {}),
    "keep": (act.keep, {}),
    "keep_f8": (act.keep, {"obs": Doubles2}),
    "values": (returns.values, {}),
    "gae": (returns.gae, {}),
    "explained_variance": (returns.explained_variance, {}),
    "mean_and_std": (loss.mean_and_std, {}),
    "standard_units": (loss.standard_units, {}),
    "units": (update.units, {}),
    "clear": (update.clear, {}),
    "accumulate": (update.accumulate, {}),
    "finish": (update.finish, {}),
    "epoch": (update.epoch, {}),
    "remember": (divergence.remember, {}),
    "fisher_product": (fisher.fisher_product, {}),
    "weigh": (update.weigh, {}),
    "tell": (outputs.tell, {}),
    "pull": (outputs.pull, {}),
    "lay_out": (recurrence.lay_out, {}),
    "recall": (recurrence.recall, {}),
    "owe": (recurrence.owe, {}),
    "pull_back": (recurrence.pull_back, {}),
    **replayed_entrances.ENTRANCES,
}
"""Name → kernel, and which of its arguments are of another type than its source says."""
PREFIX = "clipper_"
"""Of the entrances' names."""
NUMBERS = {int: ("i8", types.int64), float: ("f8", types.float64), bool: ("i8", types.boolean)}
MATHEMATICS = ("erf", "exp", "expf", "expm1", "log", "memcpy", "memset", "pow", "sqrt", "sqrtf")
"""What the C library has to bring."""
NEVER = "NRT_MemInfo_call_dtor"
"""Numba's function that frees an array of its own; there are none."""


def numba_type(hint: Any) -> types.Type:
    """Numba's name for an argument's type."""
    if hint in NUMBERS:
        return NUMBERS[hint][1]
    if hasattr(hint, "_fields"):
        return types.NamedTuple([numba_type(h) for h in hints_of(hint).values()], hint)
    kind, axes = hint.__metadata__
    return types.Array(types.boolean if kind == "b1" else getattr(types, np.dtype(kind).name), axes, "C")


def leaves(hint: Any) -> list[str]:
    """The arrays and numbers in an argument, in order: ``i8`` and ``f8``, or an array's type and axes (``f4 2``)."""
    if hint in NUMBERS:
        return [NUMBERS[hint][0]]
    if hasattr(hint, "_fields"):
        return [leaf for h in hints_of(hint).values() for leaf in leaves(h)]
    return ["{} {}".format(*hint.__metadata__)]


def hints_of(of: object) -> dict[str, Any]:
    """The types that a kernel or a table declares."""
    return typing.get_type_hints(of, include_extras=True)


def numba_result(hint: Any) -> types.Type:
    """Numba's name for what a kernel returns."""
    if hint is type(None):
        return types.none
    parts = [NUMBERS[h][1] for h in typing.get_args(hint)]
    return types.UniTuple(parts[0], len(parts)) if parts else NUMBERS[hint][1]


def results_of(hint: Any) -> list[str]:
    """What a kernel returns, number by number."""
    if hint is type(None):
        return []
    return [NUMBERS[h][0] for h in typing.get_args(hint) or (hint,)]


def entrance(name: str, inner: binding.ValueRef) -> str:
    """LLVM's text for ``name(address)``, which calls ``inner`` with what stands there; results come after it."""
    lines, values = [], []
    result, _, *arguments = inner.arguments
    for k, argument in enumerate(arguments):
        kind = str(argument.type)
        wide = kind if kind in ("ptr", "double") else "i64"
        lines += [f"%p{k} = getelementptr i64, ptr %slots, i64 {k}", f"%w{k} = load {wide}, ptr %p{k}"]
        if kind in ("i1", "i8", "i32"):
            lines.append(f"%v{k} = trunc i64 %w{k} to {kind}")
        values.append(f"{kind} %{'v' if kind in ('i1', 'i8', 'i32') else 'w'}{k}")
    assert all(value.split()[0] in ("ptr", "double", "i64", "i1", "i8", "i32") for value in values), values
    lines += [
        f"%results = getelementptr i64, ptr %slots, i64 {len(arguments)}",
        "%error = alloca ptr",
        f'%status = call i32 @"{inner.name}"({result.type} %results, ptr %error, {", ".join(values)})',
        "ret i32 %status",
    ]
    declared = ", ".join(str(argument.type) for argument in inner.arguments)
    body = "\n  ".join(lines)
    return f'declare i32 @"{inner.name}"({declared})\ndefine i32 @{name}(ptr %slots) {{\n  {body}\n}}\n'


def target_machine() -> binding.TargetMachine:
    """For this processor, or the one that Numba's settings name."""
    features = SETTINGS.CPU_FEATURES
    if features is None:
        features = "" if SETTINGS.CPU_NAME else binding.get_host_cpu_features().flatten()
    return binding.Target.from_default_triple().create_target_machine(
        cpu=SETTINGS.CPU_NAME or binding.get_host_cpu_name(), features=features, opt=3, jit=True,
        reloc="static" if binding.get_process_triple().startswith("x86_64") else "default", codemodel="jitdefault",
    )  # fmt: skip


@contextmanager
def only_text() -> Iterator[None]:
    """Let Numba write LLVM's text alone as long as this lasts.

    It would make machine code, callable from Python, of each function that a kernel calls, and once more of all that
    this calls: most of the time that compiling takes. Here code is optimised once, when all of it is together. What it
    has compiled meanwhile can only be called by other kernels, so it forgets that in the end.
    """
    replaced: list[tuple[object, str, object]] = [
        (SETTINGS, "OPT", type(SETTINGS.OPT)(0)),
        (JITCodeLibrary, "_finalize_specific", lambda _: None),
        (CPUContext, "get_executable", finished),
        (BaseLower, "create_cpython_wrapper", lambda *_, **__: None),
        (BaseLower, "create_cfunc_wrapper", lambda _: None),
    ]
    with global_compiler_lock:
        before = [vars(owner)[name] for owner, name, _ in replaced]
        try:
            for owner, name, value in replaced:
                setattr(owner, name, value)
            yield
        finally:
            for (owner, name, _), value in zip(replaced, before, strict=True):
                setattr(owner, name, value)
            forget()


def forget() -> None:
    """Let all kernels be as if none had been compiled."""
    for module in [m for name, m in sys.modules.items() if name.startswith(__package__ or "")]:
        for kernel in vars(module).values():
            if isinstance(kernel, Dispatcher):
                kernel._reset_overloads()  # pyright: ignore[reportAttributeAccessIssue] (not in Numba's stubs)


def finished(_: object, library: JITCodeLibrary, *__: object) -> object:
    """In the place of a function's machine code: an object that its callers know it by, once its text is whole."""
    library.finalize()
    return {}.__getitem__


def drop_what_is_not_called(module: binding.ModuleRef, machine: binding.TargetMachine) -> None:
    """Leave the entrances and what they call."""
    for function in module.functions:
        if not function.is_declaration:
            function.linkage = "external" if function.name.startswith(PREFIX) else "internal"
    builder = binding.create_pass_builder(machine, binding.create_pipeline_tuning_options(speed_level=0))
    passes = binding.create_new_module_pass_manager()
    passes.add_global_dead_code_eliminate_pass()
    passes.run(module, builder)


def optimise(module: binding.ModuleRef, machine: binding.TargetMachine) -> None:
    """As Numba does: loops are rotated early, so that they vectorise; counts of references, of which none are, go."""
    for level in (0, 3):
        options = binding.create_pipeline_tuning_options(speed_level=level)
        options.loop_vectorization = level > 0
        builder = binding.create_pass_builder(machine, options)
        passes = builder.getModulePassManager()
        if level == 0:
            passes.add_loop_rotate_pass()
            passes.add_instruction_combine_pass()
            passes.add_jump_threading_pass()
        passes.add_refprune_pass()
        passes.run(module, builder)


def build(parts: Iterable[Sequence[str]]) -> list[tuple[bytes, Known]]:
    """Of kernels by name, part by part: machine code as an object file, and what has to be known of it to call it."""
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    with only_text():
        written = [text_of(names) for names in parts]
    return [machine_code(*found) for found in written]


def text_of(names: Sequence[str]) -> tuple[binding.ModuleRef, dict[str, Described]]:
    """All code of some kernels as it is written, and what has to be known of them."""
    whole = binding.parse_assembly(
        f"declare void @llvm.trap()\ndefine void @{NEVER}(ptr %x) {{\n  call void @llvm.trap()\n  unreachable\n}}\n"
    )
    kernels: dict[str, Described] = {}
    for name in names:
        kernel, others = ENTRANCES[name]
        hints = hints_of(kernel.py_func) | others
        returned = hints.pop("return")
        signature = tuple(numba_type(hint) for hint in hints.values())
        kernel.compile(signature)
        made = kernel.overloads[signature]
        if made.signature.return_type != numba_result(returned):
            raise TypeError(f"kernel {name} returns {made.signature.return_type}, and says {returned}")
        module = binding.parse_assembly(made.library.get_llvm_str())
        text = entrance(PREFIX + name, module.get_function(made.fndesc.llvm_func_name))
        module.link_in(binding.parse_assembly(text))
        for function in module.functions:  # several kernels call the same ones
            if not function.is_declaration:
                function.linkage = "external" if function.name.startswith(PREFIX) else "linkonce_odr"
        whole.link_in(module)
        kernels[PREFIX + name] = {
            "arguments": [leaves(hint) for hint in hints.values()],
            "results": results_of(returned),
        }
    return whole, kernels


def machine_code(whole: binding.ModuleRef, kernels: dict[str, Described]) -> tuple[bytes, Known]:
    """For this processor."""
    machine = target_machine()
    drop_what_is_not_called(whole, machine)
    optimise(whole, machine)
    drop_what_is_not_called(whole, machine)
    needed = {f.name for f in whole.functions if f.is_declaration and not f.name.startswith("llvm.")}
    if unknown := needed - set(MATHEMATICS):
        raise RuntimeError(f"kernels would need {', '.join(sorted(unknown))} beside them")
    return machine.emit_object(whole), {"kernels": kernels, "needed": MATHEMATICS, "lanes": tiles.LANES}
