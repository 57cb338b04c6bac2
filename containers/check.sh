#!/bin/sh
# Check the Dockerfile and docker-compose.yml, for `make check`; what a checker is missing for is said and left.
#
#     containers/check.sh FOLDER     where hadolint and python are
set -eu
bin=$1
root=$(cd "$(dirname "$0")/.." && pwd)

if [ -x "$bin/hadolint" ]; then
    "$bin/hadolint" "$root/Dockerfile"
else
    echo "hadolint is not installed in $bin: the Dockerfile is not checked"
fi

settings=$(mktemp)
trap 'rm -f "$settings"' EXIT
"$root/containers/secrets.sh" >"$settings"
PYTHON=$bin/python "$root/containers/compose.sh" --project-directory "$root" --env-file "$settings" \
    --profile gpu config --quiet || {
    [ $? = 69 ] || exit 1
    echo "Docker Compose v2 cannot be had: docker-compose.yml is not checked"
}
