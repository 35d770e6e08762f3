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

# `./setup.sh PROGRAM PACKAGE` only makes sure that a program is there.
if [ $# -eq 2 ]; then
    command -v "$1" >/dev/null 2>&1 || install_packages "$2"
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
