"""evaluate.py's table of metrics: which of them put methods in the order of a known truth.

The truth is one column of finished evaluations, by default single deletion of planted parts (R. Hesse, S. Schaub-Meyer,
S. Roth: FunnyBirds, ICCV 2023). Every other column, and ROAR and KAR, get Kendall's tau-b with it over methods.
"""

from pathlib import Path

from explainer.errors import InputError, check_range
from explainer.evaluation.context import Context
from explainer.evaluation.ranges import check_different
from explainer.evaluation.report.drawing import save_figure
from explainer.evaluation.report.printers import to_markdown, to_terminal
from explainer.evaluation.results.intervals import RESAMPLES
from explainer.evaluation.telling import show_tables, tell
from explainer.experiments.agreement.measure import Judgement, agreements
from explainer.experiments.agreement.read import read_evaluation, read_retraining
from explainer.experiments.agreement.show import agreement_table, forest
from explainer.experiments.base import Experiment
from explainer.files import write_json, write_text


class Agreement(Experiment):
    """Compare the metrics of finished evaluations with a known truth; nothing is computed but correlations.

    Args:
        evaluations: Group → folders of results below `root`, one for each classifier of the group.
        retrainings: Group → folders of ROAR and KAR grids below `root`, in the order of the group's evaluations; a
            shorter list leaves the last classifiers without.
        truth: Column that is the truth.
        methods: Methods that are compared; None takes all of the first evaluation of a group.
        leave_out: Columns that are not compared, such as variants of the truth.
        root: Folder below which the results lie.
        resamples: Number of resamples of the bootstrap.

    Raises:
        InputError: There is no evaluation, a folder stands twice, there are more grids than evaluations, or grids of an
            unknown group, or the truth is left out.
    """

    def __init__(
        self,
        evaluations: dict[str, list[str]],
        retrainings: dict[str, list[str]] | None = None,
        truth: str = "Parts",
        methods: list[str] | None = None,
        leave_out: list[str] | None = None,
        root: str = "results",
        resamples: int = RESAMPLES,
    ) -> None:
        if not evaluations or not all(evaluations.values()):
            raise InputError("experiment.init_args.evaluations: a group has no folder of results")
        check_range("experiment.init_args.resamples", resamples, 1, 1_000_000)
        folders = [folder for of_group in evaluations.values() for folder in of_group]
        check_different("experiment.init_args.evaluations", folders)
        self.retrainings = retrainings or {}
        for group, of_group in self.retrainings.items():
            if len(of_group) > len(evaluations.get(group, [])):
                raise InputError(f"experiment.init_args.retrainings: {group!r} has more grids than evaluations")
        if truth in (leave_out or []):
            raise InputError(f"experiment.init_args.leave_out: {truth!r} is the truth")
        self.evaluations = evaluations
        self.truth = truth
        self.methods = methods
        self.leave_out = leave_out or []
        self.root = Path(root)
        self.resamples = resamples

    def run(self, context: Context) -> dict[str, object]:
        """Measure the agreement, and write results.json, table.md and agreement.png.

        Args:
            context: Folder of the results.

        Returns:
            The content of results.json.
        """
        groups = {}
        for group in self.evaluations:
            groups[group] = agreements(self._judgements(group), self.truth, self.resamples)
        out = context.out
        facts = {
            "truth": self.truth,
            "evaluations": self.evaluations,
            "retrainings": self.retrainings,
            "resamples": self.resamples,
        }
        content: dict[str, object] = {"facts": facts, "results": groups}
        table = agreement_table(groups, self.truth, context.name)
        write_json(out / "results.json", content)
        write_text(out / "table.md", to_markdown(table))
        save_figure(forest(groups, self.truth), out / "agreement.png", dpi=150)
        show_tables([to_terminal(table)], 140)
        tell([f"written to {out}: results.json, table.md, agreement.png"])
        return content

    def _judgements(self, group: str) -> list[Judgement]:
        """Read what each classifier of a group says."""
        judgements = []
        grids = self.retrainings.get(group, [])
        methods = self.methods
        for number, folder in enumerate(self.evaluations[group]):
            columns = read_evaluation(self.root / folder, methods)
            # the same methods for all classifiers of a group, whose numbers are averaged
            methods = columns.methods
            if self.truth not in columns.values:
                known = ", ".join(columns.values)
                raise InputError(f"{self.root / folder}: no column {self.truth!r} with values; there are {known}")
            compared = {name: values for name, values in columns.values.items() if name not in self.leave_out}
            columns = columns._replace(values=compared)
            retraining = None
            if number < len(grids):
                retraining = read_retraining(self.root / grids[number], methods)
            judgements.append(Judgement(columns, retraining))
        return judgements
