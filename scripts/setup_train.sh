#!/usr/bin/env bash
# Creates venv-train (or venv-train-unsloth) beside this project, for the recipes in app/recipes. See usage().
set -euo pipefail

# The newest torch that both pin files were resolved with.
readonly TORCH_VERSION=2.13.0
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
readonly root
# shellcheck source=scripts/environment.sh
source "$root/scripts/environment.sh"
engine=trl build=gpu recreate=false

usage() {
  cat <<'TEXT'
usage: scripts/setup_train.sh [--engine trl|unsloth] [--cpu] [--recreate]

Installs what the training recipes need, apart from the service's .venv and from venv-vllm: their pins
conflict. Needs Python 3.11 to 3.14 and pip. A second run has nothing to do.

  --engine trl      TRL and PEFT, into venv-train (default); runs on a GPU and on a CPU
  --engine unsloth  unsloth, into venv-train-unsloth; made for a GPU, it also runs on a CPU
  --cpu             a CPU build of torch (Linux x86-64); without it the CUDA build
  --recreate        delete the environment first

environment
  PYTHON            the interpreter to use (default: python3.11, then python3)
  TORCH_INDEX_URL   where pip finds torch, if not on its usual index; for --cpu name an index of
                    CPU builds, or pip fetches several GB of CUDA libraries that stay unused
TEXT
}

parse_arguments() {
  while (($#)); do
    case $1 in
      --engine) (($# > 1)) || die "--engine needs a value (see --help)" 2
        engine=$2 && shift ;;
      --engine=*) engine=${1#*=} ;;
      --cpu) build=cpu ;;
      --recreate) recreate=true ;;
      -h | --help) usage && exit 0 ;;
      *) die "unknown argument '$1' (see --help)" 2 ;;
    esac
    shift
  done
  case $engine in
    trl) venv=$root/venv-train ;;
    unsloth) venv=$root/venv-train-unsloth ;;
    *) die "--engine must be trl or unsloth, not '$engine'" 2 ;;
  esac
  pins=$root/requirements/train-$engine.txt
}

stamp() {
  printf '%s %s %s\n' "$build" "$TORCH_VERSION" "$(cksum <"$pins")"
}

# The pins name everything but torch, whose builds differ from machine to machine.
install_all() {
  pip_install ${TORCH_INDEX_URL:+--index-url "$TORCH_INDEX_URL"} "torch==$TORCH_VERSION"
  pip_install --no-deps --require-hashes -r "$pins"
  # Its compiled part fits CUDA builds of torch only, and text needs none of it.
  [[ $build == gpu || $engine == trl ]] || "$venv/bin/python" -m pip uninstall --quiet --yes torchvision
}

parse_arguments "$@"
python=$(find_python)
[[ $recreate == false ]] || rm -rf -- "$venv"
install_once "$engine ($build build of torch)" install_all
printf 'Ready. Next:\n  %s/bin/python data/training/train_model.py   # or TRAINING_PYTHON=%s/bin/python\n' \
  "$(basename "$venv")" "$(basename "$venv")"
