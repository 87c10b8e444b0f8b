"""A first look at payments in Python, cell by cell: run it in a notebook, or as a program.

`DATA` is a file of yours with its mapping; without one the handbook's process makes payments of its own.
"""

# %% [markdown]
# Read a file, as `fraud replay` reads it. `fraud inspect FILE --write-mapping mine.toml` guesses a mapping for yours.

# %%
from pathlib import Path
from tempfile import mkdtemp

from fraud import api
from fraud.simulate import fdh
from streaming.files import column_file

FOLDER = Path(mkdtemp(prefix="fraud-example-"))
DATA, MAPPING = FOLDER / "payments.csv", "native"
column_file.write(DATA, fdh.generate(fdh.Fdh(cards=100, terminals=200, days=40, radius=15.0, seed=7)).columns())

payments = api.read(DATA, MAPPING)
print(payments.attrs["said"][0])
print(payments[["id", "happened_at", "card", "merchant", "amount", "fraud"]].head())

# %% [markdown]
# The features that a model is fitted on: each payment as the live path would have seen it, verdicts a week late.

# %%
features = api.features(DATA, MAPPING, label_delay="7d", cache=FOLDER / "cache")
print(f"{len(features):,} payments, {features.shape[1] - 2} features")
print(features.groupby("fraud")["card_amount_vs_median"].median())

# %% [markdown]
# Decide on the newest payments by a model, in their order, and ask why.

# %%
scorer = api.Scorer("demo")
decisions = scorer.score_many(payments)
print(decisions["action"].value_counts())
worst = decisions["score"].idxmax()
for reason in scorer.explain(worst):
    print(f"{worst}: {reason.text} ({reason.effect:+.2f} log-odds)")

# %% [markdown]
# One payment, as a message has it: amounts in minor units, times with a zone.

# %%
one = {"id": "new-1", "card": "C1", "merchant": "M1", "amount": 94_000, "happened_at": "2018-05-11T12:00:00Z"}
decision = scorer.score(one)
print(f"{decision.tx_id}: {decision.action} at {decision.score:.3f}")

# %% [markdown]
# Train on what was known in time, test on what came after.

# %%
result = api.evaluate(DATA, MAPPING, label_delay="7d", cache=FOLDER / "cache", runs=FOLDER / "runs", quick=True)
print({name: value for name, value in result["mean"].items() if value is not None})
