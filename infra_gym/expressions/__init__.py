"""The one checked expression language: rewards, metric formulas, job scores.

An expression is a line such as ``-0.0002 * (requests - within_slo)``: numbers, names, arithmetic,
comparisons, ``and``/``or``/``not``, ``a if c else b`` and a few functions. It is data from a file
that anyone may have written, so it can neither run code nor hang.
"""

from infra_gym.expressions.columns import ColumnExpression
from infra_gym.expressions.expression import FUNCTIONS, Expression, names_in
from infra_gym.expressions.postfix import Operation, Program, postfix

__all__ = [
    "FUNCTIONS",
    "ColumnExpression",
    "Expression",
    "Operation",
    "Program",
    "names_in",
    "postfix",
]
