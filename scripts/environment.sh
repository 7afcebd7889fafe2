# Sourced by setup_vllm.sh and setup_train.sh: a virtual environment of its own, installed once.
# They set root, venv, pins, build, python and a function stamp: what is installed, the build first.
# shellcheck shell=bash

die() {
  printf '%s: %s\n' "$(basename -- "$0")" "$1" >&2
  exit "${2:-1}"
}

find_python() {
  local candidate check='import sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 15))'
  for candidate in ${PYTHON:+"$PYTHON"} python3.11 python3; do
    if "$candidate" -c "$check" >/dev/null 2>&1; then
      printf '%s' "$candidate"
      return
    fi
    [[ $candidate != "${PYTHON:-}" ]] || die "PYTHON=$PYTHON does not run as Python 3.11 to 3.14 with venv"
  done
  die "no Python 3.11 to 3.14 with venv found: install one, or set PYTHON to its path"
}

pip_install() {
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@" ||
    die "pip could not install ${!#}: see its message above, mend the cause, run this again"
}

# install_once WHAT COMMAND: a second run has nothing to do, and changed pins are noticed.
install_once() {
  local what=$1 before=""
  [[ ! -f $venv/.installed ]] || before=$(<"$venv/.installed")
  [[ $before != "$(stamp)" ]] || return 0
  [[ -z $before || ${before%% *} == "$build" ]] ||
    die "$(basename "$venv") holds the ${before%% *} build: add --recreate to replace it"
  printf 'Installing %s into %s: some minutes\n' "$what" "$venv"
  "$python" -m venv "$venv" || die "cannot create $venv with $python"
  "$2"
  stamp >"$venv/.installed"
}
