#!/bin/sh
# All of bench.gpu on a machine with an NVIDIA GPU and without a network, in steps that are each done once:
# unpack, build llama.cpp, measure a small model, measure CWM's real shape, compare memory with the plan.
#
#   bench/on_gpu.sh PACK RESULTS        # PACK is made by bench/pack_llama.sh
#
# LIMIT seconds (570) after its start it stops whatever runs and exits with 75: call it again, and it goes on. WORK
# (/tmp/foretrace-gpu) holds what it builds and 20 GB of random weights; PYTHON is the interpreter. With CUDA=OFF it does
# all but the real shape on the CPU, to try it out. RESULTS gets a log of each step, steps.log with their times, and the
# JSONs.
set -eu

pack=$(cd "${1:?name the folder that bench/pack_llama.sh made}" && pwd)
results=${2:?name a folder for the results}
limit=${LIMIT:-570}
work=${WORK:-/tmp/foretrace-gpu}
export CUDA="${CUDA:-ON}"
export PYTHON="${PYTHON:-python3}"
began=$(date +%s)

mkdir -p "$work/done" "$results"
work=$(cd "$work" && pwd)
results=$(cd "$results" && pwd)
cd "$(dirname "$0")/.."
export PYTHONPATH="$work/site:$PWD" PYTHONUNBUFFERED=1 PYTHONHASHSEED=0
export LLAMA_CPP_LIB_PATH="$work/llama/build/bin"
FORETRACE_COMMIT=${FORETRACE_COMMIT:-$(cat "$pack/commit")}
export FORETRACE_COMMIT

say() {
    echo "$(($(date +%s) - began)) s  $*" | tee -a "$results/steps.log"
}

step() { # a name, then a command
    name=$1
    shift
    if [ -e "$work/done/$name" ]; then
        say "$name: done before"
        return
    fi
    left=$((limit - ($(date +%s) - began)))
    if [ "$left" -lt 20 ]; then
        say "$name: no time left; call again"
        exit 75
    fi
    say "$name: begins, $left s left"
    code=0
    timeout -k 5 "$left" "$@" >"$results/$name.log" 2>&1 || code=$?
    cp "$work"/*.json "$results/" 2>/dev/null || true
    if [ "$code" = 124 ] || [ "$code" = 137 ]; then
        say "$name: stopped; call again, and it goes on"
        exit 75
    fi
    if [ "$code" != 0 ]; then
        tail -n 30 "$results/$name.log"
        say "$name: failed with $code"
        exit "$code"
    fi
    touch "$work/done/$name"
    say "$name: done"
}

step unpack sh bench/unpack.sh "$pack" "$work/site"
step build sh bench/build_cuda.sh "$pack/llama.tar.xz" "$work/llama"
step quick "$PYTHON" -m bench.gpu --quick --out "$work/quick.json"
if [ "$CUDA" = ON ]; then
    step full "$PYTHON" -m bench.gpu --work "$work/models" --out "$work/gpu.json" --resume
    step memory "$PYTHON" -m bench.memory
else
    step memory "$PYTHON" -m bench.memory --quick
fi
cp "$work"/*.json "$results/"
"$PYTHON" -m bench.gpu --table "$([ -e "$work/gpu.json" ] && echo "$work/gpu.json" || echo "$work/quick.json")"
say "all done"
