"""How MLflow's UI shows an experiment: a view with the columns and charts that tell the story.

MLflow keeps a shared view in a tag of the experiment. Its form is MLflow's own and not documented;
a UI that does not know it shows what it would show without.
"""

from __future__ import annotations

import base64
import json
import time
import zlib
from collections.abc import Sequence
from typing import Any, Final

VIEW: Final = "trainer"
VIEW_TAG: Final = f"mlflow.sharedViewState.{VIEW}"
_NAME: Final = "Loss and score"


def shared_view(score: str, keys: Sequence[str] = (), metric: str = "val_loss") -> str:
    """The value of `VIEW_TAG` for runs with this score (`accuracy`, `r2`).

    The table has the losses and scores as columns, the best validation loss first; the charts
    begin with losses and scores, then the norm of the gradient. Where there is a sweep, `keys` are
    the parameters that vary and `metric` is what its trials are compared by: they are columns too,
    and the axes of a chart; and the newest runs stand first, since the UI puts trials below their
    sweep in this order alone.
    """
    columns = [
        "val_loss", f"val_{score}", "test_loss", f"test_{score}", "best_val_loss", "best_epoch",
    ]  # fmt: skip
    curves = ("train_loss", "val_loss", f"train_{score}", f"val_{score}", "grad_norm")
    if metric not in columns:
        columns.insert(0, metric)
    charts = [_chart(name, "gradient" if name == "grad_norm" else "scores") for name in curves]
    sections = [_section("scores", _NAME), _section("gradient", "Gradient")]
    if keys:
        charts.insert(0, _parallel(keys, metric))
        sections.insert(0, _section("sweep", "Sweep"))
    state = {
        "selectedColumns": [
            "attributes.`Models`",
            *(f"metrics.`{name}`" for name in columns), *(f"params.`{key}`" for key in keys),
        ],
        "orderByKey": "attributes.start_time" if keys else f"metrics.`{metric}`",
        "orderByAsc": not keys,
        "columnOrder": [],
        "viewMaximized": False,
        "isAccordionReordered": True,
        "compareRunSections": sections,
        "compareRunCharts": charts,
    }  # fmt: skip
    now = int(time.time() * 1000)
    packed = base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()
    view = {"name": _NAME, "createdAt": now, "updatedAt": now, "state": f"deflate;{packed}"}
    return json.dumps(view)


def view_path(experiment_id: str) -> str:
    """Where MLflow's UI shows the view of an experiment, below the server's address."""
    query = f"workflowType=machine_learning&viewStateShareKey={VIEW}"
    return f"#/experiments/{experiment_id}/runs?{query}"


def _section(key: str, name: str) -> dict[str, Any]:
    return {"uuid": key, "name": name, "display": True, "isReordered": True, "deleted": False,
            "isGenerated": False}  # fmt: skip


def _parallel(keys: Sequence[str], metric: str) -> dict[str, Any]:
    """A chart of parallel coordinates: an axis a parameter, and one for the metric."""
    return {
        "uuid": "parallel",
        "type": "PARALLEL",
        "runsCountToCompare": 100,
        "metricSectionId": "sweep",
        "deleted": False,
        "isGenerated": False,
        "selectedParams": list(keys),
        "selectedMetrics": [metric],
        "showAllRuns": True,
        "displayName": "What the trials chose",
    }


def _chart(metric: str, section: str) -> dict[str, Any]:
    """A line chart of a metric by epoch."""
    return {
        "uuid": metric,
        "type": "LINE",
        "runsCountToCompare": 10,
        "metricSectionId": section,
        "deleted": False,
        "isGenerated": True,
        "metricKey": metric,
        "selectedMetricKeys": [metric],
        "scaleType": "linear",
        "xAxisKey": "step",
        "xAxisScaleType": "linear",
        "yAxisKey": "metric",
        "yAxisExpressions": [],
        "lineSmoothness": 0,
        "range": {},
        "selectedXAxisMetricKey": "",
        "useGlobalLineSmoothing": True,
        "useGlobalXaxisKey": True,
        "displayName": metric,
    }
