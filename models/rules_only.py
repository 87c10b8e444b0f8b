"""The scorer that always exists: no model yet is a state, not an error."""

from collections.abc import Sequence

from fraud.core.ports import Histories, Matrix, ReadsNoHistory
from fraud.core.records import Explanation, Level, Score, Values

NAME = "rules"


class RulesOnly(ReadsNoHistory):
    """Score every row 0 at the level `rules`, so that analyst rules and lists alone decide, and decisions say so."""

    @property
    def version(self) -> str:
        """Return the version that decisions record."""
        return NAME

    @property
    def spec_version(self) -> str:
        """Return the empty string: any feature spec will do."""
        return ""

    def score(self, ids: Sequence[str], matrix: Matrix, histories: Histories | None = None) -> list[Score]:
        """Return a zero score per id."""
        return [Score(tx_id, 0.0, NAME, Level.RULES) for tx_id in ids]

    def explain(self, values: Values, score: Score, histories: Histories | None = None, row: int = 0) -> Explanation:
        """Return no reasons; the rules that matched bring their own."""
        return Explanation()
