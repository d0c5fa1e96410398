"""The Jinja a text may be written in: what `content` lets pass is what `rendering` makes ready.

Closed lists: syntax that only says what it makes, and keeps none of it.
"""

from typing import Final

from jinja2 import nodes

FILTERS: Final = frozenset(
    "capitalize default first join last length lower round title trim upper".split()
)
"""None makes much of little or leaves the values it is given."""

NODES: Final = frozenset(
    {
        nodes.Template,
        nodes.Output,
        nodes.TemplateData,
        nodes.If,
        nodes.For,
        nodes.Name,
        nodes.Getattr,
        nodes.Getitem,
        nodes.Filter,
        nodes.Test,
        nodes.Call,
        nodes.Compare,
        nodes.Operand,
        nodes.And,
        nodes.Or,
        nodes.Not,
        nodes.Neg,
        nodes.Const,
        nodes.CondExpr,
        nodes.Concat,
        nodes.Add,
        nodes.Sub,
        nodes.Mul,
        nodes.Div,
        nodes.FloorDiv,
        nodes.Mod,
        nodes.Tuple,
        nodes.List,
        nodes.Keyword,
    }
)
"""Nodes of Jinja's syntax tree, each by its own type: a subclass may do something else."""
