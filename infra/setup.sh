#!/usr/bin/env bash
# Make a Python environment: infra/setup.sh FOLDER [EXTRAS]. Installs uv into .uv/ when the machine has none.
set -euo pipefail
cd "$(dirname "$0")/.."
target=$1 extras=${2:-}

find_uv() {
    if command -v uv >/dev/null 2>&1; then command -v uv; return; fi
    if [ ! -x .uv/bin/uv ]; then
        python3 -m venv .uv >&2
        .uv/bin/python -m pip install --quiet --disable-pip-version-check uv >&2
    fi
    echo .uv/bin/uv
}

stamp=$target/.stamp
wanted=$(cat pyproject.toml infra/constraints.txt infra/setup.sh | sha256sum | cut -c1-16)-$extras
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then exit 0; fi
uv=$(find_uv)
[ -x "$target/bin/python" ] || "$uv" venv --quiet --python '>=3.11,<3.14' "$target" >&2
if [[ ",$extras," == *,network,* ]] && ! command -v nvidia-smi >/dev/null 2>&1; then
    # Without a GPU the small CPU build does, where its index is reached; the public one's runs on CPUs too.
    UV_HTTP_RETRIES=0 "$uv" pip install --quiet --python "$target/bin/python" --constraint infra/constraints.txt \
        --torch-backend=cpu torch >/dev/null 2>&1 || true
fi
"$uv" pip install --quiet --python "$target/bin/python" --constraint infra/constraints.txt --editable ".${extras:+[$extras]}" >&2
# Bytecode of what a worker imports: where images forbid writing it, every start would compile 2 s of sources anew.
env -u PYTHONDONTWRITEBYTECODE "$target/bin/python" infra/bytecode.py
echo "$wanted" >"$stamp"
