"""The computation graph, the table of ops and reverse-mode differentiation."""

from trainer.graph.autodiff import gradients
from trainer.graph.graph import Edge, Expr, Graph, GraphBuilder, Node
from trainer.graph.ops import OPS, Op, Shape

__all__ = ["OPS", "Edge", "Expr", "Graph", "GraphBuilder", "Node", "Op", "Shape", "gradients"]
