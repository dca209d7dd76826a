#!/bin/sh
# Installs envctl from this folder and fills its cache; no network, no root, nothing but a CPython is needed.
# sh install.sh [--prefix DIR] [--bin DIR] [--cache DIR] [--load]; PYTHON=PATH says which CPython.
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || exit 4
for python in "${PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11 python3.10; do
    [ -n "$python" ] || continue
    if command -v "$python" >/dev/null 2>&1 && "$python" -c 'import json, hashlib, zipfile' >/dev/null 2>&1; then
        exec "$python" -I "$here/install.py" "$@"
    fi
    if [ "$python" = "${PYTHON:-}" ]; then
        echo "error: $python does not run, or lacks its standard library" >&2
        exit 4
    fi
done
echo "error: this machine has no CPython 3 with its standard library (python3 on PATH)" >&2
echo "hint: say where it is: PYTHON=/path/to/python3 sh install.sh" >&2
exit 4
