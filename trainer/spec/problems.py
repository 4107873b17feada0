"""What is wrong with the equations of a spec, with its place in the file."""

from __future__ import annotations

from trainer.errors import Problem
from trainer.spec.document import Path
from trainer.spec.equations import EquationsSpec, Sketch
from trainer.spec.expressions import Call, EquationError, parse_equation
from trainer.spec.layers import LayersSpec
from trainer.spec.lifting import Lifted, lift_model, said
from trainer.spec.references import find_faults
from trainer.spec.schema import Spec


def equation_problems(spec: Spec | Sketch) -> list[Problem]:
    """What is wrong with the equations of a spec: texts and names, else shapes."""
    model = spec.model
    if isinstance(model, LayersSpec):
        return []
    leaves = [*model.inputs, *model.parameters]
    problems = []
    for group, names in (("parameters", model.parameters), ("equations", model.equations)):
        for name in names:
            of_input = name in model.inputs
            if of_input or (group == "equations" and name in model.parameters):
                kind = "an input" if of_input else "a parameter"
                message = f"the name '{name}' is taken by {kind}"
                problems.append(spec.problem_within(
                    ("model", group, name), "", -1, 1, message, "choose another name"
                ))  # fmt: skip
    for fault in [] if problems else find_faults(model.equations, model.output, leaves):
        group = "equations" if fault.equation in model.equations else (
            "inputs" if fault.equation in model.inputs else "parameters")  # fmt: skip
        text = model.equations.get(fault.equation, "")
        problems.append(spec.problem_within(
            ("model", group, fault.equation), text, fault.at, fault.width, fault.message, fault.hint
        ))  # fmt: skip
    if not problems:
        try:
            lifted, _ = lift_model(model)
            problems += _output_problems(spec, lifted)
        except EquationError as error:
            problems.append(problem_in_equation(spec, error))
    return problems


def _output_problems(spec: Spec | Sketch, output: Lifted) -> list[Problem]:
    """What is wrong with the shape of the output."""
    name, message = spec.model.output, None  # type: ignore[union-attr]
    if isinstance(spec, Sketch):
        if output.dims not in ((), (1,)):
            message = f"the output must be a number, '{name}' is {said(output)}"
    elif not output.batched:
        message = f"the output '{name}' does not depend on x"
    elif len(output.dims) > 1:
        message = f"the output must be a number or a vector, '{name}' is {said(output)}"
    else:
        return _misfit(spec, output)
    where: Path = ("model", "equations", name)
    return [spec.problem_within(where, "", -1, 1, message)] if message else []


def _misfit(spec: Spec, output: Lifted) -> list[Problem]:
    """The loss `logistic` stands for sigmoid of one output and for softmax of several."""
    model = spec.model
    assert isinstance(model, EquationsSpec)
    text = model.equations[model.output]
    last, units = parse_equation(text), output.dims[0] if output.dims else 1
    single = units == 1 or model.multi_label
    fits, other = ("sigmoid", "softmax") if single else ("softmax", "sigmoid")
    if model.loss != "logistic" or not isinstance(last, Call) or last.function != other:
        return []
    outputs = f"{units} output{'s' * (units > 1)}"
    message = f"the loss 'logistic' with {outputs} does not fit an outermost '{other}'"
    where: Path = ("model", "equations", model.output)
    hint = f"leave it out, or write '{fits}'"
    return [spec.problem_within(where, text, last.span.at, last.span.width, message, hint)]


def problem_in_equation(spec: Spec | Sketch, error: EquationError) -> Problem:
    """The problem, with its place in the file."""
    where: Path = ("model", "equations", error.equation)
    text = spec.model.equations[error.equation]  # type: ignore[union-attr]
    return spec.problem_within(where, text, error.at, error.width, error.message, error.hint)
