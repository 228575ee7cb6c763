#!/bin/sh
# Make the virtual environments in which speed.py runs the libraries that it compares Clipper with: one folder each under
# benchmarks/.peers/, since their pins may conflict. Versions of what all share are taken from the project's own
# environment, so that every side runs the same torch, numpy and simulator.
#
#   sh benchmarks/make_peers.sh [NAME...]     by default all: sb3 cleanrl tianshou skrl
#
# PYTHON in the environment names another interpreter than the project's own, .venv/bin/python.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
[ $# -gt 0 ] || set -- sb3 cleanrl tianshou skrl

pin() { # PACKAGE [EXTRAS]
    "$python" -c "from importlib.metadata import version; print('$1${2:-}==' + version('$1').partition('+')[0])"
}

make_peer() { # NAME PACKAGE...
    folder=benchmarks/.peers/$1
    shift
    "$python" -m venv "$folder"
    # torch first and pinned: a resolver left free may choose a newer one with gigabytes of CUDA libraries.
    "$folder/bin/pip" install --quiet "$(pin torch)"
    "$folder/bin/pip" install --quiet "$(pin torch)" "$(pin numpy)" "$(pin gymnasium '[mujoco]')" "$(pin mujoco)" "$@"
    echo "$folder: $("$folder/bin/pip" list --format=freeze | grep -E '^(torch|numpy|gymnasium|mujoco|stable|tyro|tianshou|skrl)' | tr '\n' ' ')"
}

for name in "$@"; do
    case $name in
    sb3) make_peer sb3 stable-baselines3==2.9.2 ;;
    cleanrl) make_peer cleanrl tensorboard tyro ;; # what its ppo.py imports; the script itself comes from --cleanrl PATH
    tianshou) make_peer tianshou tianshou==2.0.1 ;;
    skrl) make_peer skrl skrl==2.1.1 ;;
    *) echo "no peer $name: choose from sb3 cleanrl tianshou skrl" >&2 && exit 2 ;;
    esac
done
