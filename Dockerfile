# EXTRAS names the lock to install: base, sagemaker or azureml. Each contains base; the clouds' SDKs exclude each other.
ARG EXTRAS=base
ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
ARG EXTRAS
ARG UV_VERSION=0.13.9
ENV UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_PYTHON_DOWNLOADS=never
RUN pip install --no-cache-dir --disable-pip-version-check "uv==${UV_VERSION}"
WORKDIR /build
COPY requirements requirements
RUN uv venv /opt/refit \
 && uv pip install --no-cache --python /opt/refit/bin/python --require-hashes -r "requirements/${EXTRAS}.lock"
# The launcher is written here because building the project would fetch a build backend that no lock pins.
RUN printf '%s\n' '#!/opt/refit/bin/python' 'import sys' 'from service.__main__ import main' 'sys.exit(main())' \
      > /opt/refit/bin/refit \
 && chmod 755 /opt/refit/bin/refit

FROM python:${PYTHON}-slim
# Debian keeps only a package's newest version, so a pinned one would stop this build within weeks.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends git \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --create-home --home-dir /var/lib/refit --shell /usr/sbin/nologin refit
COPY --from=build /opt/refit /opt/refit
COPY LICENSE /app/
COPY migrations /app/migrations
COPY pipelines /app/pipelines
COPY service /app/service
# Each command and each step is a process of its own, which would parse all of this again: nothing is written here at run time.
RUN python -m compileall -q /app/migrations /app/service
# All that is written at run time lies below REFIT_HOME and /tmp, so the root file system may be read-only.
ENV PATH=/opt/refit/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    REFIT_HOME=/var/lib/refit/state \
    UV_CACHE_DIR=/var/lib/refit/cache \
    UV_PYTHON_DOWNLOADS=never
USER 10001
WORKDIR /var/lib/refit
VOLUME /var/lib/refit
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
  CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8080/healthz', timeout=2)"]
CMD ["refit", "serve", "--host", "0.0.0.0", "--port", "8080"]
