"""An embedded engine's outside: what it publishes into a log, and what it hears from the console by one."""
