"""TR-G: the graph that a spec declares: equations, layers, shapes, the loss on top."""

from __future__ import annotations

from typing import Final

from trainer.codes.entry import Entry

ENTRIES: Final = (
    Entry(
        "TR-G001",
        "this is no equation",
        "The text cannot be read as an expression of numbers, names, + - * / @ ** and "
        "functions, or a number or power in it is larger than can be computed. The place is "
        "told.",
        "Check parentheses and operators. The name stands before the colon, and a power is **.",
        "equations: {h: sigmoid(W1 @ x + b1)}",
    ),
    Entry(
        "TR-G002",
        "an equation uses an unknown function",
        "Only functions whose gradients are known can stand in equations.",
        "Take one of those that are told; docs/spec.md lists them.",
    ),
    Entry(
        "TR-G003",
        "a function has other arguments than it takes",
        "Each function takes a fixed number of plain arguments.",
        "Write as many as are told.",
        "equations: {p: softmax(z)}",
    ),
    Entry(
        "TR-G004",
        "an equation uses a name that is not there",
        "No input, parameter or equation has this name.",
        "Check the spelling, or declare it in `inputs`, `parameters` or `equations`.",
    ),
    Entry(
        "TR-G005",
        "the equations are in a circle, or in another order",
        "An equation takes what stands above it. A value that depends on itself has no gradient "
        "that could be followed backwards.",
        "Move the equation that is taken up, or break the circle.",
    ),
    Entry(
        "TR-G006",
        "something that nothing takes",
        "The layer, input, parameter or equation does not lead to the output. It would be trained "
        "by nothing, which is mostly a slip in a name.",
        "Name it where it is to be taken, or remove it.",
    ),
    Entry(
        "TR-G007",
        "shapes that do not fit together",
        "An operation, a layer or a parameter gets values of a shape that it does not take: "
        "lengths, widths or inner dimensions differ, or a matrix stands where one example has a "
        "vector.",
        "Compare the shapes that are told, and mend the one that is wrong: `@` multiplies "
        "matrices, `*` number by number; layers that are added have as many units.",
        "parameters: {W1: {shape: [2, 3]}}      # W1 @ x takes an x of 3 numbers",
    ),
    Entry(
        "TR-G008",
        "the output is none that a loss takes",
        "A loss takes a number or a vector for each example, which depends on x and whose "
        "length the spec says; what is explained is one number.",
        "Name another equation in `output`, sum the values up, or end with a dense layer.",
        "layers:\n  - {type: concat, inputs: [a, b]}\n  - {units: 1}",
    ),
    Entry(
        "TR-G009",
        "an activation that does not fit its place",
        "The loss `logistic` works on logits and holds the sigmoid or the softmax itself, in a "
        "form that stays exact; softmax makes probabilities of all outputs together and is for "
        "the end of a network.",
        "Give the last layer no activation, or the one that is told, and others another one.",
        "layers:\n  - {units: 16, activation: relu}\n  - {units: 1}\nloss: logistic",
    ),
    Entry(
        "TR-G010",
        "there is no layer or input of this name",
        "A layer takes inputs and layers that stand before it; `outputs` names layers. Layers "
        "without a name are called by type and number, as `dense_1`.",
        "Take one of the names that are told.",
    ),
    Entry(
        "TR-G011",
        "a layer takes another number of inputs",
        "Some layers take one input, those that join take several.",
        "Write as many as are told; join others with `concat` first.",
        "- {type: concat, inputs: [first, second]}",
    ),
    Entry(
        "TR-G012",
        "nothing is trained",
        "Every layer is frozen, so no parameter would change.",
        "Leave `frozen` out of some layer.",
    ),
    Entry(
        "TR-G013",
        "an embedding and the features do not fit",
        "An embedding layer takes one feature that is declared to be embedded; a layer that takes "
        "`x` needs features that are not.",
        "Declare the column so, or name a layer in `inputs`.",
        "data:\n  columns: {district: {encode: embedding}}",
    ),
    Entry(
        "TR-G014",
        "x is declared with another number of columns",
        "The data become another number of columns of x than the model says. Categories become a "
        "column each.",
        "Write the number that is told; `train check` shows the columns.",
    ),
    Entry(
        "TR-G015",
        "the number of outputs does not fit the target",
        "A number needs one output, K classes need K (two classes need one), and each target one.",
        "Write the number of units that is told, or another loss.",
        "layers:\n  - {units: 16, activation: relu}\n  - {units: 3}      # for three classes",
    ),
    Entry(
        "TR-G016",
        "the graph is wired wrongly",
        "A graph that was made in Python has two nodes of one name, takes what is not there or "
        "comes later, or names an op that does not exist.",
        "Mend the node that is named. Inputs of a node stand before it.",
    ),
    Entry(
        "TR-G017",
        "the gradient of something that is no number",
        "Gradients are of one number, such as the loss.",
        "Sum the values up, or take one of them.",
    ),
    Entry(
        "TR-G018",
        "the explanations are not of one graph",
        "A page shows examples of one graph side by side, and at least one.",
        "Make a page for each graph.",
    ),
)
"""The entries, in the order of their codes."""
