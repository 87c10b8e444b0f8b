"""What every address does: it asks the desk or accounts once, and answers with one view."""
