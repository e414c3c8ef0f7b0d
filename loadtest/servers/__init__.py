"""Private servers on free loopback ports, for the demo, benchmarks and tests."""

from loadtest.servers.certificates import Authority, Certificate
from loadtest.servers.cluster import RabbitCluster, rabbitmq_cluster
from loadtest.servers.installed import Installation, ServerNotFound
from loadtest.servers.nginx import Nginx, nginx
from loadtest.servers.pgbouncer import PgBouncer, PoolMode, pgbouncer
from loadtest.servers.ports import free_port
from loadtest.servers.postfix import Postfix, postfix
from loadtest.servers.postgresql import PostgresServer, postgres
from loadtest.servers.prometheus import Prometheus, prometheus
from loadtest.servers.rabbitmq import RabbitNode, rabbitmq
from loadtest.servers.server import Server, ServerDidNotStart, server_folder
from loadtest.servers.varnish import Varnish, varnish

__all__ = [
    "Authority",
    "Certificate",
    "Installation",
    "Nginx",
    "PgBouncer",
    "PoolMode",
    "Postfix",
    "PostgresServer",
    "Prometheus",
    "RabbitCluster",
    "RabbitNode",
    "Server",
    "ServerDidNotStart",
    "ServerNotFound",
    "Varnish",
    "free_port",
    "nginx",
    "pgbouncer",
    "postfix",
    "postgres",
    "prometheus",
    "rabbitmq",
    "rabbitmq_cluster",
    "server_folder",
    "varnish",
]
