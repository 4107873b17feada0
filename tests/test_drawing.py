"""The drawing of a graph: what stands in it, and those in docs/ are up to date."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from conftest import ALL_CONFIGS, ROOT
from test_explain import case

from trainer.explain.drawing import draw
from trainer.explain.page import MOST_BOXES

SVG = "{http://www.w3.org/2000/svg}"


def texts(drawing: str, style: str | None = None) -> list[str]:
    root = ElementTree.fromstring(drawing)
    found = [text for text in root.iter(f"{SVG}text") if text.get("class") == style]
    return ["".join(text.itertext()).strip() for text in found]


def test_two_paths() -> None:
    drawing = draw(case(ROOT / "configs" / "lecture" / "2_two_paths.yaml").explain())
    assert set(texts(drawing)) == {"a", "b", "c = a + b", "d = b + 1", "e = c · d"}
    assert sorted(texts(drawing, "value")) == ["= 1", "= 2", "= 2", "= 3", "= 6"]
    assert sorted(texts(drawing, "gradient")) == ["∂ 1", "∂ 2", "∂ 2", "∂ 3", "∂ 5"]
    assert sorted(texts(drawing, "term")) == ["2", "2", "2", "3", "3"]


@pytest.mark.parametrize("path", ALL_CONFIGS, ids=lambda path: path.stem)
def test_every_config_is_drawn_within_its_frame(path: Path) -> None:
    explanation = case(path).explain()
    root = ElementTree.fromstring(draw(explanation))
    width, height = (float(root.get(side, "nan")) for side in ("width", "height"))
    boxes = root.findall(f"{SVG}rect")
    assert 1 < len(boxes) <= max(len(explanation.steps), MOST_BOXES)
    corners = set()
    for box in boxes:
        x, y, w, h = (float(box.get(side, "nan")) for side in ("x", "y", "width", "height"))
        assert 0 < x < x + w < width
        assert 0 < y < y + h < height
        corners.add((x, y))
    assert len(corners) == len(boxes)


@pytest.mark.parametrize(
    ("name", "config", "how"),
    [("two_paths", "2_two_paths", {}), ("network", "6_network", {"row": 3})],
)
def test_the_drawings_in_docs(name: str, config: str, how: dict[str, Any]) -> None:
    """Renew them with `train explain configs/lecture/… --svg docs/images/….svg`."""
    drawing = draw(case(ROOT / "configs" / "lecture" / f"{config}.yaml", **how).explain())
    assert (ROOT / "docs" / "images" / f"{name}.svg").read_text() == drawing


def test_the_command(train: Any, folder: Path) -> None:
    config = ROOT / "configs" / "lecture" / "2_two_paths.yaml"
    assert train("explain", config, "--svg", "graph.svg") == (0, "", "")
    assert (folder / "graph.svg").read_text().startswith("<svg ")
    code, _, err = train("explain", config, "--svg", "nowhere/graph.svg")
    assert (code, "there is no folder 'nowhere' for the file 'graph.svg'" in err) == (2, True)
