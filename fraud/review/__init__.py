"""The review desk: alerts, cases, verdicts, accounts and their audit, over one database."""
