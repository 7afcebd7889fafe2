#!/usr/bin/env bash
# Starts vLLM as this service expects it. See usage() and VLLM_GUIDE.md.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
readonly root venv=$root/venv-vllm
model=${VLLM_MODEL_NAME:-unsloth/Qwen2.5-3B-Instruct} host=127.0.0.1 port=8000
dtype=auto max_model_len=4096 tensor_parallel_size=1 quantization="" gpu_memory_utilization=""
lora=true max_loras=4 max_lora_rank=16 lora_dtype=auto
dry_run=false device=""
adapters=() rest=()

usage() {
  cat <<'TEXT'
usage: scripts/start_vllm.sh [MODEL] [options] [any other option of vLLM]

MODEL is a directory or a hub id (default: $VLLM_MODEL_NAME, else unsloth/Qwen2.5-3B-Instruct).
A directory is served under its last name: local-models/small as "small".

  --model MODEL                  the same as MODEL
  --host HOST                    default 127.0.0.1
  --port PORT                    default 8000
  --dtype TYPE                   default auto: the checkpoint's
  --max-model-len N              tokens of prompt and answer together, default 4096
  --tensor-parallel-size N       GPUs that share the model, default 1
  --quantization NAME            default unset: read from the checkpoint (awq, gptq, fp8, ...)
  --gpu-memory-utilization F     share of each GPU's memory, default 0.9
  --lora NAME=DIRECTORY          serve this adapter as model NAME; may be repeated
  --max-loras N                  adapters in one batch, default 4
  --max-lora-rank N              default 16
  --lora-dtype TYPE              default auto
  --no-lora                      no adapters at all (a little faster)
  --trust-remote-code            run code that comes with the model; never the default
  --dry-run                      print the command and stop

Adapters can be loaded while the server runs if only this machine can reach it (a loopback host), or
if VLLM_API_KEY is set; it is read from the environment, so that it shows in no process list.
TEXT
}

die() {
  printf 'start_vllm.sh: %s\n' "$1" >&2
  exit "${2:-1}"
}

parse_arguments() {
  if (($#)) && [[ $1 != -* ]]; then
    set -- --model "$@"
  fi
  while (($#)); do
    case $1 in
      -h | --help) usage && exit 0 ;;
      --dry-run) dry_run=true && shift ;;
      --no-lora) lora=false && shift ;;
      --) rest+=("${@:2}") && return ;;
      --model | --host | --port | --dtype | --max-model-len | --tensor-parallel-size | --quantization | \
        --gpu-memory-utilization | --lora | --max-loras | --max-lora-rank | --lora-dtype)
        (($# > 1)) || die "$1 needs a value (see --help)" 2
        set_option "$1" "$2" && shift 2
        ;;
      --model=* | --host=* | --port=* | --dtype=* | --max-model-len=* | --tensor-parallel-size=* | \
        --quantization=* | --gpu-memory-utilization=* | --lora=* | --max-loras=* | --max-lora-rank=* | \
        --lora-dtype=*)
        set_option "${1%%=*}" "${1#*=}" && shift
        ;;
      *) rest+=("$1") && shift ;;
    esac
  done
}

set_option() {
  local name=${1#--} value=$2
  [[ -n $value ]] || die "$1 needs a value (see --help)" 2
  case $name in
    lora) adapters+=("$value") ;;
    port | max-model-len | tensor-parallel-size | max-loras | max-lora-rank)
      [[ $value =~ ^[1-9][0-9]*$ ]] || die "$1 must be a positive whole number, not '$value'" 2
      printf -v "${name//-/_}" '%s' "$value"
      ;;
    *) printf -v "${name//-/_}" '%s' "$value" ;;
  esac
}

# Is this option among those that are passed through?
passed() {
  local argument
  for argument in ${rest[@]+"${rest[@]}"}; do
    [[ $argument == "$1" || $argument == "$1="* ]] && return 0
  done
  return 1
}

# A number or a string of an adapter's configuration; empty where it has none.
adapter_field() {
  sed -nE 's/^.*"'"$2"'": *"?([^",}]*).*$/\1/p' "$1/adapter_config.json" | head -n 1
}

