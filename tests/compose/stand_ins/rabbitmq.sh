#!/bin/sh
# As docker-entrypoint.sh of rabbitmq:4-management: own the volume, step down, start the server.
# The server itself reads RABBITMQ_DEFAULT_USER and RABBITMQ_DEFAULT_PASS.
set -eu
if [ "$(id -u)" = 0 ]; then
    chown rabbitmq /var/lib/rabbitmq
    find /var/lib/rabbitmq ! -user rabbitmq -exec chown rabbitmq '{}' +
    exec setpriv --reuid rabbitmq --regid rabbitmq --init-groups "$0" "$@"
fi
umask 077
exec "$@"
