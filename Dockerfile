# One image for every process: `gateway`, `consumer`, `migrate`, ... is its argument.
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
WORKDIR /build
RUN python -m venv /opt/flashsale
COPY requirements-image.lock ./
# Hashes: the same files everywhere. Wheels only: no compiler here.
RUN /opt/flashsale/bin/pip install --no-cache-dir --disable-pip-version-check \
    --require-hashes --only-binary :all: -r requirements-image.lock
COPY pyproject.toml README.md LICENSE ./
COPY flashsale ./flashsale
COPY gateway ./gateway
COPY consumer ./consumer
COPY services ./services
RUN /opt/flashsale/bin/pip install --no-cache-dir --disable-pip-version-check \
    --no-deps --no-build-isolation .

# Shoppers for `docker compose --profile load run locust`; not part of the image that sells.
FROM build AS build-load
COPY requirements.lock ./
RUN /opt/flashsale/bin/pip install --no-cache-dir --disable-pip-version-check \
    --require-hashes --only-binary :all: -r requirements.lock

FROM ${BASE} AS load
COPY --from=build-load /opt/flashsale /opt/flashsale
COPY loadtest/locustfile.py /load/locustfile.py
COPY loadtest/payers.py /load/loadtest/payers.py
ENV PATH=/opt/flashsale/bin:$PATH
USER 10001:10001
ENTRYPOINT ["locust", "--locustfile", "/load/locustfile.py"]

FROM ${BASE}
COPY --from=build /opt/flashsale /opt/flashsale
ENV PATH=/opt/flashsale/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    FLASHSALE_GATEWAY_HOST=0.0.0.0 \
    FLASHSALE_METRICS_HOST=0.0.0.0
# A number, so that an orchestrator can tell that it is not root.
USER 10001:10001
EXPOSE 8080 9090 9091 9092
ENTRYPOINT ["flashsale"]
CMD ["--help"]
