# syntax=docker/dockerfile:1
# One image for both programs: a service runs `dbt-server`, a Cloud Run Job `dbt-job`.
#
#   docker build -t dbt-remote .
#   docker build -t dbt-remote --build-arg ADAPTERS="dbt-bigquery~=1.11.0 dbt-postgres~=1.10" --build-arg ELEMENTARY=0.25.1 .
#
# Versions are pinned here; for images that are the same to the byte, give the base images by their digests:
#   --build-arg NODE_IMAGE=node@sha256:… --build-arg PYTHON_IMAGE=python@sha256:…
ARG NODE_IMAGE=node:24.21.0-bookworm-slim
ARG PYTHON_IMAGE=python:3.12.12-slim-bookworm

# The programs, bundled.
FROM ${NODE_IMAGE} AS programs
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY . .
RUN node scripts/build.mjs

# What the bundles load at run time: the packages of the lock file that are not for development.
FROM ${NODE_IMAGE} AS packages
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts --omit=dev

# dbt, its adapters and, where asked for, Elementary; compiled, for a container's first start is the only one.
FROM ${PYTHON_IMAGE} AS dbt
ARG DBT_CORE=1.11.16
ARG ADAPTERS="dbt-bigquery~=1.11.0"
# Elementary's version, such as 0.25.1: that of the dbt package `elementary` in the projects. Empty: none.
ARG ELEMENTARY=""
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN apt-get update \
 && apt-get install --yes --no-install-recommends git \
 && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/dbt \
 && /opt/dbt/bin/pip install "dbt-core==${DBT_CORE}" ${ADAPTERS} ${ELEMENTARY:+"elementary-data==${ELEMENTARY}"}
# The packages of edr's own dbt project, without which each first report would look for dbt's hub.
RUN if [ -n "${ELEMENTARY}" ]; then \
      /opt/dbt/bin/python -c "from elementary.monitor.dbt_init import DBTInit; DBTInit().setup_internal_dbt_packages()"; \
    fi
RUN /opt/dbt/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/dbt/lib

FROM ${PYTHON_IMAGE}
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates git openssh-client \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --create-home --shell /usr/sbin/nologin dbt
COPY --from=programs /usr/local/bin/node /usr/local/bin/node
COPY --from=dbt /opt/dbt /opt/dbt
COPY --from=packages /build/node_modules /opt/dbt-remote/node_modules
COPY --from=programs /build/dist /opt/dbt-remote/dist
COPY package.json LICENSE /opt/dbt-remote/
RUN ln -s /opt/dbt-remote/dist/server/main.js /usr/local/bin/dbt-server \
 && ln -s /opt/dbt-remote/dist/job/main.js /usr/local/bin/dbt-job \
 && ln -s /opt/dbt-remote/dist/cli/main.js /usr/local/bin/dbt-remote \
 && /opt/dbt/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/dbt-remote/dist
# Cloud Run says PORT itself. Who may use the server has to be said (DBT_SERVER_AUTH), else it does not start.
ENV HOST=0.0.0.0 \
    PORT=8080 \
    PATH=/opt/dbt/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    DBT_SERVER_PYTHON=/opt/dbt/bin/python \
    DBT_SERVER_DATA_DIR=/tmp/dbt-remote
USER 10001
WORKDIR /home/dbt
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/check`).then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
CMD ["dbt-server"]
