#!/bin/sh
# Builds llama.cpp's shared libraries from a tarball of bench/pack_llama.sh; called again, it goes on where it was
# stopped. Its last line is the folder for LLAMA_CPP_LIB_PATH, where llama-cpp-python then finds them.
#
#   bench/build_cuda.sh llama.tar.xz FOLDER
#
# CUDA=OFF builds for the CPU; ARCHITECTURES are the GPU's (90: H100 and H200); JOBS is how many compilers run at once.
# NVIDIA's cuBLAS is taken from the toolkit or, where that has none, from the packages of PyTorch ($PYTHON).
set -eu

tarball=${1:?name the tarball}
folder=${2:?name a folder}
cuda=${CUDA:-ON}
python=${PYTHON:-python3}
jobs=${JOBS:-$(nproc)}

if [ ! -e "$folder/source/unpacked" ]; then
    mkdir -p "$folder/source"
    tar -xf "$tarball" -C "$folder/source"
    touch "$folder/source/unpacked"
fi
folder=$(cd "$folder" && pwd)

set -- -DGGML_CUDA="$cuda"
rpath='$ORIGIN'
if [ "$cuda" = ON ]; then
    nvcc=$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)
    if [ ! -x "$nvcc" ]; then
        echo "There is no nvcc; install the CUDA toolkit, or build for the CPU: CUDA=OFF." >&2
        exit 3
    fi
    toolkit=$("$nvcc" -v -E -x cu /dev/null 2>&1 | sed -n 's/^#\$ TOP=//p')
    toolkit=$(cd "${toolkit:-/usr/local/cuda}" && pwd)
    set -- "$@" -DCMAKE_CUDA_COMPILER="$nvcc" -DCMAKE_CUDA_ARCHITECTURES="${ARCHITECTURES:-90}" -DGGML_CUDA_NCCL=OFF
    echo "nvcc: $nvcc, toolkit: $toolkit"

    # The toolkit first, then the packages that PyTorch brings, whose libraries have no names without a version.
    roots=$(echo "$toolkit"; "$python" -c 'import nvidia; print(*nvidia.__path__, sep="\n")' 2>/dev/null || true)
    first() { # of the files of this name
        echo "$roots" | while read -r root; do
            find -L "$root" -name "$1" ! -path '*/stubs/*' 2>/dev/null | sort | head -n 1
        done | head -n 1
    }
    header=$(first cublas_v2.h) runtime=$(first 'libcudart.so*')
    blas=$(first 'libcublas.so*') blas_lt=$(first 'libcublasLt.so*')
    if [ -z "$header" ] || [ -z "$runtime" ] || [ -z "$blas" ] || [ -z "$blas_lt" ]; then
        echo "CUDA's runtime or cuBLAS is missing, in $toolkit and in the packages of $python." >&2
        exit 3
    fi
    set -- "$@" -DCMAKE_CUDA_FLAGS="-I$(dirname "$header")" -DCUDA_CUDART="$runtime" \
        -DCUDA_cublas_LIBRARY="$blas" -DCUDA_cublasLt_LIBRARY="$blas_lt"
    rpath="$rpath;$(dirname "$runtime");$(dirname "$blas")"
    echo "runtime: $runtime, cuBLAS: $blas"

    # What links to the driver needs a libcuda; without one, memory pools that grow in place are left out.
    driver=$(find -L "$toolkit" /usr/local/nvidia /usr/lib -name 'libcuda.so*' 2>/dev/null | head -n 1 || true)
    if [ -n "$driver" ]; then
        set -- "$@" -DCUDA_cuda_driver_LIBRARY="$driver"
    else
        set -- "$@" -DGGML_CUDA_NO_VMM=ON
    fi
    echo "driver's library: ${driver:-none}"
fi

generator='Unix Makefiles'
command -v ninja >/dev/null && generator=Ninja
cmake -G "$generator" -S "$folder/source" -B "$folder/build" -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=ON \
    -DCMAKE_BUILD_WITH_INSTALL_RPATH=ON -DCMAKE_INSTALL_RPATH="$rpath" \
    -DLLAMA_BUILD_COMMON=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_TOOLS=OFF \
    -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_APP=OFF "$@"
cmake --build "$folder/build" --target llama -j "$jobs"
echo "$folder/build/bin"
