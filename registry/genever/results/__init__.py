"""What came out of runs: one table, one page, and what differs between two. Nothing here imports torch."""

from genever.results._chapters import Chapter, chapters_of
from genever.results._difference import Comparison, compare
from genever.results._difference_text import comparison_json, comparison_text
from genever.results._export import as_csv, as_json
from genever.results._gather import Table, gather
from genever.results._metric import Metric
from genever.results._page import page
from genever.results._row import Row
from genever.results._text import results_text

__all__ = [
    "Chapter",
    "Comparison",
    "Metric",
    "Row",
    "Table",
    "as_csv",
    "as_json",
    "chapters_of",
    "compare",
    "comparison_json",
    "comparison_text",
    "gather",
    "page",
    "results_text",
]
