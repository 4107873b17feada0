"""What the compiler depends on: LLVM's text, its passes, and what is told of mistakes."""

from __future__ import annotations

import llvmlite.binding as llvm
import numpy as np
import pytest

from trainer.engine.compiled.body import LoweringError
from trainer.engine.compiled.lowering import PASSES, lower
from trainer.engine.compiled.target import Code, assembly, host_target, make_object
from trainer.graph.loops import (
    ArrayArgument,
    Element,
    For,
    Function,
    Let,
    Name,
    Return,
    Store,
    Whole,
    apply,
)

TEXT = """
define void @f(ptr noalias %a) noinline #0 {
  %k = getelementptr inbounds [2 x double], ptr %a, i64 0, i64 1
  %x = load <4 x double>, ptr %a, align 8
  %s = insertelement <4 x double> poison, double 0x4000000000000000, i64 0
  %two = shufflevector <4 x double> %s, <4 x double> poison, <4 x i32> zeroinitializer
  %y = call <4 x double> @llvm.fma.v4f64(<4 x double> %x, <4 x double> %two, <4 x double> splat (double 0x3FF0000000000000))
  call void @llvm.masked.store.v4f64.p0(<4 x double> %y, ptr align 8 %a, <4 x i1> <i1 1, i1 1, i1 1, i1 0>)
  ret void
}
declare <4 x double> @llvm.fma.v4f64(<4 x double>, <4 x double>, <4 x double>)
declare void @llvm.masked.store.v4f64.p0(<4 x double>, ptr, <4 x i1>)
attributes #0 = { nounwind "min-legal-vector-width"="512" "prefer-vector-width"="512" }
"""  # noqa: E501 (lines are as the lowering writes them)
"""The syntax that follows LLVM's versions: splats, masked stores, attributes of arguments."""


def test_the_text_that_llvm_takes() -> None:
    import ctypes

    code = Code(make_object(TEXT, host_target(), PASSES), host_target())
    values = np.arange(4.0)
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(code.address("f"))
    function(values.ctypes.data)
    assert values.tolist() == [1.0, 3.0, 5.0, 3.0]


def test_llvm_has_the_passes() -> None:
    manager = llvm.create_new_module_pass_manager()
    assert all(hasattr(manager, f"add_{name}_pass") for name in PASSES)


def test_a_product_and_a_sum_are_not_fused() -> None:
    """Whatever the CPU could do: what the text rounds twice is rounded twice."""
    apart = """
define double @f(double %a, double %b, double %c) {
  %p = fmul double %a, %b
  %r = fadd double %p, %c
  ret double %r
}
"""
    assert "fmadd" not in assembly(apart, host_target(), PASSES, level=3)


I = Name("i", "int")  # noqa: E741 (a loop's variable)
X = ArrayArgument("x", ("B",), "float64")


@pytest.mark.parametrize(("statement", "said"), [
    (Let("y", Name("nowhere")), "y = nowhere: KeyError: 'nowhere'"),
    (Store("missing", (Whole(0),), Element("x", (Whole(0),))), r"missing\[0\] = x\[0\]"),
    (For("i", Whole(0), Name("n", "int"), (Store("x", (I,), apply("frob", Name("n", "int"), 1)),)),
     r"for i in range\(n\):: KeyError: 'frob'"),
])  # fmt: skip
def test_mistakes_name_the_line(statement, said) -> None:
    function = Function("f", (X,), ("n",), (statement, Return(Whole(0))))
    with pytest.raises(LoweringError, match=f"^{said}"):
        lower([function], "float64", host_target())


def test_text_that_is_wrong_is_an_error_and_not_the_end_of_the_process() -> None:
    with pytest.raises(RuntimeError):
        make_object("define i64 @f(i64 %a) {\n  ret i32 %a\n}\n", host_target())
