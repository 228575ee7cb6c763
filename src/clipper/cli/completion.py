"""Completion of the command line in bash, zsh and fish: scripts that a shell reads once."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

SHELLS = ("bash", "zsh", "fish")


class Offered(NamedTuple):
    """What may follow a command."""

    about: str
    flags: Mapping[str, str]
    """Each with its meaning, in a few words."""
    names: Sequence[str] = ()
    """Words that are no flags, beside files."""


def script(shell: str, commands: Mapping[str, Offered]) -> str:
    """The script for one of ``SHELLS``."""
    return {"bash": bash, "zsh": zsh, "fish": fish}[shell](commands)


def cases(commands: Mapping[str, Offered], form: str) -> list[str]:
    """A line of a shell's ``case`` for each command."""
    return [
        f"        {form.format(name=name, flags=' '.join(x.flags), names=' '.join(x.names))}"
        for name, x in commands.items()
    ]


def bash(commands: Mapping[str, Offered]) -> str:
    """For ``eval "$(clipper completion bash)"``; where nothing fits, bash completes files."""
    return "\n".join(
        [
            "_clipper() {",
            '    local word="${COMP_WORDS[COMP_CWORD]}" flags="" names=""',
            '    case "$COMP_CWORD:${COMP_WORDS[1]}" in',
            f"        1:*) names='{' '.join(commands)}' ;;",
            *cases(commands, "*:{name}) flags='{flags}'; names='{names}' ;;"),
            "    esac",
            '    if [[ "$word" == -* ]]; then names="$flags"; fi',
            '    COMPREPLY=($(compgen -W "$names" -- "$word"))',
            "}",
            "complete -o default -F _clipper clipper",
        ]
    )


def zsh(commands: Mapping[str, Offered]) -> str:
    """For ``eval "$(clipper completion zsh)"`` after ``compinit``."""
    return "\n".join(
        [
            "_clipper() {",
            "    local -a flags names",
            f"    if (( CURRENT == 2 )); then compadd -- {' '.join(commands)}; return; fi",
            '    case "$words[2]" in',
            *cases(commands, "{name}) flags=({flags}); names=({names}) ;;"),
            "    esac",
            '    if [[ "$PREFIX" == -* ]]; then compadd -- $flags; else compadd -- $names; _files; fi',
            "}",
            "compdef _clipper clipper",
        ]
    )


def fish(commands: Mapping[str, Offered]) -> str:
    """For ``clipper completion fish | source``."""
    lines = []
    for name, offered in commands.items():
        lines.append(f"complete -c clipper -f -n __fish_use_subcommand -a {name} -d {in_fish(offered.about)}")
        under = f"complete -c clipper -n '__fish_seen_subcommand_from {name}'"
        lines += [f"{under} -l {flag.removeprefix('--')} -d {in_fish(about)}" for flag, about in offered.flags.items()]
        lines += [f"{under} -a {in_fish(' '.join(offered.names))}"] if offered.names else []
    return "\n".join(lines)


def in_fish(text: str) -> str:
    """The text in quotes."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
