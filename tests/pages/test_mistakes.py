"""What the command line says of mistakes: the message first, and where help is at last."""

import pytest

from clipper.cli.commands import run_command


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("train CartPole-v1 --foo 3", "Unrecognized options: --foo, 3"),
        ("train CartPole-v1 sac --gamma x", "Error parsing --gamma: could not convert string to float: 'x'"),
        ("train CartPole-v1 --engine gpu", "invalid choice 'gpu' for argument '--engine'."),
        ("evaluate", "Missing from clipper evaluate: PATH"),
        ("evaluate runs/a --episodes many", "Error parsing --episodes: invalid literal for int()"),
        ("completion tcsh", "invalid choice 'tcsh' for argument 'shell'."),
    ],
)
def test_a_mistake_is_said_first_and_help_last(line: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        run_command(line.split())
    assert stopped.value.code == 2
    shown = capsys.readouterr().err.splitlines()
    assert shown[0].startswith(f"error: {message}")
    assert shown[-1] == f"help: clipper {line.partition(' ')[0]} --help"
    assert not any(set("│╭─") & set(text) for text in shown)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("train cartpol", "there is no recipe or environment 'cartpol'. Did you mean cartpole"),
        ("train zzz", "There are: cartpole, "),
        ("train ppo", "ppo is an algorithm: an environment or a recipe comes first: clipper train CartPole-v1 ppo"),
    ],
)
def test_a_first_word_that_is_nothing_gets_what_there_is(
    line: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(line.split()) == 2
    assert message in capsys.readouterr().err
