"""evaluate.py's table of claims: each sentence, on what data, how many images, the effect, the verdict."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from explainer.errors import InputError
from explainer.evaluation.context import Context
from explainer.evaluation.report.printers import to_markdown, to_terminal
from explainer.evaluation.report.table import Heading, Table, text_row
from explainer.evaluation.telling import show_tables, tell
from explainer.experiments.base import Experiment
from explainer.experiments.claims.base import Claim, Effect, no_effect
from explainer.files import write_json, write_text

COLUMNS = ("paper", "data", "n", "measured", "effect [95 %]", "verdict")
"""Columns of the table."""


class Claims(Experiment):
    """Check claims of papers against finished results; nothing is computed but effects and their intervals.

    Args:
        claims: Claims, in the order of the table.
        root: Folder below which the results lie.
        strict: Whether missing results are an error; else the table says of such a claim that it was not measured.

    Raises:
        InputError: There is no claim, or one sentence stands twice.
    """

    def __init__(self, claims: list[Claim], root: str = "results", strict: bool = False) -> None:
        sentences = [claim.claim for claim in claims]
        twice = [sentence for sentence in dict.fromkeys(sentences) if sentences.count(sentence) > 1]
        if not claims or twice:
            raise InputError(f"experiment.init_args.claims: {twice[0] + ' stands twice' if twice else 'there is none'}")
        self.claims = claims
        self.root = Path(root)
        self.strict = strict

    def run(self, context: Context) -> dict[str, object]:
        """Measure every claim, and write results.json and table.md.

        Args:
            context: Folder of the results.

        Returns:
            The content of results.json.
        """
        effects = [self._effect(claim) for claim in self.claims]
        entries = [described(claim, effect) for claim, effect in zip(self.claims, effects, strict=True)]
        content: dict[str, object] = {"claims": entries}
        table = claims_table(context.name, self.claims, effects)
        write_json(context.out / "results.json", content)
        write_text(context.out / "table.md", to_markdown(table))
        show_tables([to_terminal(table)], 200)
        tell([counts(effects), f"written to {context.out}: results.json, table.md"])
        return content

    def _effect(self, claim: Claim) -> Effect:
        """Measure one claim; where its results are missing, say so in its place."""
        try:
            return claim.effect(self.root)
        except InputError as error:
            if self.strict:
                raise
            # the other claims can be checked all the same
            return no_effect(str(error))


def described(claim: Claim, effect: Effect) -> dict[str, Any]:
    """Return a claim and its effect as results.json holds them.

    Args:
        claim: Claim.
        effect: Effect; without a number its entry has the reason alone.
    """
    entry: dict[str, Any] = {
        "claim": claim.claim,
        "paper": claim.paper,
        "data": claim.data,
        "results": claim.results,
    }
    if effect.reason:
        return entry | {"verdict": "not measured", "reason": effect.reason}
    return entry | {
        "measure": effect.measure,
        "n": effect.n,
        "unit": effect.unit,
        "effect": effect.value,
        "interval": [effect.low, effect.high],
        "verdict": effect.verdict,
    }


def claims_table(title: str, claims: Sequence[Claim], effects: Sequence[Effect]) -> Table:
    """Return the table of claims.

    Args:
        title: Title of the table.
        claims: Claims.
        effects: Effect of each.
    """
    rows = []
    for claim, effect in zip(claims, effects, strict=True):
        if effect.reason:
            texts = [claim.paper, claim.data, "0", effect.reason, "", "not measured"]
        else:
            number = f"{effect.value:+.3f} [{effect.low:+.3f}, {effect.high:+.3f}]"
            sample = f"{effect.n} {effect.unit}"
            texts = [claim.paper, claim.data, sample, effect.measure, number, effect.verdict]
        rows.append(text_row(claim.claim, texts))
    headings = [Heading(column) for column in COLUMNS]
    caption = (
        "effects are turned so that above 0 speaks for the claim; 95 % bootstrap intervals of paired differences; "
        "a claim holds, or does not, where the interval lies on one side of 0"
    )
    return Table(title, "claim", headings, rows, caption=caption)


def counts(effects: Sequence[Effect]) -> str:
    """Say in a line how many claims hold.

    Args:
        effects: Effect of each claim.
    """
    measured = [effect for effect in effects if not effect.reason]
    verdicts = [effect.verdict for effect in measured]
    return (
        f"{len(effects)} claims: {verdicts.count('holds')} hold, {verdicts.count('does not hold')} do not, "
        f"{verdicts.count('not told')} are not told from chance, {len(effects) - len(measured)} were not measured"
    )
