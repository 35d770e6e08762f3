#!/bin/sh
# Lays out the Python packages of bench/pack_llama.sh without pip: all that run under any Python, and of the others those
# that $PYTHON does not have.
#
#   bench/unpack.sh PACK FOLDER
set -eu

pack=${1:?name the folder that bench/pack_llama.sh made}
site=${2:?name a folder}
python=${PYTHON:-python3}

rm -rf "$site"
mkdir -p "$site"
tar -xf "$pack/llama_cpp.tar.xz" -C "$site"
for wheel in "$pack"/any/*.whl; do
    "$python" -m zipfile -e "$wheel" "$site"
done
for module in numpy yaml markupsafe charset_normalizer; do
    if "$python" -c "import $module" 2>/dev/null; then
        continue
    fi
    case $module in
    yaml) wheel=$(echo "$pack"/compiled/[Pp]y[Yy][Aa][Mm][Ll]-*.whl) ;;
    *) wheel=$(echo "$pack/compiled/$module"-*.whl) ;;
    esac
    echo "$module from $wheel"
    "$python" -m zipfile -e "$wheel" "$site"
done
PYTHONPATH="$site" "$python" - <<'END'
import sys

import diskcache, gguf, jinja2, numpy, psutil, pynvml, rich, typing_extensions, yaml

print(f"Python {sys.version.split()[0]}, numpy {numpy.__version__}, gguf from {gguf.__file__}")
END