check_model() {
  local base
  if [[ ! -e $model && -f $root/$model/config.json ]]; then
    model=$root/$model
  fi
  if [[ -f $model/adapter_config.json && ! -f $model/config.json ]]; then
    base=$(adapter_field "$model" base_model_name_or_path)
    die "'$model' is a LoRA adapter, not a model: start its base (${base:-see adapter_config.json}) with --lora NAME='$model'"
  fi
  if [[ -d $model ]]; then
    [[ -f $model/config.json ]] || die "'$model' has no config.json: it is not a model directory"
    return
  fi
  case $model in
    local-models/*) die "there is no model directory '$model': see local-models/README.md (scripts/make_small_model.py makes one)" ;;
    /* | ./* | ../*) die "there is no model directory '$model'" ;;
  esac
}

# NAME=DIRECTORY with the directory made absolute, after the checks that vLLM makes only once it has loaded.
resolve_adapter() {
  local name=${1%%=*} path=${1#*=} rank
  [[ $1 == *=* && -n $path ]] || die "--lora '$1' must be NAME=DIRECTORY" 2
  [[ $name =~ ^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$ ]] ||
    die "--lora name '$name' may hold letters, digits, '.', '_' and '-' only" 2
  [[ -f $path/adapter_config.json ]] || die "there is no adapter at '$path' (no adapter_config.json in it)"
  path=$(cd -- "$path" && pwd -P)
  [[ $path != *,* ]] || die "vLLM cannot read an adapter path with a comma: rename '$path'"
  rank=$(adapter_field "$path" r)
  [[ ! $rank =~ ^[0-9]+$ ]] || ((rank <= max_lora_rank)) ||
    die "adapter '$name' has rank $rank: add --max-lora-rank with $rank or the next of 32, 64, 128, 256"
  printf '%s=%s' "$name" "$path"
}

on_loopback() {
  [[ $host == localhost || $host == ::1 || $host =~ ^127\.[0-9.]+$ ]]
}

# Anyone who may load an adapter may make the server read a path: never open to a network without a key.
runtime_loading() {
  local wanted=${VLLM_ALLOW_RUNTIME_LORA_UPDATING:-}
  [[ $lora == true && $wanted != 0 ]] || { printf 0 && return; }
  if on_loopback || [[ -n ${VLLM_API_KEY:-} ]] || passed --api-key; then
    printf 1
  elif [[ -n $wanted ]]; then
    die "adapters may not be loaded over the network without a key: set VLLM_API_KEY, or use --host 127.0.0.1"
  else
    printf 0
  fi
}

detect_device() {
  if [[ -n ${VLLM_TARGET_DEVICE:-} ]]; then
    device=$VLLM_TARGET_DEVICE
  elif [[ -f $venv/.installed ]]; then
    read -r device _ <"$venv/.installed"
  elif [[ -e /dev/nvidiactl || -e /dev/kfd || -e /dev/dxg ]]; then
    device=gpu
  else
    device=cpu
  fi
}

model_arguments() {
  command+=(--model "$model" --host "$host" --port "$port" --dtype "$dtype" --max-model-len "$max_model_len")
  command+=(--tensor-parallel-size "$tensor_parallel_size")
  if [[ -d $model ]] && ! passed --served-model-name; then
    command+=(--served-model-name "$(basename -- "$(cd -- "$model" && pwd -P)")")
  fi
  if [[ -n $quantization ]]; then
    command+=(--quantization "$quantization")
  fi
  command+=(--enable-prompt-tokens-details --max-num-queued-reqs 256)
}

lora_arguments() {
  local adapter modules=()
  [[ $lora == true ]] || return 0
  command+=(--enable-lora --max-loras "$max_loras" --max-lora-rank "$max_lora_rank" --lora-dtype "$lora_dtype")
  for adapter in ${adapters[@]+"${adapters[@]}"}; do
    modules+=("$(resolve_adapter "$adapter")")
  done
  if ((${#modules[@]})); then
    command+=(--lora-modules "${modules[@]}")
  fi
}

# On a CPU vLLM would take most of the memory for its cache, and compiling gains nothing with LoRA.
device_arguments() {
  if [[ $device == cpu ]]; then
    environment+=(VLLM_TARGET_DEVICE=cpu "VLLM_CPU_KVCACHE_SPACE=${VLLM_CPU_KVCACHE_SPACE:-2}")
    passed --enforce-eager || command+=(--enforce-eager)
    [[ -z $gpu_memory_utilization ]] || command+=(--gpu-memory-utilization "$gpu_memory_utilization")
  else
    command+=(--gpu-memory-utilization "${gpu_memory_utilization:-0.9}")
  fi
}

parse_arguments "$@"
[[ $lora == true || ${#adapters[@]} -eq 0 ]] || die "--lora and --no-lora exclude each other" 2
check_model
detect_device
updating=$(runtime_loading)
environment=("VLLM_ALLOW_RUNTIME_LORA_UPDATING=$updating")
command=("$venv/bin/python" -m vllm.entrypoints.openai.api_server)
model_arguments
lora_arguments
device_arguments
command+=(${rest[@]+"${rest[@]}"})

if [[ $dry_run == true ]]; then
  printf '%q ' "${environment[@]}" "${command[@]}" && printf '\n'
  exit 0
fi
[[ -x $venv/bin/python ]] || die "venv-vllm is missing: run scripts/setup_vllm.sh (or, without a GPU, scripts/setup_vllm.sh --cpu)"
[[ $updating == 1 || $lora == false ]] ||
  printf 'start_vllm.sh: adapters cannot be loaded at run time (no VLLM_API_KEY, host %s)\n' "$host" >&2
export "${environment[@]}"
exec "${command[@]}"
