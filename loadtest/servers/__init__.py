"""Private servers on free loopback ports, for demos, benchmarks and tests."""

from loadtest.servers.base import Server, ServerDidNotStart
from loadtest.servers.cluster import RabbitCluster, rabbitmq_cluster
from loadtest.servers.installed import Installation, ServerNotFound
from loadtest.servers.ports import free_port
from loadtest.servers.postgresql import PostgresServer, postgres
from loadtest.servers.prometheus import Prometheus, prometheus
from loadtest.servers.rabbit import RabbitNode, rabbitmq

__all__ = [
    "Installation",
    "PostgresServer",
    "Prometheus",
    "RabbitCluster",
    "RabbitNode",
    "Server",
    "ServerDidNotStart",
    "ServerNotFound",
    "free_port",
    "postgres",
    "prometheus",
    "rabbitmq",
    "rabbitmq_cluster",
]
