"""`env/docker/entrypoint.sh`: the entry point of containers, for any image builder and any POSIX shell."""

from __future__ import annotations

ENTRYPOINT = """\
#!/bin/sh
# Starts the Bento. Without arguments, or with options alone, it serves; `serve ...` and `start-http-server ...` and the
# like are told where the Bento is; anything else is run as it stands.
set -eu
: "${BENTO_PATH:=/home/bentoml/bento}"

for environment in /app/.venv .venv; do
    if [ -d "$environment/bin" ]; then
        VIRTUAL_ENV=$(cd -- "$environment" && pwd)
        PATH="$VIRTUAL_ENV/bin:$PATH"
        export VIRTUAL_ENV PATH
        break
    fi
done

# Platforms that choose the port say so in PORT.
if [ -n "${PORT:-}" ]; then
    BENTOML_PORT=$PORT
    export BENTOML_PORT
fi

start() {
    exec python -m bentoml_cli._internal.start "$@" "$BENTO_PATH"
}

if [ "$#" -eq 0 ] || [ "${1#-}" != "$1" ]; then
    case "${BENTOML_SERVE_COMPONENT:-}" in
    http_server) start start-http-server "$@" ;;
    grpc_server) start start-grpc-server "$@" ;;
    runner) start start-runner-server "$@" ;;
    *) exec bentoml serve "$@" "$BENTO_PATH" ;;
    esac
fi

case "$1" in
start-http-server | start-grpc-server | start-runner-server) start "$@" ;;
serve | serve-http | serve-grpc) exec bentoml "$@" "$BENTO_PATH" ;;
esac
exec "$@"
"""
