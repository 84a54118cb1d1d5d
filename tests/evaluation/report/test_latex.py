"""The report's tables in LaTeX."""

import re

from explainer.evaluation.report.latex import latex
from explainer.files import for_latex
from tests.support.small_report import EVIL, results


def test_latex_is_escaped_and_has_as_many_cells_as_columns():
    text = latex(results())
    assert for_latex(EVIL) in text
    assert r"\textbf{65.0}" in text
    assert r"\textdagger" in text
    assert r"\emph{61.25}" in text
    assert r"{\scriptsize [50.0, 60.0]}" in text
    assert not re.search(r"(?<!\\)[%#_](?=[^\n]*\\\\)", text.replace("% ", ""))
    for part in text.split(r"\begin{tabular}")[1:]:
        width = len(re.match(r"\{l(r+)\}", part)[1]) + 1
        for line in part.splitlines():
            if line.endswith(r"\\") and "multicolumn" not in line:
                assert len(re.findall(r"(?<!\\)&", line)) == width - 1
        assert part.count("{") - part.count(r"\{") == part.count("}") - part.count(r"\}")
