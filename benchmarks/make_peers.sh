#!/bin/sh
# Make the virtual environments in which speed.py runs the libraries that it compares Clipper with: one folder each under
# benchmarks/.peers/, since their pins may conflict. Versions of what all share are taken from the project's own
# environment, so that every side runs the same torch, numpy and simulator.
#
#   sh benchmarks/make_peers.sh [NAME...]     by default all: sb3 cleanrl leanrl tianshou skrl torchrl pufferlib purejaxrl
#                                             trl trl-ppo
#
# One that cannot be installed is reported, holds up no other, and makes the exit status 1.
# PYTHON in the environment names another interpreter than the project's own, .venv/bin/python.
set -u
cd "$(dirname "$0")/.." || exit
python=${PYTHON:-.venv/bin/python}
all="sb3 cleanrl leanrl tianshou skrl torchrl pufferlib purejaxrl trl trl-ppo"
# shellcheck disable=SC2086
[ $# -gt 0 ] || set -- $all

pin() { # PACKAGE [EXTRAS]
    "$python" -c "from importlib.metadata import version; print('$1${2:-}==' + version('$1').partition('+')[0])"
}

make_venv() { # NAME: sets folder and pip
    folder=benchmarks/.peers/$1
    pip=$folder/bin/pip
    "$python" -m venv "$folder"
}

make_peer() { # NAME PACKAGE...
    make_venv "$1" && shift || return
    # torch first and pinned: a resolver left free may choose a newer one with gigabytes of CUDA libraries.
    "$pip" install --quiet "$(pin torch)" || return
    "$pip" install --quiet "$(pin torch)" "$(pin numpy)" "$(pin gymnasium '[mujoco]')" "$(pin mujoco)" "$@"
}

make_pufferlib() {
    # 3.0.0 is a source package that needs a C++ compiler. NO_OCEAN leaves out its own environments in C, whose build
    # downloads other libraries; its setup.py then reads a name that it has not set, and the line below gives it one.
    # The path leaves out nvcc, for which it would build a CUDA kernel. Its pins (numpy < 2, Gymnasium 0.29) are passed
    # over: the trainer runs on what the other sides have.
    make_peer pufferlib setuptools wheel ninja psutil rich rich_argparse pyro-ppl cloudpickle gym==0.23.0 \
        "pettingzoo<=1.24.1" || return
    hooks=$(mktemp -d)
    echo "import builtins; builtins.c_extension_paths = []" >"$hooks/sitecustomize.py"
    PATH="$PWD/$folder/bin:/usr/bin:/bin" PYTHONPATH=$hooks NO_OCEAN=1 \
        "$pip" install --quiet --no-deps --no-build-isolation pufferlib==3.0.0
    status=$?
    rm -r "$hooks"
    return $status
}

make_purejaxrl() { # what its ppo.py imports, without the environments of brax and navix; gymnax 1 does not fit it
    make_venv purejaxrl && "$pip" install --quiet "$(pin numpy)" jax==0.10.2 flax==0.12.8 optax==0.2.8 distrax==0.1.9 \
        chex==0.1.92 gymnax==0.0.9
}

make_trl() { # NAME VERSION: beside what Clipper's own language models are made of
    make_venv "$1" && "$pip" install --quiet "$(pin torch)" || return
    "$pip" install --quiet "$(pin torch)" "$(pin numpy)" "$(pin transformers)" "$(pin tokenizers)" accelerate==1.15.0 \
        datasets==5.2.0 psutil "trl==$2"
}

failed=""
for name in "$@"; do
    case $name in
    sb3) make_peer sb3 stable-baselines3==2.9.2 sb3-contrib==2.9.2 "$(pin ale-py)" opencv-python-headless ;;
    cleanrl) make_peer cleanrl tensorboard tyro "$(pin ale-py)" opencv-python-headless ;; # what its ppo.py imports; the script itself comes from --cleanrl PATH
    leanrl) make_peer leanrl tensordict==0.15.3 tyro tqdm setuptools ;; # in the same way
    tianshou) make_peer tianshou tianshou==2.0.1 ;;
    skrl) make_peer skrl skrl==2.1.1 ;;
    torchrl) make_peer torchrl torchrl==0.14.1 ;;
    pufferlib) make_pufferlib ;;
    purejaxrl) make_purejaxrl ;;
    trl) make_trl trl 1.16.0 ;;
    trl-ppo) make_trl trl-ppo 1.12.0 ;; # the last that has a PPO
    *) echo "no peer $name: choose from $all" >&2 && exit 2 ;;
    esac || { failed="$failed $name" && continue; }
    echo "$folder: $("$pip" list --format=freeze |
        grep -E '^(torch|numpy|gymnasium|mujoco|stable|tyro|tianshou|skrl|tensordict|torchrl|pufferlib|jax|flax|gymnax|trl|transformers)=' |
        tr '\n' ' ')"
done
[ -z "$failed" ] || { echo "could not be made:$failed" >&2 && exit 1; }
