# Written by rules_bento. From the root of the Bento, with BuildKit, podman or buildah:
#   docker build --file env/docker/Dockerfile .

# hadolint ignore=DL3006,DL3007
FROM python:3.11-slim AS base-container
USER 0
ENV LANG=C.UTF-8 LC_ALL=C.UTF-8 PYTHONIOENCODING=UTF-8 PYTHONUNBUFFERED=1
# hadolint ignore=DL3008
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    rm -f /etc/apt/apt.conf.d/docker-clean \
    && apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends ca-certificates gnupg2 bash build-essential git

ARG BENTO_USER=bentoml
ARG BENTO_USER_UID=1034
ARG BENTO_USER_GID=1034
RUN if command -v groupadd >/dev/null 2>&1; then \
      groupadd -o -g "$BENTO_USER_GID" "$BENTO_USER" \
      && useradd -l -m -o -r -u "$BENTO_USER_UID" -g "$BENTO_USER_GID" "$BENTO_USER"; \
    else \
      addgroup -S -g "$BENTO_USER_GID" "$BENTO_USER" \
      && adduser -S -u "$BENTO_USER_UID" -G "$BENTO_USER" "$BENTO_USER"; \
    fi

ARG A="x y"
ENV A=$A
ARG NONE
ENV NONE=$NONE
ARG BENTO_PATH=/home/bentoml/bento
ENV BENTO_PATH=$BENTO_PATH BENTOML_HOME=/home/bentoml/ BENTOML_HF_CACHE_DIR=$BENTO_PATH/hf-models \
    BENTOML_CONTAINERIZED=true
RUN mkdir -p "$BENTO_PATH" && chown "$BENTO_USER:$BENTO_USER" "$BENTO_PATH"
WORKDIR $BENTO_PATH

COPY --chmod=755 env/docker/script__ac4424090a96ccaad8491834c1df4e3f ./env/docker/script__ac4424090a96ccaad8491834c1df4e3f
RUN --mount=type=secret,id=S \
    --mount=type=secret,id=TOKEN,required=true \
    S="$(cat /run/secrets/S 2>/dev/null || printf %s 'it'"'"'s')"; export S; TOKEN="$(cat /run/secrets/TOKEN)"; export TOKEN; ./env/docker/script__ac4424090a96ccaad8491834c1df4e3f
RUN --mount=type=secret,id=S \
    --mount=type=secret,id=TOKEN,required=true \
    --mount=type=cache,target=/root/.cache/pip \
    S="$(cat /run/secrets/S 2>/dev/null || printf %s 'it'"'"'s')"; export S; TOKEN="$(cat /run/secrets/TOKEN)"; export TOKEN; if ! command -v uv >/dev/null 2>&1; then \
      python3 -m venv /opt/uv \
      && printf '%s\n' 'uv==0.13.8 \
        --hash=sha256:e18a57b8b352eb7c8feb317b9f6f533c8f0ad9673fd6cf34bbe3cf1a9f6a8984 \
        --hash=sha256:29451c60f5e8b07403e0a175d5229efc36b0289b34143ff4aaa499a5dd52553a \
        --hash=sha256:0b3e8b1a4f5e405e31e2ff33de8af4744831e9f7338539671efbd8c3c94e791d \
        --hash=sha256:6999618363d03a0a085a9491db319e00b461dbda205db06ef1fd55dfcbf6472b \
        --hash=sha256:13050c64530a1ccfc223af0306a8152d41c0d36ea63bc19161221ca65dfe480a' > /opt/uv/requirements.txt \
      && /opt/uv/bin/pip install --disable-pip-version-check --require-hashes -r /opt/uv/requirements.txt \
      && ln -sf /opt/uv/bin/uv /usr/local/bin/uv; \
    fi
ENV VIRTUAL_ENV=/app/.venv UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_NO_PROGRESS=1 \
    UV_PYTHON_INSTALL_DIR=/app/python
RUN --mount=type=secret,id=S \
    --mount=type=secret,id=TOKEN,required=true \
    S="$(cat /run/secrets/S 2>/dev/null || printf %s 'it'"'"'s')"; export S; TOKEN="$(cat /run/secrets/TOKEN)"; export TOKEN; uv venv --python 3.11 /app/.venv
ENV PATH=/app/.venv/bin:$PATH
COPY env/python ./env/python/
RUN --mount=type=secret,id=S \
    --mount=type=secret,id=TOKEN,required=true \
    --mount=type=cache,target=/root/.cache/uv \
    S="$(cat /run/secrets/S 2>/dev/null || printf %s 'it'"'"'s')"; export S; TOKEN="$(cat /run/secrets/TOKEN)"; export TOKEN; uv pip install -r env/python/requirements.txt
COPY --chown=$BENTO_USER:$BENTO_USER src ./src/
COPY --chown=$BENTO_USER:$BENTO_USER README.md bento.yaml ./

ENV R="\$r"
COPY --chmod=755 env/docker/entrypoint.sh /home/bentoml/bento/env/docker/entrypoint.sh
EXPOSE 3000 3001
USER $BENTO_USER_UID:$BENTO_USER_GID
ENTRYPOINT ["/home/bentoml/bento/env/docker/entrypoint.sh"]
