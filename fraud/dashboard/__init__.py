"""The analyst console: what people see of alerts, cases, team, model and rules, and what they do there."""
