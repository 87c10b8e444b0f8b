"""The live path under load: `load` measures it beside its floor, `soak` runs it for long."""
