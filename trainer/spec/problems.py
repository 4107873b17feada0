"""What is wrong with the equations of a spec, with its place in the file."""

from __future__ import annotations

from trainer.errors import Problem
from trainer.spec.declaration import Declaration
from trainer.spec.document import Path
from trainer.spec.equations import EquationsSpec, SketchModel
from trainer.spec.expressions import Call, EquationError, parse_equation
from trainer.spec.layers import LayersSpec
from trainer.spec.lifting import Lifted, lift_model, said
from trainer.spec.messages import plural
from trainer.spec.references import find_faults


def equation_problems(
    spec: Declaration, model: LayersSpec | EquationsSpec | SketchModel
) -> list[Problem]:
    """What is wrong with the equations of a spec's model: texts and names, else shapes."""
    if isinstance(model, LayersSpec):
        return []
    problems = _taken_names(spec, model) or _faults(spec, model)
    if problems:
        return problems
    try:
        output, _ = lift_model(model)
    except EquationError as error:
        return [problem_in_equation(spec, error)]
    if isinstance(model, EquationsSpec):
        return _output_problems(spec, model, output)
    if output.dims in ((), (1,)):
        return []
    message = f"the output must be a number, '{model.output}' is {said(output)}"
    return [spec.problem(("model", "equations", model.output), message, key=True, code="TR-G008")]


def _taken_names(spec: Declaration, model: EquationsSpec | SketchModel) -> list[Problem]:
    """Names of parameters and equations that are taken."""
    problems = []
    for group, names in (("parameters", model.parameters), ("equations", model.equations)):
        for name in names:
            of_input = name in model.inputs
            if of_input or (group == "equations" and name in model.parameters):
                where: Path = ("model", group, name)
                kind = "an input" if of_input else "a parameter"
                message = f"the name '{name}' is taken by {kind}"
                problems.append(
                    spec.problem(where, message, "choose another name", key=True, code="TR-S021")
                )
    return problems


def _faults(spec: Declaration, model: EquationsSpec | SketchModel) -> list[Problem]:
    """What is wrong with the texts of the equations, and with the names in them."""
    groups = {name: group for group in ("parameters", "inputs", "equations")
              for name in getattr(model, group)}  # fmt: skip
    return [
        spec.problem(
            ("model", groups[fault.name], fault.name), fault.message, fault.hint,
            key=fault.span is None, span=fault.span, code=fault.code,
        )
        for fault in find_faults(model.equations, model.output, [*model.inputs, *model.parameters])
    ]  # fmt: skip


def _output_problems(spec: Declaration, model: EquationsSpec, output: Lifted) -> list[Problem]:
    """What is wrong with the shape of the output.

    The loss `logistic` stands for sigmoid of one output and for softmax of several.
    """
    name, hint, span, message, code = model.output, None, None, None, "TR-G008"
    if not output.batched:
        message = f"the output '{name}' does not depend on x"
    elif len(output.dims) > 1:
        message = f"the output must be a number or a vector, '{name}' is {said(output)}"
    else:
        last, units = parse_equation(model.equations[name]), output.dims[0] if output.dims else 1
        single = units == 1 or model.multi_label
        fits, other = ("sigmoid", "softmax") if single else ("softmax", "sigmoid")
        if model.loss == "logistic" and isinstance(last, Call) and last.function == other:
            outputs = plural(units, "output")
            code = "TR-G009"
            message = f"the loss 'logistic' with {outputs} does not fit an outermost '{other}'"
            hint, span = f"leave it out, or write '{fits}'", last.span
    if message is None:
        return []
    where: Path = ("model", "equations", name)
    return [spec.problem(where, message, hint, key=span is None, span=span, code=code)]


def problem_in_equation(spec: Declaration, error: EquationError) -> Problem:
    """The problem, with its place in the file."""
    where: Path = ("model", "equations", error.equation)
    return spec.problem(
        where, error.message, error.hint, span=(error.at, error.width), code=error.code
    )
