"""The variables that orchestrators set by themselves in a container, for the services around it."""

from collections.abc import Mapping


def kubelet_variables(
    service: str, address: str = "10.96.7.3", ports: Mapping[str, int] | None = None
) -> dict[str, str]:
    """Return what the kubelet sets for a Service with these named ports of TCP.

    The names and values are those of `pkg/kubelet/envvars/envvars.go` of Kubernetes 1.34.
    """
    ports = ports or {"http": 80}
    name = service.upper().replace("-", "_")
    host = f"[{address}]" if ":" in address else address
    first = next(iter(ports.values()))
    found = {
        f"{name}_SERVICE_HOST": address,
        f"{name}_SERVICE_PORT": str(first),
        f"{name}_PORT": f"tcp://{host}:{first}",
    }
    for port_name, port in ports.items():
        found[f"{name}_SERVICE_PORT_{port_name.upper().replace('-', '_')}"] = str(port)
        found[f"{name}_PORT_{port}_TCP"] = f"tcp://{host}:{port}"
        found[f"{name}_PORT_{port}_TCP_PROTO"] = "tcp"
        found[f"{name}_PORT_{port}_TCP_PORT"] = str(port)
        found[f"{name}_PORT_{port}_TCP_ADDR"] = address
    return found


def link_variables(alias: str, port: int = 8080) -> dict[str, str]:
    """Return what `docker run --link CONTAINER:ALIAS` sets for a container of one port."""
    name = alias.upper().replace("-", "_")
    address = f"tcp://172.17.0.5:{port}"
    return {
        f"{name}_NAME": f"/consumer/{alias}",
        f"{name}_ENV_PYTHONUNBUFFERED": "1",
        f"{name}_PORT": address,
        f"{name}_PORT_{port}_TCP": address,
        f"{name}_PORT_{port}_TCP_PROTO": "tcp",
        f"{name}_PORT_{port}_TCP_PORT": str(port),
        f"{name}_PORT_{port}_TCP_ADDR": "172.17.0.5",
    }
