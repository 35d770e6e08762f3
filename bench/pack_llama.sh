#!/bin/sh
# Packs what bench/on_gpu.sh needs on a machine without a network, in one folder of 22 MB: llama.cpp's sources as pinned,
# without what a build of its libraries does not touch, and the Python packages.
#
#   bench/pack_llama.sh FOLDER [PYTHON_VERSION]     # of the other machine; 3.12
#
# PIP names the pip to fetch with (python3 -m pip). The other machine is Linux on x86-64.
set -eu

folder=${1:?name a folder}
version=${2:-3.12}
pip=${PIP:-python3 -m pip}
here=$(cd "$(dirname "$0")" && pwd)
pinned=$(sed -n 's/^ *"llama-cpp-python==\(.*\)",/\1/p' "$here/../pyproject.toml")

mkdir -p "$folder/any" "$folder/compiled"
folder=$(cd "$folder" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

$pip download --quiet --no-deps --no-binary llama-cpp-python --dest "$work" "llama-cpp-python==$pinned"
tar -xf "$work"/llama_cpp_python-"$pinned".tar.gz -C "$work"
sources=$work/llama_cpp_python-$pinned

# The backends but CPU and CUDA, and everything that is not a library.
(
    cd "$sources/vendor/llama.cpp"
    for backend in ggml/src/ggml-*/; do
        case $backend in
        ggml/src/ggml-cpu/ | ggml/src/ggml-cuda/) ;;
        *) rm -r "$backend" ;;
        esac
    done
    tar -cJf "$folder/llama.tar.xz" CMakeLists.txt LICENSE cmake ggml include src vendor
)
# The Python side of llama-cpp-python, and its metadata, which says its version.
mkdir "$work/site"
cp -r "$sources/llama_cpp" "$work/site/"
mkdir "$work/site/llama_cpp_python-$pinned.dist-info"
cp "$sources/PKG-INFO" "$work/site/llama_cpp_python-$pinned.dist-info/METADATA"
tar -cJf "$folder/llama_cpp.tar.xz" -C "$work/site" .

fetch() { # a folder, then packages
    to=$1
    shift
    $pip download --quiet --no-deps --only-binary=:all: --python-version "$version" --implementation cp \
        --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
        --dest "$to" "$@"
}
rm -f "$folder"/any/* "$folder"/compiled/*
fetch "$folder/any" certifi diskcache gguf idna jinja2 markdown-it-py mdurl nvidia-ml-py psutil pygments requests rich \
    tqdm typing-extensions urllib3
fetch "$folder/compiled" charset-normalizer markupsafe numpy pyyaml

git -C "$here" rev-parse HEAD >"$folder/commit"
du -sh "$folder"
