"""`make dashboards`: write the dashboards as JSON files for Grafana's provisioning."""

from pathlib import Path

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from grafana.machine_room import the_machine_room
from grafana.sale import the_sale

FOLDER = Path(__file__).parent / "dashboards"
DASHBOARDS = {"sale.json": the_sale, "machine-room.json": the_machine_room}


def as_json(dashboard: Dashboard) -> str:
    """Return a dashboard as JSON for Grafana."""
    return JSONEncoder(sort_keys=True, indent=2).encode(dashboard.build()) + "\n"


def main() -> None:
    """Write all dashboards."""
    for name, dashboard in DASHBOARDS.items():
        (FOLDER / name).write_text(as_json(dashboard()))


if __name__ == "__main__":
    main()
