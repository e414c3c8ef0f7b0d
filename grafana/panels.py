"""Build the panels of the dashboards with grafana-foundation-sdk."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.builders.stat import Panel as StatPanel
from grafana_foundation_sdk.builders.timeseries import Panel as TimeseriesPanel
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    DynamicConfigValue,
    GridPos,
    Threshold,
    ThresholdsMode,
    VariableOption,
    VariableRefresh,
)
from grafana_foundation_sdk.models.prometheus import QueryEditorMode

# The fixed uid of the data source, as file provisioning does not resolve ${DS_PROMETHEUS}.
SOURCE = DataSourceRef(type_val="prometheus", uid="prometheus")

WIDTH = 24
_STAT_HEIGHT, _GRAPH_HEIGHT = 4, 8


@dataclass(frozen=True)
class Query:
    """A PromQL expression and its legend."""

    expr: str
    legend: str


@dataclass(frozen=True)
class Graph:
    """A time series panel. A query with the legend `limit` is drawn as a dashed red line."""

    title: str
    description: str
    unit: str
    queries: Sequence[Query]
    stacked: bool = False
    signed: bool = False
    """Whether values may be below zero."""


@dataclass(frozen=True)
class Stat:
    """A panel with one number. `steps` are thresholds and their colours, in ascending order."""

    title: str
    description: str
    unit: str
    query: Query
    steps: Sequence[tuple[float | None, str]] = ((None, "green"),)


def quantiles(metric: str, by: str = "") -> list[Query]:
    """Return queries for the 50th, 95th and 99th percentile of a histogram."""
    return [
        Query(
            f"histogram_quantile({share}, sum by (le{by}) (rate({metric}_bucket"
            "[$__rate_interval])))",
            f"p{round(share * 100)}" + (f" {{{{{by.strip(', ')}}}}}" if by else ""),
        )
        for share in (0.5, 0.95, 0.99)
    ]


def variable(name: str, label: str, values: str) -> builders.QueryVariable:
    """Build a drop-down variable of the dashboard; its default is all values."""
    return (
        builders.QueryVariable(name)
        .label(label)
        .query(values)
        .datasource(SOURCE)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(VariableOption(text="All", value="$__all"))
    )


def board(
    uid: str,
    title: str,
    description: str,
    variables: Sequence[builders.QueryVariable],
    stats: Sequence[Stat],
    graphs: Sequence[Graph],
) -> builders.Dashboard:
    """Build a dashboard with the numbers in the first row and two graphs in each row below."""
    made = (
        builders.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags(["flashsale"])
        .time("now-15m", "now")
        .timezone("browser")
        .refresh("5s")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .variables(list(variables))
        .editable()
    )
    number, width = 1, WIDTH // len(stats)
    for index, stat in enumerate(stats):
        place = GridPos(h=_STAT_HEIGHT, w=width, x=index * width, y=0)
        made.with_panel(_stat(stat).id(number).grid_pos(place))
        number += 1
    for index, graph in enumerate(graphs):
        x, row = index % 2 * WIDTH // 2, index // 2
        place = GridPos(h=_GRAPH_HEIGHT, w=WIDTH // 2, x=x, y=_STAT_HEIGHT + row * _GRAPH_HEIGHT)
        made.with_panel(_graph(graph).id(number).grid_pos(place))
        number += 1
    return made


def _stat(stat: Stat) -> StatPanel:
    thresholds = (
        builders.ThresholdsConfig()
        .mode(ThresholdsMode.ABSOLUTE)
        .steps([Threshold(value=value, color=colour) for value, colour in stat.steps])
    )
    return (
        StatPanel()
        .title(stat.title)
        .description(stat.description)
        .datasource(SOURCE)
        .unit(stat.unit)
        .min(0)
        .thresholds(thresholds)
        .graph_mode(common.BigValueGraphMode.AREA)
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]))
        .with_target(_target("A", stat.query))
    )


def _graph(graph: Graph) -> TimeseriesPanel:
    panel = (
        TimeseriesPanel()
        .title(graph.title)
        .description(graph.description)
        .datasource(SOURCE)
        .unit(graph.unit)
        .line_width(2)
        .fill_opacity(30 if graph.stacked else 8)
        .show_points(common.VisibilityMode.NEVER)
        .legend(
            common_builders.VizLegendOptions()
            .display_mode(common.LegendDisplayMode.LIST)
            .placement(common.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI))
    )
    if not graph.signed:
        panel.min(0)
    if graph.stacked:
        panel.stacking(common_builders.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))
    for ref_id, query in zip("ABCDEFGH", graph.queries, strict=False):
        panel.with_target(_target(ref_id, query))
        if query.legend == "limit":
            panel.override_by_name("limit", _dashed())
    return panel


def _dashed() -> list[DynamicConfigValue]:
    values: dict[str, Any] = {
        "custom.lineStyle": {"fill": "dash", "dash": [8, 8]},
        "custom.fillOpacity": 0,
        "color": {"mode": "fixed", "fixedColor": "red"},
    }
    return [DynamicConfigValue(id_val=name, value=value) for name, value in values.items()]


def _target(ref_id: str, query: Query) -> Dataquery:
    return (
        Dataquery()
        .ref_id(ref_id)
        .datasource(SOURCE)
        .editor_mode(QueryEditorMode.CODE)
        .range()
        .expr(query.expr)
        .legend_format(query.legend)
    )
