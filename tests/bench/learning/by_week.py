"""What each expert said of payments, week by week, and how much was learned by then: where a run went wrong."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from fraud.core import metrics
from fraud.core.learning.mixture import EXPERTS
from fraud.core.records import Decision, FeatureVector
from fraud.training.prequential import FEW, WEEK, log_loss
from models.boosting.trees import F64
from models.online.refresher import MIXTURE
from streaming.replay.learning import EmbeddedLearning
from tests.bench.learning.late import over
from tests.bench.learning.prequential import I64, Bools

SAID = (*EXPERTS, "mixture")


class ByWeek:
    """Notes, beside a learner that runs, what it says of each payment, and its figures at the end of each week."""

    def __init__(self, learning: EmbeddedLearning) -> None:
        """Listen in from now on."""
        self._learning, self._hear = learning, learning.hear
        self._said: dict[str, tuple[float, ...]] = {}
        self._week, self._learned, self.figures = -1, Counter[str](), dict[int, dict[str, Any]]()
        learning.hear = self._heard  # type: ignore[method-assign]

    def weeks(self, ids: list[str], time: I64, fraud: Bools, served: F64) -> list[dict[str, Any]]:
        """Return each week's figures, by who said it, of payments in order of time that a model has decided."""
        self._note(self._week)
        heard = np.array([one in self._said for one in ids])
        said = np.array([self._said[one] for one in ids if one in self._said]).reshape(-1, len(SAID))
        time, fraud, served = time[heard], fraud[heard], served[heard]
        scores = {**{name: said[:, place] for place, name in enumerate(SAID)}, "served": served}
        week = time // WEEK
        return [
            {
                "week": number - int(week[0]), "rows": int((week == number).sum()),
                "frauds": int(fraud[week == number].sum()),
                "by": {name: shown(fraud[week == number], score[week == number]) for name, score in scores.items()},
                **self.figures.get(number, {}),
            }
            for number in np.unique(week).tolist()
        ]  # fmt: skip

    def _heard(self, decision: Decision, vector: FeatureVector | None) -> tuple[float, ...]:
        week = decision.happened_at // WEEK
        if week > self._week:
            self._note(self._week)
            self._week = week
        said = self._hear(decision, vector)
        if said:
            self._said.setdefault(decision.tx_id, said[: MIXTURE + 1])
        return said

    def _note(self, week: int) -> None:
        """Note what was learned in a week that is over."""
        figures: Mapping[str, Any] = self._learning.figures()
        learned = Counter(figures.get("learned", {}))
        self.figures[week] = {
            "learned": dict(learned - self._learned), "told": figures.get("told", {}),
            "weights": {name: round(weight, 4) for name, weight in figures.get("weights", {}).items()},
            "on": figures.get("on"), "evidence": [round(one, 2) for one in figures.get("evidence", ())],
        }  # fmt: skip
        self._learned = learned


def shown(fraud: Bools, p: F64) -> dict[str, float | None]:
    """Return mean probability over the share of frauds, log-loss, and average precision where there are enough."""
    enough = int(fraud.sum()) > FEW
    return {
        "over": over(p, fraud) if fraud.any() else None,
        "log_loss": round(log_loss(fraud, p), 5),
        "ap": round(metrics.average_precision(fraud, p), 4) if enough else None,
    }
