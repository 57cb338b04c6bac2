#!/bin/sh
# Settings of docker-compose.yml on standard output: those of .env.example, with a new secret wherever one is empty.
set -eu
while IFS= read -r line; do
    case $line in
        \#*) ;;
        *_PASSWORD= | *_SECRET=) line=$line$(od -A n -N 24 -t x1 /dev/urandom | tr -d ' \n') ;;
    esac
    printf '%s\n' "$line"
done <"$(dirname "$0")/../.env.example"
