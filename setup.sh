#!/bin/sh
# Makes the virtual environment. Where it cannot, it says which packages are missing and, as root on Debian, installs them.
set -eu

complain() {
    echo "$1" >&2
    exit 1
}

install_packages() {
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        echo "Installing $* ..."
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@" >/dev/null
    else
        complain "Missing: $*. On Debian or Ubuntu: sudo apt-get install $*"
    fi
}

is_there() {
    case $1 in
    *.pc) pkg-config --exists "${1%.pc}" ;;
    *) command -v "$1" ;;
    esac >/dev/null 2>&1
}

# `./setup.sh PROGRAM PACKAGE ...` only makes sure that programs, and libraries by their names for pkg-config, are there.
if [ $# -ge 2 ]; then
    missing=
    while [ $# -ge 2 ]; do
        is_there "$1" || missing="$missing $2"
        shift 2
    done
    # shellcheck disable=SC2086 # several words
    [ -z "$missing" ] || install_packages $missing
    exit
fi

command -v "$PYTHON" >/dev/null 2>&1 || install_packages python3 python3-venv
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
    complain "foretrace needs Python 3.10 or newer; name one: make PYTHON=python3.11 demo"
"$PYTHON" -c 'import ensurepip, venv' 2>/dev/null || install_packages python3-venv
if ! command -v c++ >/dev/null 2>&1 && ! command -v clang++ >/dev/null 2>&1; then
    install_packages build-essential
fi

"$PYTHON" -m venv "$VENV"
# Dependency groups need pip 25.1.
"$VENV/bin/python" -m pip install --quiet --upgrade 'pip>=25.1'
