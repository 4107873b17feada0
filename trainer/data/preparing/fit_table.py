"""What lies between a table and a network, fitted; and whether the spec's numbers fit the table."""

from __future__ import annotations

from collections.abc import Sequence

from trainer.data.columns.table import Table, listing
from trainer.data.misfits import Misfit, MisfitError
from trainer.data.preparing.fit_columns import Tally, fit_columns
from trainer.data.preparing.fit_scales import fit_scales
from trainer.data.preparing.preprocessing import Preprocessing
from trainer.data.preparing.room import check_room, wide_notes
from trainer.errors import SpecError
from trainer.graph.ops import Array
from trainer.spec.document import Path
from trainer.spec.layers import LayersSpec, layer_names
from trainer.spec.schema import ModelSpec, Spec


def fit_table(
    spec: Spec,
    table: Table,
    train: Array,
    notes: list[str],
    tallies: Sequence[Tally] | None = None,
    count: int | None = None,
    held: int | None = None,
) -> tuple[Preprocessing, tuple[int, ...]]:
    """The preprocessing, fitted on the training rows, and how many of them miss each feature.

    Where the table is a sample of the training rows, there are `count`, and `tallies` are of all;
    `held` are the rows that will be in memory at a time, encoded, by default those of the table.
    Raises `MisfitError`, also where the spec's numbers do not fit the data: inputs, outputs, batch;
    and where this machine has not the memory for so many rows.
    """
    columns, missing = fit_columns(spec, table, train, notes, tallies)
    check_room(spec.data, columns, len(table.x) if held is None else held)
    notes += wide_notes(columns)
    _check_fit(spec, table, columns, len(train) if count is None else count)
    return fit_scales(spec.data, table, train, columns, notes), missing


def _check_fit(spec: Spec, table: Table, how: Preprocessing, training_rows: int) -> None:
    """Raises `MisfitError` where the spec's numbers do not fit the data."""
    misfits: list[Misfit] = []
    model = spec.model
    width, count = how.layout.seen, len(table.features)
    declared = width if isinstance(model, LayersSpec) else model.inputs.get("x", width)
    if declared != width:
        message = f"the data have {count} feature{'s' * (count > 1)}, found {declared}"
        if width != count:
            message = f"the features become {width} columns of x, found {declared}"
        misfits.append(
            Misfit(("model", "inputs", "x"), message, f"write x: {width}", code="TR-G014")
        )
    misfits += _misfits_of_outputs(model, table)
    batch = spec.sgd.batch_size
    if isinstance(batch, int) and batch > training_rows:
        message = f"a batch of {batch} rows is larger than the {training_rows} training rows"
        hint = f"write batch_size: full, or at most {training_rows}"
        misfits.append(Misfit(("sgd", "batch_size"), message, hint, code="TR-D034"))
    if misfits:
        raise MisfitError(SpecError, *misfits)


def _misfits_of_outputs(model: ModelSpec, table: Table) -> list[Misfit]:
    """What is wrong with the number of outputs."""
    units = model.units
    where: Path = ("model", "output")
    what, advice = "output", f"outputs that '{getattr(model, 'output', '')}' needs: {{}}"
    if isinstance(model, LayersSpec):
        where, what, advice = _place_of_units(model), "unit", "write units: {}"
        if len(model.output_layers) > 1:
            what, advice = "output", "all output layers together need {}"
    found = f"{units} {what}{'s' * (units > 1)}"
    if table.classes is not None:
        count = len(table.classes)
        fits = (1, 2) if count == 2 else (count,)
        if units in fits:
            return []
        shown = listing(table.classes, 4)
        message = f"'{table.target_name}' has {count} classes ({shown}), found {found}"
        return [Misfit(where, message, advice.format(fits[0]), code="TR-G015")]
    count = table.target.shape[1]
    if units == count:
        return []
    columns = f"{count} column{'s' * (count > 1)}"
    message = f"the target '{table.target_name}' has {columns}, found {found}"
    if len(table.targets) > 1:
        kind = "labels" if model.multi_label else "targets"
        message = f"there are {count} {kind} ({listing(table.targets, 4)}), found {found}"
    hint = advice.format(count)
    if units > 1 and count == 1 and not model.multi_label:
        hint += "; or `loss: logistic` if the target names classes"
    return [Misfit(where, message, hint, code="TR-G015")]


def _place_of_units(model: LayersSpec) -> Path:
    """Where the number of outputs is declared: the last layer before the output that has units."""
    if len(model.output_layers) > 1:
        return ("model", "outputs")
    names = layer_names(model.layers)
    last = names.index(model.output_layers[0])
    wide = [i for i in range(last + 1) if hasattr(model.layers[i], "units")]
    return ("model", "layers", wide[-1] if wide else last, "units")
