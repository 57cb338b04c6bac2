# prelabel's two images: `web` answers Label Studio, `worker` does the rest (worker, trainer, cron, begin).
# Everything is fetched here, the models too: what runs needs no package index and no hub.
#
#   docker build --target worker --build-arg PIP_INDEX_URL=https://packages.example.com/simple .

ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS python
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PATH=/opt/prelabel/bin:$PATH


# What is installed changes seldom; the rest of pyproject.toml and the code do not make it be installed again.
FROM python AS requirements
WORKDIR /build
COPY pyproject.toml containers/requirements.py ./
RUN python requirements.py > /requirements.txt \
    && python requirements.py parquet postgres >> /requirements.txt \
    && python requirements.py llm > /llm.txt


FROM python AS build
# The package index, with its password where it has one: it stays in this stage. Empty: what pip takes by itself.
ARG PIP_INDEX_URL
# PyTorch's own index, because the other one's wheels for Linux bring several GB of CUDA. Empty: it is not asked.
ARG TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu
# For every x86-64 of the last ten years, not only for the one that builds; without OpenMP it can be forked. No pictures.
ARG LLAMA_CMAKE_ARGS="-DLLAVA_BUILD=OFF -DLLAMA_BUILD_COMMON=OFF -DGGML_NATIVE=OFF -DGGML_OPENMP=OFF -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON -DGGML_BMI2=ON"
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1

# a compiler's exact version is the base image's business
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ make \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /build
RUN python -m venv /opt/prelabel
COPY --from=requirements /requirements.txt /llm.txt ./
COPY constraints.txt ./
RUN --mount=type=cache,target=/root/.cache/pip \
    if [ -n "$TORCH_INDEX_URL" ]; then pip install -c constraints.txt --index-url "$TORCH_INDEX_URL" torch; fi \
    && pip install -c constraints.txt -r requirements.txt
RUN --mount=type=cache,target=/root/.cache/pip \
    CMAKE_ARGS="$LLAMA_CMAKE_ARGS" pip install -c constraints.txt -r llm.txt

COPY pyproject.toml README.md LICENSE ./
COPY backend ./backend
COPY training ./training
COPY prelabel ./prelabel
COPY profiles ./profiles
COPY samples ./samples
RUN --mount=type=cache,target=/root/.cache/pip pip install --no-deps .


FROM build AS models
ARG PIP_INDEX_URL
ARG PRELABEL_PROFILE=embedded
# Options of `prelabel models fetch`, as "--accept-licence gemma --mirror https://hub.example.com"
ARG FETCH_OPTIONS
ENV PRELABEL_MODELS=/opt/models PRELABEL_HOME=/tmp/prelabel
# one option a word
# hadolint ignore=SC2086
RUN --mount=type=cache,target=/root/.cache/pip \
    prelabel models fetch --profile "$PRELABEL_PROFILE" $FETCH_OPTIONS && chmod -R a=rX /opt/models


FROM python AS runtime
# Its number is written down, so that a volume of one release belongs to the next one's user, too.
RUN groupadd --gid 10001 prelabel \
    && useradd --uid 10001 --gid prelabel --no-create-home --home-dir /var/lib/prelabel --shell /usr/sbin/nologin prelabel \
    && install -d -o prelabel -g prelabel -m 0700 /var/lib/prelabel
COPY --from=build /opt/prelabel /opt/prelabel
COPY --from=models /opt/models /opt/models
COPY label_config.xml /var/lib/prelabel-defaults/
ARG PRELABEL_PROFILE=embedded
# /tmp is what a container with a read-only file system may write to, beside its state
ENV PRELABEL_HOME=/var/lib/prelabel PRELABEL_MODELS=/opt/models PRELABEL_PROFILE=${PRELABEL_PROFILE} \
    MPLCONFIGDIR=/tmp/matplotlib XDG_CACHE_HOME=/tmp/cache
WORKDIR /var/lib/prelabel-defaults
USER 10001:10001


FROM runtime AS worker
CMD ["prelabel", "worker"]


FROM runtime AS web
ENV PRELABEL_WEB_HOST=0.0.0.0 PRELABEL_WEB_PORT=9090
EXPOSE 9090
HEALTHCHECK --interval=10s --timeout=6s --start-period=120s --retries=3 CMD ["python", "-m", "backend.supervisor.probe", "web"]
CMD ["prelabel", "serve"]
